//! One reader's place in the log.
//!
//! A reader of everything sees by itself whether there is a gap: while there is none it asks nothing further.
//! A reader with a filter cannot see it and goes by the horizon alone. Each statement is a transaction of its
//! own, so none is open while anybody waits, and each sees what was committed before it began.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::time::timeout;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Filter, Position};
use highwater_core::ports::{EventBatch, EventRange, EventReader, Limit};

use super::horizon::Settled;
use super::pg_log::Shared;
use super::piece::{About, Ask, Piece, Pieces, Place};
use super::quiet::Mark;
use super::rows::READ;
use crate::filter_sql::FilterSql;
use crate::number::{clamped, position};

/// How many positions one call looks at when it filters, at least: some milliseconds' worth.
const WINDOW: i64 = 20_000;
/// Beyond the batch that is asked for: a filter that lets through every fourth event still fills it in one
/// call.
const WINDOW_FACTOR: i64 = 4;
/// Behind an appender that has not committed yet a reader looks again by itself: whether that one rolls back
/// is announced by nobody. The pauses double, so that the wait becomes longer by half at most.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
];

/// What is wanted of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Events,
    Extent,
}

/// Where a call came to.
struct Step {
    piece: Piece,
    cursor: Place,
    scanned: Option<Position>,
    caught_up: bool,
    held: bool,
}

/// Reads behind a position.
pub(super) struct PgReader {
    log: Arc<Shared>,
    pieces: Pieces,
    /// Everything up to here was looked at.
    cursor: Place,
    /// The same, as the last event there or the position that the reader was opened with.
    scanned: Option<Position>,
    about: About,
    appended: watch::Receiver<u64>,
    /// It stands behind an appender that has not ended, and has looked again so often in vain.
    held: Option<usize>,
    /// The last read found nothing.
    found_nothing: bool,
    /// What it knows of the end of the log.
    mark: Option<Mark>,
}

impl PgReader {
    pub(super) fn new(log: &Arc<Shared>, after: Option<Position>, filter: &Filter) -> Self {
        let mut appended = log.database.control().appended();
        // What is there already is news to this reader.
        appended.mark_changed();
        Self {
            pieces: Pieces::new(log.database.names(), FilterSql::new(filter)),
            log: log.clone(),
            cursor: after.map_or((0, -1), clamped),
            scanned: after,
            about: About::default(),
            appended,
            held: None,
            found_nothing: false,
            mark: None,
        }
    }

    async fn read(&mut self, want: Want, limit: Limit) -> Result<Step, Error> {
        // Before looking: what is appended from here on wakes the next wait.
        let woken = *self.appended.borrow_and_update();
        let step = match self.nothing_new(woken).await {
            Ok(Some(nothing)) => return Ok(nothing),
            Ok(None) => self.step(want, limit, woken).await,
            Err(error) => Err(error),
        };
        match &step {
            Ok(step) => {
                self.found_nothing = step.piece.count == 0 && step.caught_up && !step.held;
                if !self.found_nothing {
                    self.mark = None;
                }
                self.cursor = step.cursor;
                self.scanned = step.scanned;
                let again = self.held.filter(|_| step.piece.count == 0);
                self.held = step.held.then(|| again.map_or(0, |times| times + 1));
            }
            Err(error) => {
                self.mark = None;
                self.appended.mark_changed();
                if error.kind() == ErrorKind::Unavailable {
                    self.log.horizon.forget();
                }
            }
        }
        step
    }

    /// The end of the log, if it is certain that it is where it was.
    async fn nothing_new(&self, woken: u64) -> Result<Option<Step>, Error> {
        let Some(mark) = self.mark else { return Ok(None) };
        let nothing = self.log.quiet.nothing_behind(mark, woken, &self.log.database).await?;
        Ok(nothing.then(|| Step {
            piece: Piece::default(),
            cursor: self.cursor,
            scanned: self.scanned,
            caught_up: true,
            held: false,
        }))
    }

    async fn step(&mut self, want: Want, limit: Limit, woken: u64) -> Result<Step, Error> {
        let log = self.log.clone();
        let mut connection = log.database.connection(READ).await?;
        self.mark = match self.found_nothing {
            // Only who stands at the end leaves a mark: it costs a statement.
            true => log.quiet.mark(&mut connection, log.horizon.gate(), self.cursor.0, woken).await?,
            false => None,
        };
        if self.pieces.filtered() {
            self.by_horizon(&mut connection, want, limit).await
        } else {
            self.by_contiguity(&mut connection, want, limit).await
        }
    }

    async fn piece(&mut self, connection: &mut PgConnection, want: Want, ask: Ask) -> Result<Piece, Error> {
        match want {
            Want::Events => self.pieces.events(connection, ask, &mut self.about).await,
            Want::Extent => self.pieces.extent(connection, ask).await,
        }
    }

