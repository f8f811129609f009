//! Appending.
//!
//! The happy path asks nothing that the write does not need: the index on ids tells a repeated event by
//! refusing it, and only then is looked up what stands there. What a call needs to know of a stream it looks
//! up once.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, ffi};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{
    Append, Appended, Expected, NewEvent, Position, category_of, check_event_type, check_stream_name,
};

use super::duplicate::{Found, find};
use super::extent::last_until;
use crate::database::now_micros;
use crate::error::{During, corrupt, sqlite_error};
use crate::payload;

pub(super) const APPEND: &str = "append events";
const INSERT: &str = "INSERT INTO highwater_event \
    (position, \"offset\", id, stream, category, sequence, type, time, data, metadata) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// Refuses what can be seen to be wrong without the log.
pub(super) fn check_all(appends: &[Append]) -> Result<(), Error> {
    appends
        .iter()
        .enumerate()
        .try_for_each(|(index, append)| check(append).map_err(|error| error.with("append", index)))
}

fn check(append: &Append) -> Result<(), Error> {
    if append.events.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, APPEND)
            .with("stream", &append.stream)
            .because("there are none"));
    }
    check_stream_name(&append.stream)?;
    for event in &append.events {
        check_event_type(&event.event_type)?;
        payload::in_log(event.content_type, &event.data)?;
        payload::in_log(event.content_type, &event.metadata)?;
    }
    Ok(())
}

/// Appends inside the transaction that `conn` is in.
pub(super) fn append_all(conn: &Connection, appends: &[Append]) -> Result<Vec<Appended>, Error> {
    let mut appending = Appending::begin(conn)?;
    appends
        .iter()
        .enumerate()
        .map(|(index, append)| appending.append(append).map_err(|error| error.with("append", index)))
        .collect()
}

struct Appending<'c> {
    conn: &'c Connection,
    insert: CachedStatement<'c>,
    last_position: i64,
    /// The next sequence of each stream of this call.
    next: HashMap<Arc<str>, i64>,
    now: i64,
}

impl<'c> Appending<'c> {
    fn begin(conn: &'c Connection) -> Result<Self, Error> {
        let last = last_until(conn, i64::MAX).during(APPEND)?;
        Ok(Self {
            conn,
            insert: conn.prepare_cached(INSERT).during(APPEND)?,
            last_position: last.map_or(0, |(position, _)| position),
            next: HashMap::new(),
            now: now_micros(conn).during(APPEND)?,
        })
    }

    fn append(&mut self, append: &Append) -> Result<Appended, Error> {
        let next = self.next_sequence(&append.stream)?;
        if let Expected::Next(expected) = append.expected
            && i64::try_from(expected) != Ok(next)
        {
            return match find(self.conn, append)? {
                Found::All(last) => {
                    Ok(Appended { last, next_sequence: next.unsigned_abs(), duplicate: true })
                }
                Found::Reused(event) => Err(reused(event)),
                Found::Part | Found::None => Err(Error::new(ErrorKind::WrongExpectedSequence, APPEND)
                    .with("stream", &append.stream)
                    .with("expected", expected)
                    .with("actual", next)),
            };
        }
        let position =
            self.last_position.checked_add(1).ok_or_else(|| full("the log has no position left"))?;
        let category = append.category.as_deref().unwrap_or_else(|| category_of(&append.stream));
        for (index, event) in append.events.iter().enumerate() {
            let offset = i64::try_from(index).map_err(|_| full("an append has too many events"))?;
            let sequence = next.checked_add(offset).filter(|sequence| *sequence < i64::MAX);
            let sequence = sequence.ok_or_else(|| full("the stream has no sequence left"))?;
            match self.insert((position, offset, sequence), append, category, event) {
                Ok(()) => {}
                // An event that stands there already was refused by the index on ids: of the first, all may
                // be there; behind it, the first one was new.
                Err(refused) if is_unique(&refused) => {
                    return match find(self.conn, append)? {
                        Found::All(last) if index == 0 => {
                            Ok(Appended { last, next_sequence: next.unsigned_abs(), duplicate: true })
                        }
                        Found::Reused(other) => Err(reused(other)),
                        Found::All(_) | Found::Part => Err(reused(event)),
                        Found::None => Err(sqlite_error(APPEND, refused)),
                    };
                }
                Err(error) => return Err(sqlite_error(APPEND, error)),
            }
        }
        self.last_position = position;
        let offset = append.events.len() - 1;
        let appended =
            i64::try_from(append.events.len()).map_err(|_| full("an append has too many events"))?;
        self.next.insert(append.stream.clone(), next + appended);
        let last = Position::new(position.unsigned_abs(), u64::try_from(offset).unwrap_or(u64::MAX));
        Ok(Appended { last, next_sequence: (next + appended).unsigned_abs(), duplicate: false })
    }

    fn insert(
        &mut self,
        (position, offset, sequence): (i64, i64, i64),
        append: &Append,
        category: &str,
        event: &NewEvent,
    ) -> rusqlite::Result<()> {
        let payload = |bytes| {
            payload::in_log(event.content_type, bytes)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
        };
        self.insert
            .execute((
                position,
                offset,
                event.id.as_bytes().as_slice(),
                &*append.stream,
                category,
                sequence,
                &*event.event_type,
                event.time_micros.unwrap_or(self.now),
                payload(&event.data)?,
                payload(&event.metadata)?,
            ))
            .map(|_| ())
    }

    fn next_sequence(&mut self, stream: &Arc<str>) -> Result<i64, Error> {
        if let Some(next) = self.next.get(stream) {
            return Ok(*next);
        }
        let last: Option<i64> = self
            .conn
            .prepare_cached("SELECT max(sequence) FROM highwater_event WHERE stream = ?1")
            .and_then(|mut select| select.query_row([&**stream], |row| row.get(0)))
            .during(APPEND)?;
        let next = last.map_or(Some(0), |last| last.checked_add(1)).filter(|next| *next >= 0);
        let next = next
            .ok_or_else(|| corrupt(APPEND, "the stream's last sequence cannot be").with("stream", stream))?;
        self.next.insert(stream.clone(), next);
        Ok(next)
    }
}

fn is_unique(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY].contains(&error.extended_code)
    })
}

fn reused(event: &NewEvent) -> Error {
    Error::new(ErrorKind::EventIdReused, APPEND).with("id", event.id).because(
        "an event with this id was appended before, with other content or elsewhere; \
             give it an id of its own",
    )
}

fn full(what: &'static str) -> Error {
    Error::new(ErrorKind::Unstorable, APPEND).because(what)
}
