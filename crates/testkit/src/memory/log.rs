//! An event log in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use highwater_core::model::{
    Append, Appended, EventParts, Expected, Filter, NewEvent, Position, RecordedEvent, category_of,
    check_event_type, check_stream_name,
};
use highwater_core::ports::{AppendEvents, Clock, EventLog, EventReader};
use highwater_core::{Error, ErrorKind};

use super::cut_off;
use super::log_reader::MemoryReader;
use crate::sync::lock;

/// How many events one read looks at, if it is not told otherwise.
const SCAN: usize = 4096;

/// A log that keeps its events in memory. Clones share the events.
#[derive(Clone)]
pub struct MemoryLog {
    pub(super) shared: Arc<SharedLog>,
}

pub(super) struct SharedLog {
    pub(super) state: Mutex<LogState>,
    /// Raised with every append and every other change.
    pub(super) version: watch::Sender<u64>,
    pub(super) scan: usize,
    clock: Option<Arc<dyn Clock>>,
}

#[derive(Default)]
pub(super) struct LogState {
    pub(super) events: BTreeMap<Position, RecordedEvent>,
    streams: HashMap<Arc<str>, u64>,
    ids: HashMap<Uuid, Position>,
    last_commit: u64,
    outage: bool,
}

impl MemoryLog {
    /// An empty log. Events without a time of their own get a made-up one, a microsecond after the other.
    #[must_use]
    pub fn new() -> Self {
        Self::build(0, SCAN, None)
    }

    /// An empty log that stamps events without a time by this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self::build(0, SCAN, Some(clock))
    }

    /// An empty log whose first append gets the number behind `commit`: for numeric boundaries.
    #[must_use]
    pub fn starting_behind(commit: u64) -> Self {
        Self::build(commit, SCAN, None)
    }

    /// An empty log of which one read looks at no more than `events` (at least 1), matching or not.
    #[must_use]
    pub fn scanning(events: usize) -> Self {
        Self::build(0, events.max(1), None)
    }

    fn build(last_commit: u64, scan: usize, clock: Option<Arc<dyn Clock>>) -> Self {
        let state = Mutex::new(LogState { last_commit, ..LogState::default() });
        Self { shared: Arc::new(SharedLog { state, version: watch::Sender::new(0), scan, clock }) }
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.shared.state).events.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All events, in order.
    #[must_use]
    pub fn all(&self) -> Vec<RecordedEvent> {
        lock(&self.shared.state).events.values().cloned().collect()
    }

    /// Cuts the log off (`true`): every call fails as `Unavailable`, until it is told `false`.
    pub fn set_outage(&self, outage: bool) {
        lock(&self.shared.state).outage = outage;
        self.shared.changed();
    }

    /// Drops an event, as a log that scavenges does; says whether it was there. Sequences go on as before.
    pub fn remove_event(&self, position: Position) -> bool {
        let mut state = lock(&self.shared.state);
        let removed = state.events.remove(&position);
        if let Some(event) = &removed {
            state.ids.remove(&event.id());
        }
        removed.is_some()
    }

    /// Puts another event where one stands, as in a log that was restored from elsewhere (E-7).
    pub fn replace_event(&self, event: RecordedEvent) {
        let mut state = lock(&self.shared.state);
        if let Some(before) = state.events.remove(&event.position()) {
            state.ids.remove(&before.id());
        }
        state.ids.insert(event.id(), event.position());
        state.events.insert(event.position(), event);
        drop(state);
        self.shared.changed();
    }

    /// Drops everything behind a position, as in a log that was restored from an older copy (E-7). Its next
    /// appends get the positions and sequences that were given before.
    pub fn truncate_behind(&self, position: Position) {
        let mut state = lock(&self.shared.state);
        let kept: Vec<RecordedEvent> =
            state.events.range(..=position).map(|(_, event)| event.clone()).collect();
        *state = LogState { last_commit: position.commit(), outage: state.outage, ..LogState::default() };
        for event in kept {
            state.streams.insert(event.shared_stream().clone(), event.sequence() + 1);
            state.ids.insert(event.id(), event.position());
            state.events.insert(event.position(), event);
        }
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl SharedLog {
    /// Runs `read` over the state, unless the log is cut off.
    pub(super) fn reading<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&LogState) -> T,
    ) -> Result<T, Error> {
        let state = lock(&self.state);
        if state.outage { Err(cut_off(operation)) } else { Ok(read(&state)) }
    }

    pub(super) fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

/// The bounds of "behind `after`".
pub(super) fn behind(after: Option<Position>) -> (Bound<Position>, Bound<Position>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn head(&self) -> Result<Option<Position>, Error> {
        self.shared.reading("read the head of the log", |state| state.events.keys().next_back().copied())
    }

    async fn open(&self, after: Option<Position>, filter: &Filter) -> Result<Box<dyn EventReader>, Error> {
        self.shared.reading("open the log", |_| ())?;
        Ok(Box::new(MemoryReader::new(self.shared.clone(), after, filter.clone())))
    }

    async fn event_at(&self, position: Position) -> Result<Option<RecordedEvent>, Error> {
        self.shared.reading("read an event", |state| state.events.get(&position).cloned())
    }

    async fn count_between(
        &self,
        after: Option<Position>,
        through: Option<Position>,
        filter: &Filter,
    ) -> Result<Option<u64>, Error> {
        self.shared.reading("count events", |state| {
            let range = state.events.range(behind(after)).take_while(|(at, _)| Some(**at) <= through);
            let count = range.filter(|(_, event)| filter.matches(event.event_type(), event.stream())).count();
            u64::try_from(count).ok()
        })
    }
}

