//! A call of the append function: its arguments are columns, so that thousands of events are one flight.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgTypeInfo};
use sqlx::query::Query;
use sqlx::{Encode, Postgres, Type};
use uuid::Uuid;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{
    Append, Expected, NewEvent, category_of, check_event_type, check_stream_name, stream_hash,
};

use super::json_text::{json_text, name};

/// A call is cut here: the server takes a message of 1 GiB at most, and holds it in memory several times.
const MAX_BYTES: usize = 16 << 20;
const MAX_APPENDS: usize = 20_000;
/// What a single append may weigh, which cannot be cut.
const MAX_APPEND_BYTES: usize = 256 << 20;
/// Events that wait for the same streams instead of failing are at most so many: each takes a lock.
const MAX_QUEUED: usize = 64;

/// Microseconds since 1970 as a `timestamptz`, without a detour over a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(i64);

impl Time {
    /// 2000-01-01, from which the server counts.
    const EPOCH: i64 = 946_684_800_000_000;
    /// 4714-11-24 BC, before which there is no time.
    const FIRST: i64 = -210_866_803_200_000_000;

    fn of(micros: i64) -> Result<Self, Error> {
        if micros < Self::FIRST {
            return Err(Error::new(ErrorKind::Unstorable, "store the time of an event")
                .with("microseconds", micros)
                .because("PostgreSQL's calendar begins in 4714 BC"));
        }
        Ok(Self(micros - Self::EPOCH))
    }

    /// Microseconds since 1970, from those since 2000.
    pub(super) fn micros(since_2000: i64) -> Option<i64> {
        since_2000.checked_add(Self::EPOCH)
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(sqlx::postgres::types::Oid(1184))
    }
}

impl PgHasArrayType for Time {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(sqlx::postgres::types::Oid(1185))
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<'_, Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

/// The arguments of one call.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    /// Which append of the caller is the first one here.
    pub(super) from: usize,
    streams: Vec<&'a str>,
    categories: Vec<&'a str>,
    hashes: Vec<i64>,
    expected: Vec<Option<i64>>,
    firsts: Vec<i32>,
    counts: Vec<i32>,
    owners: Vec<i32>,
    ids: Vec<Uuid>,
    types: Vec<&'a str>,
    times: Vec<Option<Time>>,
    payloads: Vec<&'a str>,
    metas: Vec<Option<&'a str>>,
    bytes: usize,
}

impl<'a> Columns<'a> {
    /// The calls that these appends are.
    ///
    /// # Errors
    /// For the first append that cannot be stored, naming it.
    pub(super) fn of(appends: &'a [Append]) -> Result<Vec<Self>, Error> {
        let mut calls: Vec<Self> = Vec::new();
        for (index, append) in appends.iter().enumerate() {
            let weight = append.events.iter().map(weight).sum();
            let call = match calls.last_mut() {
                Some(call) if call.has_room(weight) => call,
                _full => {
                    calls.push(Self { from: index, ..Self::default() });
                    calls.last_mut().expect("one was pushed")
                }
            };
            call.push(append, weight).map_err(|error| error.with("append", index))?;
        }
        Ok(calls)
    }

    /// How many appends these are.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether it may wait for others that append to its streams; see the function.
    pub(super) fn may_queue(&self) -> bool {
        self.streams.len() <= MAX_QUEUED
    }

    fn has_room(&self, weight: usize) -> bool {
        self.streams.len() < MAX_APPENDS && self.bytes.saturating_add(weight) <= MAX_BYTES
    }

    fn push(&mut self, append: &'a Append, weight: usize) -> Result<(), Error> {
        if append.events.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "append events")
                .with("stream", &append.stream)
                .because("there are none"));
        }
        if weight > MAX_APPEND_BYTES {
            return Err(Error::new(ErrorKind::Unstorable, "append events")
                .with("stream", &append.stream)
                .with("bytes", weight)
                .because("one append has at most 256 MiB: divide it"));
        }
        check_stream_name(&append.stream)?;
        let number = |count: usize| {
            i32::try_from(count).map_err(|_| {
                Error::new(ErrorKind::Unstorable, "append events").because("an append has too many events")
            })
        };
        self.streams.push(name(&append.stream, "stream")?);
        let category = append.category.as_deref().unwrap_or_else(|| category_of(&append.stream));
        self.categories.push(name(category, "category")?);
        self.hashes.push(i64::from(stream_hash(&append.stream)));
        self.expected.push(match append.expected {
            Expected::Any => None,
            // No stream gets there; the answer will be that it is elsewhere.
            Expected::Next(next) => Some(i64::try_from(next).unwrap_or(i64::MAX)),
        });
        self.firsts.push(number(self.ids.len() + 1)?);
        self.counts.push(number(append.events.len())?);
        let owner = number(self.streams.len())?;
        for event in &append.events {
            check_event_type(&event.event_type)?;
            self.owners.push(owner);
            self.ids.push(event.id);
            self.types.push(name(&event.event_type, "type")?);
            self.times.push(event.time_micros.map(Time::of).transpose()?);
            self.payloads.push(json_text(event.content_type, &event.data, "data")?);
            let meta = (!event.metadata.is_empty()).then_some(&*event.metadata);
            self.metas.push(meta.map(|meta| json_text(event.content_type, meta, "metadata")).transpose()?);
        }
        self.bytes += weight;
        Ok(())
    }

    /// Binds the arguments behind `queues` and `careful`, in the function's order.
    pub(super) fn bind<'q>(
        &self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        query
            .bind(&self.streams)
            .bind(&self.categories)
            .bind(&self.hashes)
            .bind(&self.expected)
            .bind(&self.firsts)
            .bind(&self.counts)
            .bind(&self.owners)
            .bind(&self.ids)
            .bind(&self.types)
            .bind(&self.times)
            .bind(&self.payloads)
            .bind(&self.metas)
    }
}

fn weight(event: &NewEvent) -> usize {
    event.data.len() + event.metadata.len() + event.event_type.len() + 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(stream: &str, data: &str) -> Append {
        let events = vec![NewEvent::json("A", data.to_owned())];
        Append { stream: stream.into(), category: None, expected: Expected::Any, events }
    }

    #[test]
    fn x_11_many_appends_are_cut_by_count_and_by_bytes() {
        let many = vec![append("a", "{}"); MAX_APPENDS + 1];
        let lens = |appends: &[Append]| {
            Columns::of(appends).unwrap().iter().map(|call| (call.from, call.len())).collect::<Vec<_>>()
        };
        assert_eq!(lens(&many), [(0, MAX_APPENDS), (MAX_APPENDS, 1)]);
        let large = vec![append("a", &format!("\"{}\"", "x".repeat(MAX_BYTES / 2))); 2];
        assert_eq!(lens(&large), [(0, 1), (1, 1)]);
        assert_eq!(lens(&[]), []);
    }

    #[test]
    fn times_outside_the_calendar_are_unstorable() {
        assert_eq!(Time::of(0).unwrap(), Time(-Time::EPOCH));
        assert_eq!(Time::micros(Time::of(i64::MAX).unwrap().0), Some(i64::MAX));
        assert_eq!(Time::of(i64::MIN).unwrap_err().kind(), ErrorKind::Unstorable);
        assert_eq!(Time::micros(i64::MAX), None, "infinity");
    }
}
