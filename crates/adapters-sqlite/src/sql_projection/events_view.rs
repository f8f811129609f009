//! The relation `events` that `apply` reads (F-2).
//!
//! It is a view in the temp schema, which SQLite searches first, so it shadows a user's table of that name
//! and cannot be written to. Where log and read model are one database it reads the log where it stands,
//! between two bounds; else it reads a temp table that was filled with the batch. The bounds come out of a
//! function that is constant while a statement runs, so the planner folds the view into the user's statement
//! and searches the log's primary key with both bounds, as if they had been written there. Id and time are
//! turned into text by functions, too: only SQL that asks for them pays for them.
//!
//! DDL in the temp schema is undone with the transaction around it, so nothing about it is remembered here:
//! what stands in the schema is looked up, and put right where it differs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Filter, RecordedEvent, rfc3339};
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::error::sqlite_error;
use crate::filter_sql::filter_sql;

use super::bounds::Bound;
use super::payload;

const COLUMNS: &str = "position, \"offset\", highwater_uuid(id) AS id, stream, category, sequence, type, \
     highwater_rfc3339(time) AS time, data, nullif(nullif(metadata, ''), x'') AS metadata";
const SET_RANGE: &str = "SELECT highwater_set_range(?1, ?2, ?3, ?4)";

/// Where the events are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// In the log, in this database.
    Log,
    /// In the temp table that [`EventsView::fill`] fills.
    Slice,
}

/// The view in its two forms.
#[derive(Debug)]
pub(super) struct EventsView {
    over_log: String,
    over_slice: String,
}

impl EventsView {
    /// A view of the events that `filter` lets through. A slice has been filtered before, except for the
    /// types that do not go to `apply`; those are not put into it.
    pub(super) fn new(filter: &Filter) -> Self {
        let range = "(position, \"offset\") > (highwater_range(0), highwater_range(1)) \
             AND (position, \"offset\") <= (highwater_range(2), highwater_range(3))";
        let filter = filter_sql(filter).map(|condition| format!(" AND {condition}")).unwrap_or_default();
        Self {
            // For a join SQLite may build an index of its own, and reads the table from one end to the other
            // for it, whatever the bounds. NOT INDEXED forbids that; the search by the primary key stays,
            // since a table without rowids is its primary key.
            over_log: format!(
                "events AS SELECT {COLUMNS} FROM main.highwater_event NOT INDEXED WHERE {range}{filter}"
            ),
            over_slice: format!("events AS SELECT {COLUMNS} FROM temp.highwater_slice"),
        }
    }

    /// Makes `events` stand for `source` on this connection; nothing is done where it does already.
    pub(super) fn ensure(&self, conn: &Connection, source: Source) -> Result<(), Error> {
        self.try_ensure(conn, source).map_err(|error| sqlite_error("set up the relation events", error))
    }