#[async_trait]
impl AppendEvents for MemoryLog {
    async fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, Error> {
        let mut state = lock(&self.shared.state);
        if state.outage {
            return Err(cut_off("append events"));
        }
        let wall = self.shared.clock.as_ref().map(|clock| clock.wall_micros());
        let mut call = Call::new(&state, wall);
        let mut done = Vec::with_capacity(appends.len());
        for (index, append) in appends.iter().enumerate() {
            done.push(call.take(append).map_err(|error| error.with("append", index))?);
        }
        let Call { events, streams, ids, last_commit, .. } = call;
        state.events.extend(events);
        state.streams.extend(streams);
        state.ids.extend(ids);
        state.last_commit = last_commit;
        drop(state);
        self.shared.changed();
        Ok(done)
    }
}

/// What a call will have written if all its appends are valid; later appends see earlier ones.
struct Call<'l> {
    log: &'l LogState,
    wall: Option<i64>,
    last_commit: u64,
    events: BTreeMap<Position, RecordedEvent>,
    streams: HashMap<Arc<str>, u64>,
    ids: HashMap<Uuid, Position>,
}

impl<'l> Call<'l> {
    fn new(log: &'l LogState, wall: Option<i64>) -> Self {
        Self {
            log,
            wall,
            last_commit: log.last_commit,
            events: BTreeMap::new(),
            streams: HashMap::new(),
            ids: HashMap::new(),
        }
    }

    fn take(&mut self, append: &Append) -> Result<Appended, Error> {
        check_stream_name(&append.stream)?;
        if append.events.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "append no events").with("stream", &append.stream));
        }
        for event in &append.events {
            check_event_type(&event.event_type)?;
        }
        let next = self.next_sequence(&append.stream);
        if let Some(last) = self.there_already(append)? {
            return Ok(Appended { last, next_sequence: next, duplicate: true });
        }
        if let Expected::Next(expected) = append.expected
            && expected != next
        {
            return Err(Error::new(ErrorKind::WrongExpectedSequence, "append to a stream that has moved")
                .with("stream", &append.stream)
                .with("expected", expected)
                .with("actual", next));
        }
        self.write(append, next)
    }

    fn next_sequence(&self, stream: &str) -> u64 {
        self.streams.get(stream).or_else(|| self.log.streams.get(stream)).copied().unwrap_or(0)
    }

    fn stored(&self, id: Uuid) -> Option<&RecordedEvent> {
        let position = self.ids.get(&id).or_else(|| self.log.ids.get(&id))?;
        self.events.get(position).or_else(|| self.log.events.get(position))
    }

    /// The place of the last event, if all of them are there already, in this order.
    fn there_already(&self, append: &Append) -> Result<Option<Position>, Error> {
        let mut last: Option<Position> = None;
        let mut known = 0;
        for event in &append.events {
            let Some(stored) = self.stored(event.id) else { continue };
            if stored.stream() != &*append.stream || !same(event, stored) || last >= Some(stored.position()) {
                return Err(reused(event));
            }
            last = Some(stored.position());
            known += 1;
        }
        let mut ids: Vec<Uuid> = append.events.iter().map(|event| event.id).collect();
        ids.sort_unstable();
        let twice = ids.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        match append.events.iter().find(|event| Some(event.id) == twice || self.stored(event.id).is_some()) {
            Some(event) if twice.is_some() || known < append.events.len() => Err(reused(event)),
            _ => Ok(last),
        }
    }

    fn write(&mut self, append: &Append, next: u64) -> Result<Appended, Error> {
        let full = || Error::new(ErrorKind::Unstorable, "append behind the last position that there is");
        let commit = self.last_commit.checked_add(1).ok_or_else(full)?;
        self.last_commit = commit;
        let made_up = || i64::try_from(commit).unwrap_or(i64::MAX).saturating_add(1_700_000_000_000_000);
        let category = append.category.clone().unwrap_or_else(|| category_of(&append.stream).into());
        let (mut sequence, mut last) = (next, Position::new(commit, 0));
        for (offset, event) in (0..).zip(&append.events) {
            last = Position::new(commit, offset);
            let recorded = RecordedEvent::new(EventParts {
                position: last,
                id: event.id,
                stream: append.stream.clone(),
                category: category.clone(),
                sequence,
                event_type: event.event_type.clone(),
                time_micros: event.time_micros.or(self.wall).unwrap_or_else(made_up),
                content_type: event.content_type,
                data: event.data.clone(),
                metadata: event.metadata.clone(),
            });
            self.ids.insert(event.id, last);
            self.events.insert(last, recorded);
            sequence = sequence.checked_add(1).ok_or_else(full)?;
        }
        self.streams.insert(append.stream.clone(), sequence);
        Ok(Appended { last, next_sequence: sequence, duplicate: false })
    }
}

fn same(event: &NewEvent, stored: &RecordedEvent) -> bool {
    *event.event_type == *stored.event_type()
        && event.content_type == stored.content_type()
        && *event.data == *stored.data()
        && *event.metadata == *stored.metadata()
}

fn reused(event: &NewEvent) -> Error {
    Error::new(ErrorKind::EventIdReused, "append an event under an id that is taken").with("id", event.id)
}
