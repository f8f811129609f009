//! Mocks of the ports (`mockall`), for unit tests of code that is written against them: each call that is
//! expected is scripted, with its answer, and any other fails the test.
//!
//! Where an adapter that behaves is enough, take the in-memory ones of `highwater-testkit`. The ports that
//! are generic over a job or a user's type (`ReadModelStore`, `Projection`) have no mock: split the code so
//! that the part with the decisions takes a [`UnitOfWork`], and drive that with [`MockUnit`].
//!
//! An expectation of a [`MockUnit`] answers with a boxed future: [`ready`] makes one.

// The methods are documented at the ports; what `mock!` generates beside them cannot be.
#![allow(missing_docs)]
// `&(dyn Error + 'static)` needs its parentheses; behind the macro the lint does not see why.
#![allow(unused_parens)]

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use mockall::mock;

use crate::error::Error;
use crate::failure::Failure;
use crate::model::{
    Advance, Append, Appended, Checkpoint, DeadLetter, FailedEvent, Filter, InstanceRank, Position,
    ProjectionKey, ProjectionName, ProjectionPart, ProjectionState, RecordedEvent,
};
use crate::policy::{ClassifyError, Decided};
use crate::ports::{
    AppendEvents, CheckpointPage, CheckpointStore, Clock, Consumer, DeadLetters, Delivery, DynHandler,
    EventBatch, EventLog, EventRange, EventReader, FailedQuery, GroupClaim, GroupKey, GroupOwner,
    HandlerLetter, HeldBack, Jitter, Limit, Locked, Membership, Moment, Nack, Observer, OwnedAdvance,
    OwnedCheckpoints, OwnedEntry, Owner, PersistTarget, PersistenceObserver, PersistenceSeen,
    ProjectionControl, Receipt, Seen, Subscriptions, TableTaken, UnitOfWork,
};

/// What a [`MockUnit`] lends to a projection: a note pad, to see in a test who wrote what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FakeTx(pub Vec<String>);

/// The answer of an expectation whose method returns `impl Future`.
#[must_use]
pub fn ready<T: Send + 'static>(answer: T) -> Pin<Box<dyn Future<Output = T> + Send>> {
    Box::pin(std::future::ready(answer))
}

mock! {
    #[derive(Debug)]
    pub EventLog {}

    #[async_trait]
    impl EventLog for EventLog {
        async fn head(&self) -> Result<Option<Position>, Error>;
        async fn open(&self, after: Option<Position>, filter: &Filter) -> Result<Box<dyn EventReader>, Error>;
        async fn event_at(&self, position: Position) -> Result<Option<RecordedEvent>, Error>;
        async fn count_between(
            &self,
            after: Option<Position>,
            through: Option<Position>,
            filter: &Filter,
        ) -> Result<Option<u64>, Error>;
        async fn held_back(&self) -> Result<Option<HeldBack>, Error>;
    }
}

mock! {
    #[derive(Debug)]
    pub EventReader {}

    #[async_trait]
    impl EventReader for EventReader {
        async fn next(&mut self, limit: Limit) -> Result<EventBatch, Error>;
        async fn next_range(&mut self, limit: Limit) -> Result<EventRange, Error>;
        async fn wait(&mut self) -> Result<(), Error>;
    }
}

mock! {
    #[derive(Debug)]
    pub AppendEvents {}

    #[async_trait]
    impl AppendEvents for AppendEvents {
        async fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, Error>;
    }
}

mock! {
    #[derive(Debug)]
    pub CheckpointStore {}

    #[async_trait]
    impl CheckpointStore for CheckpointStore {
        async fn get(&self, key: &str) -> Result<Option<Checkpoint>, Error>;
        async fn set_if_newer(&self, key: &str, to: Position) -> Result<Advance, Error>;
        async fn set_many_if_newer(&self, entries: &[(String, Position)]) -> Result<Vec<Advance>, Error>;
        async fn reset(&self, key: &str, to: Position, expected: Position) -> Result<Advance, Error>;
        async fn delete(&self, key: &str) -> Result<bool, Error>;
        async fn scan<'s, 'p, 'a>(
            &'s self,
            prefix: &'p str,
            after: Option<&'a str>,
            limit: usize,
        ) -> Result<CheckpointPage, Error>;
        async fn clear(&self, prefix: &str, dry_run: bool) -> Result<u64, Error>;
    }
}

