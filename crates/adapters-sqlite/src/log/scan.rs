//! Reading a piece of the log.
//!
//! The filter is part of the SQL: what it refuses never leaves SQLite, its payload is not even read. So that
//! a filter which matches nothing does not hold a call for the whole length of the log, one call looks at a
//! window of positions; what comes back then is a scanned bound further on.

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params_from_iter};

use highwater_core::error::Error;
use highwater_core::model::{Filter, Interner, Position, RecordedEvent};
use highwater_core::ports::{EventBatch, EventRange, Limit};

use super::extent::{Bound, first_behind, last_until};
use super::rows::{COLUMNS, EventRow, Events, READ, position_of};
use crate::error::{During, corrupt};
use crate::filter_sql::filter_sql;

/// How many positions one call looks at when it filters, at least: some milliseconds' worth.
const WINDOW: i64 = 20_000;
/// Beyond the batch that is asked for: a filter that lets through every fourth event still fills it in one
/// call.
const WINDOW_FACTOR: i64 = 4;

/// The statements of one reader.
#[derive(Debug)]
pub(super) struct Scan {
    events: String,
    sizes: String,
    filtered: bool,
}

/// Where a scan came to.
struct Reached {
    scanned: Option<Position>,
    caught_up: bool,
}

impl Scan {
    pub(super) fn new(filter: &Filter) -> Self {
        let condition = filter_sql(filter);
        let filtered = condition.is_some();
        // Without a filter nothing is looked at in vain, and the window would only be in the way.
        let condition = condition.map(|sql| format!(" AND position <= ?3 AND ({sql})")).unwrap_or_default();
        let select = |columns| {
            format!(
                "SELECT {columns} FROM highwater_event WHERE (position, \"offset\") > (?1, ?2){condition} \
                 ORDER BY position, \"offset\""
            )
        };
        // The length of a value is read without its content.
        let sizes = "position, \"offset\", octet_length(type) + octet_length(stream) + octet_length(data) \
             + octet_length(metadata)";
        Self { events: select(COLUMNS), sizes: select(sizes), filtered }
    }

    /// The next events behind `after`. `events` has room as the last batch had.
    pub(super) fn events(
        &self,
        conn: &Connection,
        after: Option<Position>,
        limit: Limit,
        names: &mut Interner,
        mut events: Events,
    ) -> Result<(EventBatch, usize), Error> {
        let mut taken = Taken::new(limit);
        let reached = self.run(conn, &self.events, after, limit, |row| {
            let row = EventRow::of(row)?;
            if !taken.fits(row.size()) {
                return Ok(Step::Full(None));
            }
            events.take(&row, names)?;
            Ok(taken.step(row.position))
        })?;
        let bytes = events.bytes();
        let events: Vec<RecordedEvent> = events.finish();
        Ok((EventBatch { events, scanned: reached.scanned, caught_up: reached.caught_up }, bytes))
    }

    /// Their extent only.
    pub(super) fn range(
        &self,
        conn: &Connection,
        after: Option<Position>,
        limit: Limit,
    ) -> Result<EventRange, Error> {
        let mut taken = Taken::new(limit);
        let mut last = None;
        let reached = self.run(conn, &self.sizes, after, limit, |row| {
            let size: i64 = row.get(2).during(READ)?;
            if !taken.fits(usize::try_from(size).unwrap_or(usize::MAX)) {
                return Ok(Step::Full(None));
            }
            let position = position_of(row)?;
            last = Some(position);
            Ok(taken.step(position))
        })?;
        let events = u64::try_from(taken.events).unwrap_or(u64::MAX);
        Ok(EventRange { events, last, scanned: reached.scanned, caught_up: reached.caught_up })
    }

    fn run(
        &self,
        conn: &Connection,
        sql: &str,
        after: Option<Position>,
        limit: Limit,
        mut take: impl FnMut(&Row<'_>) -> Result<Step, Error>,
    ) -> Result<Reached, Error> {
        if !self.filtered {
            let bound = Bound::of(after);
            return Ok(match step_through(conn, sql, [bound.position, bound.offset], &mut take)? {
                Stepped::Full(last) => Reached { scanned: after.max(last), caught_up: false },
                Stepped::End(last) => Reached { scanned: after.max(last), caught_up: true },
            });
        }
        // What the log holds beyond the matches is asked for in statements of their own: all must see the
        // same commit, or an event that comes between two of them would be passed over.
        let snapshot = Transaction::new_unchecked(conn, TransactionBehavior::Deferred).during(READ)?;
        let window =
            i64::try_from(limit.events).unwrap_or(i64::MAX).saturating_mul(WINDOW_FACTOR).max(WINDOW);
        let mut bound = Bound::of(after);
        let reached = loop {
            let end = bound.position.saturating_add(window);
            let stepped = step_through(&snapshot, sql, [bound.position, bound.offset, end], &mut take)?;
            if let Stepped::Full(last) = stepped {
                break Reached { scanned: after.max(last), caught_up: false };
            }
            let looked_at = last_until(&snapshot, end).during(READ)?.map(row_position).transpose()?;
            let Some((next, _)) = first_behind(&snapshot, end).during(READ)? else {
                break Reached { scanned: after.max(looked_at), caught_up: true };
            };
            if looked_at > after {
                break Reached { scanned: looked_at, caught_up: false };
            }
            // A hole as wide as the window: go on right before the next event.
            bound = Bound { position: next - 1, offset: i64::MAX };
        };
        snapshot.finish().during(READ)?;
        Ok(reached)
    }
}

/// What to do behind a row.
enum Step {
    Next(Position),
    /// Stop; the row was taken if it is named here.
    Full(Option<Position>),
}

/// How it ended, with the last row that was taken.
enum Stepped {
    Full(Option<Position>),
    End(Option<Position>),
}

fn step_through<const N: usize>(
    conn: &Connection,
    sql: &str,
    bounds: [i64; N],
    take: &mut impl FnMut(&Row<'_>) -> Result<Step, Error>,
) -> Result<Stepped, Error> {
    let mut select = conn.prepare_cached(sql).during(READ)?;
    let mut rows = select.query(params_from_iter(bounds)).during(READ)?;
    let mut last = None;
    while let Some(row) = rows.next().during(READ)? {
        match take(row)? {
            Step::Next(position) => last = Some(position),
            Step::Full(position) => return Ok(Stepped::Full(position.or(last))),
        }
    }
    Ok(Stepped::End(last))
}

pub(super) fn row_position((position, offset): (i64, i64)) -> Result<Position, Error> {
    match (u64::try_from(position), u64::try_from(offset)) {
        (Ok(commit), Ok(prepare)) => Ok(Position::new(commit, prepare)),
        _ => Err(corrupt(READ, "a position is negative")),
    }
}

/// How far a limit is used up.
struct Taken {
    limit: Limit,
    events: usize,
    bytes: usize,
}

impl Taken {
    fn new(limit: Limit) -> Self {
        Self { limit, events: 0, bytes: 0 }
    }

    /// Whether one more of this size may be taken; counts it if so. The first always may.
    fn fits(&mut self, size: usize) -> bool {
        let bytes = self.bytes.saturating_add(size);
        if self.events > 0 && bytes > self.limit.bytes {
            return false;
        }
        self.events += 1;
        self.bytes = bytes;
        true
    }

    fn step(&self, position: Position) -> Step {
        if self.events >= self.limit.events { Step::Full(Some(position)) } else { Step::Next(position) }
    }
}
