//! Reading an append-only event log.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::Error;
use crate::model::{Filter, Position, RecordedEvent};

/// How much one read may return: whichever is reached first. Both bound memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Events at most; at least 1.
    pub events: usize,
    /// Bytes at most, by `RecordedEvent::size`; a single larger event is still returned, alone.
    pub bytes: usize,
}

/// A contiguous piece of the log, filtered.
#[derive(Debug, Clone, Default)]
pub struct EventBatch {
    /// The events that the filter lets through, in log order.
    pub events: Vec<RecordedEvent>,
    /// The scanned bound: everything up to here was looked at. `None` while nothing was.
    pub scanned: Option<Position>,
    /// The end of the log was reached.
    pub caught_up: bool,
}

/// A contiguous piece of the log of which only the extent was read: for set-based SQL where log and read model
/// are in one database, so that events need not leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventRange {
    /// How many events the filter lets through.
    pub events: u64,
    /// The last of them.
    pub last: Option<Position>,
    /// As in [`EventBatch`].
    pub scanned: Option<Position>,
    /// As in [`EventBatch`].
    pub caught_up: bool,
}

/// What holds the readers of a log back: an appender that has not ended, behind which events are stored that may
/// not be read yet, because what it appends may have to come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// The position behind which readers wait.
    pub position: Position,
    /// For how long it has been so at most: the time since the appender began. `None` where the log is not told.
    pub age: Option<Duration>,
    /// Who it is, for people: enough to find it and to end it.
    pub holder: String,
}

/// A log of events with one order.
///
/// # Laws
/// 1. **Nothing is passed over**: once a reader returned a scanned bound, no event at or below it becomes visible
///    later (E-1, E-2).
/// 2. Events come in strictly rising position; per stream in rising sequence.
/// 3. `open(after)` begins with the first event behind `after`, whether or not an event stands at `after` (E-3).
/// 4. A filter leaves out exactly what `Filter::matches` refuses; the scanned bound moves over what is left out,
///    and a filter that matches nothing still reaches the end of the log (E-4).
/// 5. A read error is an error, never an empty batch (E-8).
/// 6. Names, types and payloads come back byte for byte.
/// 7. `head` is the position of the last event, whatever any filter says; `None` in an empty log.
/// 8. `event_at` answers `None` only if no event stands there.
/// 9. `count_between` counts the events behind `after`, up to and including `through`, that the filter lets
///    through, or says `None` where the log cannot count.
/// 15. `held_back` names what keeps readers from events that are stored, for as long as it does; it is `None` when
///     every append has ended, well or not.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// The position of the last event that may be read.
    ///
    /// # Errors
    /// When the log cannot be asked.
    async fn head(&self) -> Result<Option<Position>, Error>;

    /// A reader of the events behind `after` (of all, for `None`) that `filter` lets through.
    ///
    /// # Errors
    /// When the log cannot be opened.
    async fn open(&self, after: Option<Position>, filter: &Filter) -> Result<Box<dyn EventReader>, Error>;

    /// The event at exactly `position` (E-7).
    ///
    /// # Errors
    /// When the log cannot be asked.
    async fn event_at(&self, position: Position) -> Result<Option<RecordedEvent>, Error>;

    /// How many matching events stand in `(after, through]` (E-25).
    ///
    /// # Errors
    /// When the log cannot be asked.
    async fn count_between(
        &self,
        after: Option<Position>,
        through: Option<Position>,
        filter: &Filter,
    ) -> Result<Option<u64>, Error>;

    /// What holds readers back now. The default is `None`, for a log in which nothing can.
    ///
    /// # Errors
    /// When the log cannot be asked.
    async fn held_back(&self) -> Result<Option<HeldBack>, Error> {
        Ok(None)
    }
}

/// One reader's place in a log.
///
/// # Laws
/// 10. After an error or a dropped future the reader stands where it stood; the same `next` may be tried again.
/// 11. A batch holds at most the limit's events, and at most its bytes unless it holds a single event.
/// 12. `scanned` never goes back; a batch without events has either a further scanned bound, or is caught up.
///     One call looks at a bounded piece of the log, so that a filter which matches nothing does not hold it.
/// 13. `next_range` advances exactly as `next` would have with the same limit.
/// 14. `wait` returns soon after an append that this reader has not yet seen; it may return too often. It is a
///     hint: a caller always arms a timer beside it. Dropping the future ends the wait.
#[async_trait]
pub trait EventReader: Send {
    /// The next piece of the log; returns at once, if need be with nothing.
    ///
    /// # Errors
    /// When the log cannot be read.
    async fn next(&mut self, limit: Limit) -> Result<EventBatch, Error>;

    /// The extent of the next piece of the log, without its events. `Unsupported` where the log cannot.
    ///
    /// # Errors
    /// When the log cannot be read.
    async fn next_range(&mut self, limit: Limit) -> Result<EventRange, Error>;

    /// Waits for something new.
    ///
    /// # Errors
    /// When the log can no longer be watched.
    async fn wait(&mut self) -> Result<(), Error>;
}