    async fn settle(&self, connection: &mut PgConnection) -> Result<Settled, Error> {
        let settled = self.log.horizon.settle(connection).await?;
        self.log.ledger.note(connection, self.log.database.names(), settled.through).await;
        Ok(settled)
    }

    async fn by_contiguity(
        &mut self,
        connection: &mut PgConnection,
        want: Want,
        limit: Limit,
    ) -> Result<Step, Error> {
        let known = self.log.horizon.through();
        let ask = Ask { after: self.cursor, end: i64::MAX, limit, settled: known };
        if ask.after.0 <= known {
            let piece = self.piece(connection, want, ask).await?;
            if piece.contiguous {
                if let Some((through, _)) = piece.last {
                    self.log.horizon.reached(through);
                }
                return self.served(piece, false);
            }
        }
        // A gap. What was read is dropped: it was seen before the locks.
        let settled = self.settle(connection).await?;
        let ask = Ask { end: settled.through, settled: settled.through, ..ask };
        let piece = match ask.after.0 <= ask.end {
            true => self.piece(connection, want, ask).await?,
            false => Piece::default(),
        };
        self.served(piece, settled.held())
    }

    fn served(&self, piece: Piece, held: bool) -> Result<Step, Error> {
        let cursor = piece.last.unwrap_or(self.cursor);
        let last = piece.last.map(to_position).transpose()?;
        let caught_up = !piece.full;
        Ok(Step { cursor, scanned: self.scanned.max(last), caught_up, held: held && caught_up, piece })
    }

    async fn by_horizon(
        &mut self,
        connection: &mut PgConnection,
        want: Want,
        limit: Limit,
    ) -> Result<Step, Error> {
        let window =
            i64::try_from(limit.events).unwrap_or(i64::MAX).saturating_mul(WINDOW_FACTOR).max(WINDOW);
        let mut cursor = self.cursor;
        let mut through = self.log.horizon.through();
        let mut fresh = None;
        if through < cursor.0.saturating_add(window) {
            let settled = self.settle(connection).await?;
            through = settled.through;
            fresh = Some(settled);
        }
        loop {
            if cursor.0 > through || cursor == (through, i64::MAX) {
                let held = fresh.is_some_and(|settled| settled.held());
                let piece = Piece::default();
                return Ok(Step { piece, cursor, scanned: self.scanned, caught_up: true, held });
            }
            let end = through.min(cursor.0.saturating_add(window));
            let piece =
                self.piece(connection, want, Ask { after: cursor, end, limit, settled: through }).await?;
            if piece.full {
                return self.served(piece, false);
            }
            let caught_up = fresh.is_some() && end == through;
            let looked_at = match fresh.and_then(|settled| settled.visible) {
                Some(visible) if caught_up && visible.0 == end => Some(visible),
                _ => self.log.horizon.last_until(connection, end).await?,
            };
            let scanned = self.scanned.max(looked_at.map(to_position).transpose()?);
            if piece.count > 0 || caught_up || scanned > self.scanned {
                let held = caught_up && fresh.is_some_and(|settled| settled.held());
                return Ok(Step { piece, cursor: (end, i64::MAX), scanned, caught_up, held });
            }
            // Nothing but dead numbers, as wide as the window: go on right before the next event.
            if fresh.is_none() {
                let settled = self.settle(connection).await?;
                through = settled.through;
                fresh = Some(settled);
            }
            let next = self.log.first_behind(connection, end).await?;
            cursor = match next {
                Some(next) if next <= through => (next - 1, i64::MAX),
                _ => (through, i64::MAX),
            };
        }
    }
}

fn to_position((commit, prepare): Place) -> Result<Position, Error> {
    position(commit, prepare)
}

#[async_trait]
impl EventReader for PgReader {
    async fn next(&mut self, limit: Limit) -> Result<EventBatch, Error> {
        let Step { piece, scanned, caught_up, .. } = self.read(Want::Events, limit).await?;
        Ok(EventBatch { events: piece.events, scanned, caught_up })
    }

    async fn next_range(&mut self, limit: Limit) -> Result<EventRange, Error> {
        let Step { piece, scanned, caught_up, .. } = self.read(Want::Extent, limit).await?;
        let last = piece.last.map(to_position).transpose()?;
        Ok(EventRange { events: piece.count, last, scanned, caught_up })
    }

    async fn wait(&mut self) -> Result<(), Error> {
        let closed = |error| Error::new(ErrorKind::Closed, "wait for events").because(error);
        match self.held {
            None => self.appended.changed().await.map_err(closed),
            Some(times) => {
                let pause = PAUSES[times.min(PAUSES.len() - 1)];
                match timeout(pause, self.appended.changed()).await {
                    Ok(changed) => changed.map_err(closed),
                    Err(_elapsed) => Ok(()),
                }
            }
        }
    }
}