mock! {
    /// Both ports of a store whose keys have an owner.
    #[derive(Debug)]
    pub OwnedCheckpoints {}

    #[async_trait]
    impl CheckpointStore for OwnedCheckpoints {
        async fn get(&self, key: &str) -> Result<Option<Checkpoint>, Error>;
        async fn set_if_newer(&self, key: &str, to: Position) -> Result<Advance, Error>;
        async fn set_many_if_newer(&self, entries: &[(String, Position)]) -> Result<Vec<Advance>, Error>;
        async fn reset(&self, key: &str, to: Position, expected: Position) -> Result<Advance, Error>;
        async fn delete(&self, key: &str) -> Result<bool, Error>;
        async fn scan<'s, 'p, 'a>(
            &'s self,
            prefix: &'p str,
            after: Option<&'a str>,
            limit: usize,
        ) -> Result<CheckpointPage, Error>;
        async fn clear(&self, prefix: &str, dry_run: bool) -> Result<u64, Error>;
    }

    #[async_trait]
    impl OwnedCheckpoints for OwnedCheckpoints {
        async fn claim(&self, key: &str, owner: &str, lease: Duration) -> Result<GroupClaim, Error>;
        async fn advance_owned(
            &self,
            owner: &str,
            lease: Duration,
            entries: &[OwnedEntry],
        ) -> Result<Vec<OwnedAdvance>, Error>;
        async fn release(&self, key: &str, owner: &str, epoch: u64) -> Result<bool, Error>;
        async fn owner(&self, key: &str) -> Result<Option<GroupOwner>, Error>;
        async fn remembers(&self) -> Result<bool, Error>;
    }
}

mock! {
    #[derive(Debug)]
    pub DynHandler {}

    #[async_trait]
    impl DynHandler for DynHandler {
        async fn handle_slice(&self, events: &[RecordedEvent]) -> Result<(), Failure>;
    }
}

mock! {
    #[derive(Debug)]
    pub DeadLetters {}

    #[async_trait]
    impl DeadLetters for DeadLetters {
        async fn publish(&self, letter: &HandlerLetter) -> Result<(), Error>;
        async fn list(
            &self,
            group: &str,
            after: Option<Position>,
            limit: usize,
        ) -> Result<Vec<HandlerLetter>, Error>;
        async fn remove(&self, group: &str, generation: u64, position: Position) -> Result<bool, Error>;
    }
}

mock! {
    #[derive(Debug)]
    pub Subscriptions {}

    #[async_trait]
    impl Subscriptions for Subscriptions {
        async fn ensure(&self, key: &GroupKey) -> Result<(), Error>;
        async fn consume(&self, key: &GroupKey, buffer: usize) -> Result<Box<dyn Consumer>, Error>;
    }
}

mock! {
    #[derive(Debug)]
    pub Consumer {}

    #[async_trait]
    impl Consumer for Consumer {
        async fn receive(&mut self) -> Result<Delivery, Error>;
        async fn ack(&mut self, receipts: &[Receipt]) -> Result<(), Error>;
        async fn nack(&mut self, receipts: &[Receipt], action: Nack, reason: &str) -> Result<(), Error>;
    }
}

mock! {
    #[derive(Debug)]
    pub PersistTarget {}

    #[async_trait]
    impl PersistTarget for PersistTarget {
        async fn persist(&self, keys: &[String]) -> Result<Vec<Result<(), Error>>, Error>;
    }
}

mock! {
    #[derive(Debug)]
    pub ProjectionControl {}

    #[async_trait]
    impl ProjectionControl for ProjectionControl {
        async fn states(&self) -> Result<Vec<ProjectionState>, Error>;
        async fn set_paused(&self, name: &ProjectionName, paused: bool) -> Result<bool, Error>;
        async fn failed_events(&self, query: &FailedQuery, limit: usize) -> Result<Vec<FailedEvent>, Error>;
        async fn dead_letter(
            &self,
            key: &ProjectionKey,
            position: Position,
        ) -> Result<Option<DeadLetter>, Error>;
        async fn request_replay(&self, query: &FailedQuery) -> Result<u64, Error>;
        async fn discard(&self, query: &FailedQuery) -> Result<u64, Error>;
        async fn owner(&self, part: &ProjectionPart) -> Result<Option<Owner>, Error>;
        async fn changed(&self) -> Result<(), Error>;
    }
}

