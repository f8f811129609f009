//! What a user writes: an event goes in, the read model changes inside the batch's transaction.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;

use crate::failure::Failure;
use crate::model::{Partition, Position, RecordedEvent};

/// A read model in Rust. It gets the batch's transaction, and nothing else to write with (E-9): that, and only
/// that, makes it exactly once.
///
/// `Tx` names the store: `SqliteTx` for SQLite, and so on.
///
/// # Laws of an implementation
/// 1. It writes through `tx` only. What it does elsewhere (a call to another service, a static counter) happens
///    at least once, since a batch that fails is applied again.
/// 2. Its effect does not depend on how the log is cut into batches.
/// 3. It does not swallow an error of `tx`: a transaction may be unusable afterwards.
/// 4. Where it is divided into partitions, order holds within a stream only, and each partition commits in a
///    transaction of its own: a row that streams of two partitions write is written so that neither their order nor
///    their meeting matters, as a counter that is added to in the database.
///
/// A panic is caught and counts as an unclassified failure; that needs `panic = "unwind"`, the default, in the
/// profile of the program.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a projection for this builder's store",
    label = "needs `impl Projection<{Tx}> for {Self}`",
    note = "a projection names its store by the connection it is given: `SqliteTx` after `.sqlite(..)`; choose the store before `.projection(..)`"
)]
pub trait Projection<Tx: Send>: Send + Sync + 'static {
    /// Applies one event.
    ///
    /// # Errors
    /// Any error; its type decides what happens (see `Failure`).
    fn apply(&self, event: &RecordedEvent, tx: &mut Tx) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Applies many events, in order. The default applies one after the other and says which one failed;
    /// override it to fold them and write once.
    ///
    /// # Errors
    /// As [`Projection::apply`]. State the culprit with `Failure::at` where it is known: it saves a search.
    fn apply_batch(
        &self,
        events: &[RecordedEvent],
        tx: &mut Tx,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async move {
            for (index, event) in events.iter().enumerate() {
                self.apply(event, tx).await.map_err(|failure| failure.at(index))?;
            }
            Ok(())
        }
    }

    /// Creates the read model's tables; called once per version, in the transaction that creates its state.
    ///
    /// # Errors
    /// Any error stops the start.
    fn setup(&self, tx: &mut Tx) -> impl Future<Output = Result<(), Failure>> + Send {
        let _unused = tx;
        async { Ok(()) }
    }

    /// Empties the read model, for a rebuild; called in the transaction that resets the state. The default
    /// refuses, since what is not emptied would be applied twice.
    ///
    /// # Errors
    /// Any error stops the rebuild; nothing has changed then.
    fn clear(&self, tx: &mut Tx) -> impl Future<Output = Result<(), Failure>> + Send {
        let _unused = tx;
        async {
            Err(Failure::new(
                "this projection cannot be rebuilt: it does not say how its read model is emptied (implement `clear`)",
            ))
        }
    }
}

/// A piece of a batch.
#[derive(Debug, Clone, Copy)]
pub enum ApplySlice<'e> {
    /// These events, in order.
    Events {
        /// The events.
        events: &'e [RecordedEvent],
        /// They are all that the filter lets through between the first and the last of them.
        contiguous: bool,
    },
    /// All events that the filter lets through in `(after, through]`, `count` of them, which were not read.
    Range {
        /// Behind this position.
        after: Option<Position>,
        /// Up to and including this one.
        through: Position,
        /// How many they are.
        count: u64,
    },
}

impl ApplySlice<'_> {
    /// How many events it stands for.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Events { events, .. } => u64::try_from(events.len()).unwrap_or(u64::MAX),
            Self::Range { count, .. } => *count,
        }
    }

    /// Whether it stands for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How far a slice was applied.
#[derive(Debug)]
pub enum Until {
    /// To its end.
    All,
    /// To the event of this number, counted from 0, which is not applied.
    Before {
        /// The number.
        index: usize,
        /// What it fails with when it stands alone. `None`: the events have failed together, and those before it have
        /// passed.
        failure: Option<Failure>,
    },
}

