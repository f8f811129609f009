//! What the laws of the read model store share: short ways to write a state, a row and a failed event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use highwater_core::model::{
    DeadLetter, FailedEvent, FailedState, LastEvent, Position, ProjectionKey, ProjectionName,
    ProjectionState, RecordedEvent,
};
use highwater_core::policy::Class;
use highwater_core::ports::{Acquired, Locked, ReadModelStore, UnitOfWork};
use highwater_core::{Error, ErrorKind, Failure};

use super::{StoreFixture, TestTable};

/// Far more than any transaction of a law needs.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);
/// How long the end of a dropped transaction may take to reach everybody.
const AT_ONCE: Duration = Duration::from_secs(5);

pub(super) type Table<S> = Arc<dyn TestTable<<S as ReadModelStore>::Tx>>;

pub(super) fn name(text: &str) -> ProjectionName {
    ProjectionName::new(text).expect("a valid name")
}

pub(super) fn key(text: &str) -> ProjectionKey {
    ProjectionKey { name: name(text), version: 1, partition: 0 }
}

/// A state that has seen nothing.
pub(super) fn fresh(key: ProjectionKey) -> ProjectionState {
    ProjectionState::new(key, None, "filter".to_owned(), "sql".to_owned())
}

/// `state` behind the event `n:0`.
pub(super) fn moved(state: &ProjectionState, n: u64) -> ProjectionState {
    let event = crate::fixtures::event(n, "A", "a-1");
    ProjectionState {
        last: Some(LastEvent::from(&event)),
        scanned: Some(Position::new(n, 0)),
        ..state.clone()
    }
}

/// Without the time of writing, which is informational.
pub(super) fn untimed(state: ProjectionState) -> ProjectionState {
    ProjectionState { updated_at_micros: 0, ..state }
}

/// The failure of a user's statement, as an error of the law's job.
pub(super) fn as_error(failure: Failure) -> Error {
    Error::new(ErrorKind::Other, "run the law's statement").because(failure.message())
}

/// What the job of a law answers when the port did not do what the law needs.
pub(super) fn broken(what: &'static str) -> Error {
    Error::new(ErrorKind::Other, what)
}

pub(super) async fn lock<U: UnitOfWork>(unit: &mut U, key: &ProjectionKey) -> Result<Acquired, Error> {
    match unit.lock(key).await? {
        Locked::Acquired(acquired) => Ok(*acquired),
        Locked::Busy => Err(broken("lock a free state: busy")),
        Locked::Missing => Err(broken("lock a state that was created: missing")),
    }
}

pub(super) async fn put<U: UnitOfWork>(
    unit: &mut U,
    table: &Arc<dyn TestTable<U::Tx>>,
    key: &str,
    value: &str,
) -> Result<(), Error> {
    table.put(unit.tx(), key, value).await.map_err(as_error)
}

/// Creates and commits a state row.
pub(super) async fn create<S: ReadModelStore>(store: &S, state: &ProjectionState) -> Result<(), Error> {
    let state = state.clone();
    store
        .transact(DEADLINE, move |mut unit| async move {
            unit.create_state(&state).await?;
            unit.commit(&state, &state).await
        })
        .await
}

/// Commits a move of the state.
pub(super) async fn advance<S: ReadModelStore>(
    store: &S,
    read: &ProjectionState,
    next: &ProjectionState,
) -> Result<(), Error> {
    let (read, next) = (read.clone(), next.clone());
    store
        .transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            unit.commit(&read, &next).await
        })
        .await
}

/// What is committed for a state row; `None` where there is none. The rollback of a transaction whose future was
/// dropped may still be on its way to a server: it is waited for.
pub(super) async fn committed<S: ReadModelStore>(store: &S, key: &ProjectionKey) -> Option<Acquired> {
    let free = async {
        loop {
            let key = key.clone();
            let locked = store.transact(DEADLINE, move |mut unit| async move {
                let locked = unit.lock(&key).await?;
                unit.rollback().await?;
                Ok(locked)
            });
            match locked.await.expect("the store answers") {
                Locked::Busy => tokio::task::yield_now().await,
                Locked::Missing => return None,
                Locked::Acquired(acquired) => return Some(*acquired),
            }
        }
    };
    let acquired = timeout(AT_ONCE, free).await.expect("the state is free");
    acquired.map(|acquired| Acquired { state: untimed(acquired.state), ..acquired })
}

/// The committed rows of the user's table.
pub(super) async fn rows<S: ReadModelStore>(store: &S, table: &Table<S>) -> BTreeMap<String, String> {
    let table = table.clone();
    store
        .transact(DEADLINE, move |mut unit| async move {
            let rows = table.rows(unit.tx()).await.map_err(as_error)?;
            unit.rollback().await?;
            Ok(rows)
        })
        .await
        .expect("the store answers")
}

impl<S: ReadModelStore> StoreFixture<S> {
    /// Creates the state of the projection `p`.
    pub(super) async fn created(&self) -> ProjectionState {
        let state = fresh(key("p"));
        create(&self.store, &state).await.expect("there is no such row yet");
        state
    }

    /// The keys of the committed rows, as another process sees them.
    pub(super) async fn keys(&self) -> Vec<String> {
        rows(&self.second, &self.table).await.into_keys().collect()
    }
}

/// The failed row of an event.
pub(super) fn failed_row(key: &ProjectionKey, state: FailedState, event: &RecordedEvent) -> FailedEvent {
    FailedEvent {
        key: key.clone(),
        generation: 1,
        position: event.position(),
        id: event.id(),
        stream: event.shared_stream().clone(),
        sequence: event.sequence(),
        event_type: event.event_type().into(),
        state,
        class: Class::Permanent,
        code: Some("22012".to_owned()),
        message: "division by zero".to_owned(),
        attempts: 1,
        first_failed_micros: 1,
        last_failed_micros: 2,
        next_attempt_micros: None,
        replay_requested: false,
    }
}

/// A failed row with its letter, where its state has one.
pub(super) fn failure(key: &ProjectionKey, state: FailedState, event: &RecordedEvent) -> Failed {
    let row = failed_row(key, state, event);
    let has_letter = matches!(state, FailedState::Parked | FailedState::Held);
    let letter = has_letter.then(|| DeadLetter { failed: row.clone(), event: event.clone() });
    (row, letter)
}

pub(super) type Failed = (FailedEvent, Option<DeadLetter>);

/// Records failed events in one transaction.
pub(super) async fn record<S: ReadModelStore>(store: &S, read: &ProjectionState, failed: Vec<Failed>) {
    let read = read.clone();
    store
        .transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            for (row, letter) in &failed {
                unit.record_failed(row, letter.as_ref()).await?;
            }
            unit.commit(&read, &read).await
        })
        .await
        .expect("failed events can be recorded");
}

/// All bytes and fields of a letter.
pub(super) fn whole(letter: &DeadLetter) -> String {
    format!("{:?} {:?}", letter.failed, letter.event.parts())
}

/// Open failures, parked streams, and the first parked or held event of a stream.
pub(super) async fn waiting<S: ReadModelStore>(
    store: &S,
    key: &ProjectionKey,
    stream: &str,
) -> (u64, Vec<String>, Option<u64>) {
    let (key, stream) = (key.clone(), stream.to_owned());
    store
        .transact(DEADLINE, move |mut unit| async move {
            let open = unit.open_failures(&key).await?;
            let mut streams = unit.parked_streams(&key).await?;
            streams.sort();
            let first = unit.first_of_stream(&key, &stream).await?;
            Ok((open, streams, first.map(|letter| letter.event.position().commit())))
        })
        .await
        .expect("the store answers")
}