mock! {
    #[derive(Debug)]
    pub Membership {}

    #[async_trait]
    impl Membership for Membership {
        async fn rank(&self) -> Result<InstanceRank, Error>;
    }
}

mock! {
    #[derive(Debug)]
    pub Clock {}

    #[async_trait]
    impl Clock for Clock {
        fn now(&self) -> Moment;
        fn wall_micros(&self) -> i64;
        async fn sleep(&self, duration: Duration);
    }
}

mock! {
    #[derive(Debug)]
    pub Jitter {}

    impl Jitter for Jitter {
        fn next_u64(&self) -> u64;
    }
}

mock! {
    #[derive(Debug)]
    pub Observer {}

    impl Observer for Observer {
        fn seen<'a>(&self, projection: &ProjectionName, what: &Seen<'a>);
    }
}

mock! {
    #[derive(Debug)]
    pub PersistenceObserver {}

    impl PersistenceObserver for PersistenceObserver {
        fn seen<'a>(&self, target: &str, what: &PersistenceSeen<'a>);
    }
}

mock! {
    #[derive(Debug)]
    pub ClassifyError {}

    impl ClassifyError for ClassifyError {
        fn classify(&self, error: &(dyn std::error::Error + 'static)) -> Option<Decided>;
    }
}

mock! {
    /// One scripted transaction.
    #[derive(Debug)]
    pub Unit {}

    impl UnitOfWork for Unit {
        type Tx = FakeTx;

        fn lock(&mut self, key: &ProjectionKey) -> impl Future<Output = Result<Locked, Error>> + Send;
        fn create_state(&mut self, state: &ProjectionState) -> impl Future<Output = Result<(), Error>> + Send;
        fn remove_state(&mut self, key: &ProjectionKey) -> impl Future<Output = Result<(), Error>> + Send;
        fn states(
            &mut self,
            name: &ProjectionName,
        ) -> impl Future<Output = Result<Vec<ProjectionState>, Error>> + Send;
        fn note_tables(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
        fn own_tables(
            &mut self,
            name: &ProjectionName,
            named: &[String],
        ) -> impl Future<Output = Result<Vec<TableTaken>, Error>> + Send;
        fn savepoint(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
        fn rollback_to(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
        fn release(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
        fn tx(&mut self) -> &mut FakeTx;
        fn statement_timeout(
            &mut self,
            limit: Option<Duration>,
        ) -> impl Future<Output = Result<(), Error>> + Send;
        fn parked_streams(
            &mut self,
            key: &ProjectionKey,
        ) -> impl Future<Output = Result<Vec<String>, Error>> + Send;
        fn open_failures(&mut self, key: &ProjectionKey) -> impl Future<Output = Result<u64, Error>> + Send;
        fn record_failed<'a>(
            &mut self,
            failed: &FailedEvent,
            letter: Option<&'a DeadLetter>,
        ) -> impl Future<Output = Result<(), Error>> + Send;
        fn dead_letter(
            &mut self,
            key: &ProjectionKey,
            position: Position,
        ) -> impl Future<Output = Result<Option<DeadLetter>, Error>> + Send;
        fn first_of_stream(
            &mut self,
            key: &ProjectionKey,
            stream: &str,
        ) -> impl Future<Output = Result<Option<DeadLetter>, Error>> + Send;
        fn resolve_failed(
            &mut self,
            key: &ProjectionKey,
            position: Position,
        ) -> impl Future<Output = Result<(), Error>> + Send;
        fn clear_failed(&mut self, key: &ProjectionKey) -> impl Future<Output = Result<(), Error>> + Send;
        fn commit(
            self,
            read: &ProjectionState,
            next: &ProjectionState,
        ) -> impl Future<Output = Result<(), Error>> + Send;
        fn rollback(self) -> impl Future<Output = Result<(), Error>> + Send;
    }
}