    fn try_ensure(&self, conn: &Connection, source: Source) -> rusqlite::Result<()> {
        let wanted = match source {
            Source::Log => &self.over_log,
            Source::Slice => &self.over_slice,
        };
        if source == Source::Slice {
            // Also where the view is there: what is looked up cheaply need not be believed twice.
            conn.prepare_cached(
                "CREATE TEMP TABLE IF NOT EXISTS highwater_slice (
                    position INTEGER NOT NULL, \"offset\" INTEGER NOT NULL, id BLOB, stream TEXT,
                    category TEXT, sequence INTEGER, type TEXT, time INTEGER, data, metadata,
                    PRIMARY KEY (position, \"offset\")) WITHOUT ROWID",
            )?
            .execute([])?;
        }
        match standing(conn)? {
            Some((_, sql)) if sql.ends_with(wanted.as_str()) => return Ok(()),
            Some((kind, _)) => drop_events(conn, &kind)?,
            None => {}
        }
        register_functions(conn)?;
        conn.execute_batch(&format!("CREATE TEMP VIEW {wanted}"))
    }

    /// Takes `events` away, so that the names in a user's DDL mean what the user wrote.
    pub(super) fn remove(conn: &Connection) -> Result<(), Error> {
        let remove = || match standing(conn)? {
            Some((kind, _)) => drop_events(conn, &kind),
            None => Ok(()),
        };
        remove().map_err(|error| sqlite_error("take away the relation events", error))
    }

    /// Limits the view over the log to `(after, through]`.
    pub(super) fn set_range(conn: &Connection, after: Bound, through: Bound) -> Result<(), Error> {
        conn.prepare_cached(SET_RANGE)
            .and_then(|mut set| {
                set.query_row([after.position, after.offset, through.position, through.offset], |_| Ok(()))
            })
            .map_err(|error| sqlite_error("set the range of the relation events", error))
    }

    /// Puts events into the slice, in place of what was there. A failure comes with the index of its event,
    /// where it is one event's.
    pub(super) fn fill<'e>(
        conn: &Connection,
        events: impl Iterator<Item = (usize, &'e RecordedEvent)>,
    ) -> Result<(), (Option<usize>, Error)> {
        let failed = |error| (None, sqlite_error("fill the relation events", error));
        Self::empty(conn).map_err(|error| (None, error))?;
        let mut insert = conn
            .prepare_cached(
                "INSERT INTO temp.highwater_slice VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )
            .map_err(failed)?;
        for (index, event) in events {
            let number = |name, value| payload::integer(name, value).map_err(|error| (Some(index), error));
            let position = number("position", event.position().commit())?;
            let offset = number("offset", event.position().prepare())?;
            let sequence = number("sequence", event.sequence())?;
            let id = event.id();
            insert
                .execute((
                    position,
                    offset,
                    id.as_bytes().as_slice(),
                    event.stream(),
                    event.category(),
                    sequence,
                    event.event_type(),
                    event.time_micros(),
                    payload::payload(event.content_type(), event.data()),
                    payload::payload(event.content_type(), event.metadata()),
                ))
                .map_err(|error| (Some(index), sqlite_error("fill the relation events", error)))?;
        }
        Ok(())
    }

    /// Empties the slice: it need not keep a batch's payloads until the next.
    pub(super) fn empty(conn: &Connection) -> Result<(), Error> {
        conn.prepare_cached("DELETE FROM temp.highwater_slice")
            .and_then(|mut delete| delete.execute([]))
            .map(|_| ())
            .map_err(|error| sqlite_error("empty the relation events", error))
    }
}

/// What is called `events` in the temp schema: its type and its SQL.
fn standing(conn: &Connection) -> rusqlite::Result<Option<(String, String)>> {
    conn.prepare_cached(
        "SELECT type, sql FROM temp.sqlite_schema
         WHERE name = 'events' COLLATE NOCASE AND type IN ('table', 'view')",
    )?
    .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
    .optional()
}

fn drop_events(conn: &Connection, kind: &str) -> rusqlite::Result<()> {
    conn.execute_batch(if kind == "view" { "DROP VIEW temp.events" } else { "DROP TABLE temp.events" })
}

/// Gives the connection the functions that the view calls; a connection that has them is left alone.
///
/// The range is "deterministic" in SQLite's terms because it never changes while a statement runs.
fn register_functions(conn: &Connection) -> rusqlite::Result<()> {
    if conn.prepare(SET_RANGE).is_ok() {
        return Ok(());
    }
    let in_views =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function("highwater_uuid", 1, in_views, |call| match call.get_raw(0).as_blob() {
        Ok(id) => {
            let id = Uuid::from_slice(id).map_err(user_error)?;
            let mut text = [0; Hyphenated::LENGTH];
            Ok(Some(id.hyphenated().encode_lower(&mut text).to_owned()))
        }
        Err(_) => Ok(None),
    })?;
    conn.create_scalar_function("highwater_rfc3339", 1, in_views, |call| {
        Ok(call.get::<Option<i64>>(0)?.map(rfc3339))
    })?;
    let range: Arc<[AtomicI64; 4]> = Arc::default();
    let shared = range.clone();
    conn.create_scalar_function("highwater_range", 1, in_views, move |call| {
        let bound = usize::try_from(call.get::<i64>(0)?).ok().and_then(|place| shared.get(place));
        Ok(bound.map(|bound| bound.load(Ordering::Relaxed)))
    })?;
    let direct = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    conn.create_scalar_function("highwater_set_range", 4, direct, move |call| {
        for (place, bound) in range.iter().enumerate() {
            bound.store(call.get(place)?, Ordering::Relaxed);
        }
        Ok(true)
    })
}

fn user_error(error: uuid::Error) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(
        Error::new(ErrorKind::Corrupt, "read an event's id").because(error).into(),
    )
}
