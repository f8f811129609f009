//! Whether events that are to be appended are in the log already.

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Row};

use highwater_core::error::Error;
use highwater_core::model::{Append, ContentType, NewEvent, Position};

use super::append::APPEND;
use super::rows::position_of;
use crate::error::During;

/// What of an append the log has.
pub(super) enum Found<'a> {
    /// All of it, in its stream and in its order; the last event stands here.
    All(Position),
    /// This event's id, with other content, in another stream, or out of order.
    Reused(&'a NewEvent),
    /// A part of it, as it is.
    Part,
    /// None of its ids.
    None,
}

pub(super) fn find<'a>(conn: &rusqlite::Connection, append: &'a Append) -> Result<Found<'a>, Error> {
    let mut select = conn
        .prepare_cached(
            "SELECT position, \"offset\", stream, sequence, type, data, metadata FROM highwater_event
             WHERE id = ?1",
        )
        .during(APPEND)?;
    let (mut last, mut missing) = (None, false);
    let mut behind = -1;
    for event in &append.events {
        match stands(&mut select, append, event, behind)? {
            Stands::Nowhere => missing = true,
            Stands::Otherwise => return Ok(Found::Reused(event)),
            Stands::Here(position, sequence) => {
                behind = sequence;
                last = Some(position);
            }
        }
    }
    Ok(match last {
        Some(last) if !missing => Found::All(last),
        Some(_) => Found::Part,
        None => Found::None,
    })
}

enum Stands {
    Nowhere,
    Otherwise,
    Here(Position, i64),
}

fn stands(
    select: &mut CachedStatement<'_>,
    append: &Append,
    event: &NewEvent,
    behind: i64,
) -> Result<Stands, Error> {
    let mut rows = select.query([event.id.as_bytes().as_slice()]).during(APPEND)?;
    let Some(row) = rows.next().during(APPEND)? else { return Ok(Stands::Nowhere) };
    let sequence: i64 = row.get(3).during(APPEND)?;
    if sequence <= behind || !is_same(row, append, event).during(APPEND)? {
        return Ok(Stands::Otherwise);
    }
    Ok(Stands::Here(position_of(row)?, sequence))
}

fn is_same(row: &Row<'_>, append: &Append, event: &NewEvent) -> rusqlite::Result<bool> {
    let text = |bytes| ValueRef::Text(bytes);
    let payload = |bytes| match event.content_type {
        ContentType::Json => ValueRef::Text(bytes),
        ContentType::Binary => ValueRef::Blob(bytes),
    };
    Ok(row.get_ref(2)? == text(append.stream.as_bytes())
        && row.get_ref(4)? == text(event.event_type.as_bytes())
        && row.get_ref(5)? == payload(&event.data)
        && row.get_ref(6)? == payload(&event.metadata))
}