/// A projection behind a pointer, called once per slice: what the runtime drives. Implemented for every
/// [`Projection`]; implement it by hand only for a projection that works on ranges inside the database.
#[async_trait]
pub trait DynProjection<Tx: Send>: Send + Sync {
    /// Applies a slice. Never panics: a panic is a failure.
    ///
    /// # Errors
    /// The failure, with the culprit's index where it is known.
    async fn apply_slice(&self, slice: ApplySlice<'_>, tx: &mut Tx) -> Result<(), Failure>;

    /// Whether `apply_until` finds the event that cannot be applied by itself, sooner than the runner would by
    /// halving slices. The default is no.
    fn finds_culprits(&self) -> bool {
        false
    }

    /// As [`DynProjection::apply_slice`], for events of which one probably cannot be applied: those before it are
    /// applied, and it leaves nothing. `known`: they cannot be applied together. Called where
    /// [`DynProjection::finds_culprits`] says so, and the slice is contiguous.
    ///
    /// # Errors
    /// What says nothing of a single event; then nothing of the slice counts, and the runner halves it.
    async fn apply_until(
        &self,
        events: &[RecordedEvent],
        known: bool,
        tx: &mut Tx,
    ) -> Result<Until, Failure> {
        let _unused = known;
        self.apply_slice(ApplySlice::Events { events, contiguous: true }, tx).await.map(|()| Until::All)
    }

    /// See [`Projection::setup`].
    ///
    /// # Errors
    /// As there.
    async fn setup(&self, tx: &mut Tx) -> Result<(), Failure>;

    /// Checks, at each start after `setup`, that the projection can work on this read model (F-5): statements
    /// are prepared, tables exist. Changes nothing.
    ///
    /// # Errors
    /// What is missing, and where.
    async fn check(&self, tx: &mut Tx) -> Result<(), Failure>;

    /// See [`Projection::clear`].
    ///
    /// # Errors
    /// As there.
    async fn clear(&self, tx: &mut Tx) -> Result<(), Failure>;

    /// Whether it takes [`ApplySlice::Range`]: then the events of a clean batch are not read at all.
    fn takes_ranges(&self) -> bool;

    /// The same projection for one partition: it leaves out the other partitions' streams wherever it reads the
    /// log by itself (a range, or slices that are contiguous), and [`DynProjection::partition`] says so. The
    /// default is `None`: then it is given events only, no range, and no slice is said to be contiguous.
    fn for_partition(&self, partition: Partition) -> Option<Arc<dyn DynProjection<Tx>>> {
        let _unused = partition;
        None
    }

    /// The partition for which `for_partition` has made it; `None` for one that was made for all streams.
    fn partition(&self) -> Option<Partition> {
        None
    }

    /// The tables that `setup` creates, where that is known without running it (E-14).
    fn creates(&self) -> Vec<String>;
}

#[async_trait]
impl<Tx: Send, P: Projection<Tx>> DynProjection<Tx> for P {
    async fn apply_slice(&self, slice: ApplySlice<'_>, tx: &mut Tx) -> Result<(), Failure> {
        let ApplySlice::Events { events, .. } = slice else {
            return Err(Failure::new("a projection in Rust was given a range instead of events"));
        };
        caught(self.apply_batch(events, tx)).await
    }

    async fn setup(&self, tx: &mut Tx) -> Result<(), Failure> {
        caught(Projection::setup(self, tx)).await
    }

    async fn check(&self, _tx: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }

    async fn clear(&self, tx: &mut Tx) -> Result<(), Failure> {
        caught(Projection::clear(self, tx)).await
    }

    fn takes_ranges(&self) -> bool {
        false
    }

    fn creates(&self) -> Vec<String> {
        Vec::new()
    }
}

async fn caught(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(Failure::panicked(&*panic)))
}
