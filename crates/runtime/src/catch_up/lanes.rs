//! Second stage: events wait in lanes, by the hash of their stream.
//!
//! A lane does one thing at a time, so the events of a stream stay in order. An event that is tried again
//! holds its own lane and no other one, until what waits in it fills the intake. What waits for long is
//! copied out of the buffers in which it came, so that one event does not keep a whole read alive.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use highwater_core::model::RecordedEvent;
use highwater_core::ports::Moment;

use super::letters::Pending;
use super::suspects::Suspect;

/// What is known of the first event of a lane, which has failed before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Trying {
    /// Attempts that count.
    pub(super) counted: u32,
    /// All attempts that failed.
    pub(super) failed: u32,
    /// Failures of the surroundings in a row.
    pub(super) passing: u32,
}

#[derive(Default)]
pub(super) struct Lane {
    queue: VecDeque<RecordedEvent>,
    /// Events that are given up, and have to be written down before the lane goes on.
    pub(super) letters: VecDeque<Pending>,
    /// Events whose attempts are used up, while it is not certain that they are to blame.
    pub(super) suspects: VecDeque<Suspect>,
    /// The suspects are to be tried again when the running turn has ended.
    pub(super) rewind: bool,
    pub(super) trying: Option<Trying>,
    /// So many events are run one by one: nobody knows which of them failed.
    pub(super) one_by_one: usize,
    busy: bool,
    listed: bool,
    wait: Option<Moment>,
}

pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// Lanes that have something to do and nothing to wait for.
    ready: VecDeque<usize>,
    waiting: usize,
    held_events: usize,
    held_bytes: usize,
    /// Suspects of all lanes.
    pub(super) suspects: usize,
}

impl Lanes {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            lanes: std::iter::repeat_with(Lane::default).take(lanes.max(1)).collect(),
            ready: VecDeque::new(),
            waiting: 0,
            held_events: 0,
            held_bytes: 0,
            suspects: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn of(&mut self, lane: usize) -> &mut Lane {
        &mut self.lanes[lane]
    }

    /// How many events are held, wherever they are.
    pub(super) fn held(&self) -> usize {
        self.held_events
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many lanes wait for a time.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes an event in.
    pub(super) fn push(&mut self, event: RecordedEvent) {
        self.held_events += 1;
        self.held_bytes = self.held_bytes.saturating_add(event.size());
        let lane = self.lane_of(event.stream());
        let held_up = self.lanes[lane].wait.is_some();
        self.lanes[lane].queue.push_back(if held_up { event.detached() } else { event });
        self.list(lane);
    }

    /// An event is settled.
    pub(super) fn let_go(&mut self, event: &RecordedEvent) {
        self.held_events -= 1;
        self.held_bytes = self.held_bytes.saturating_sub(event.size());
    }

    fn lane_of(&self, stream: &str) -> usize {
        if self.lanes.len() == 1 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(u64::MAX);
        usize::try_from(hasher.finish() % lanes).unwrap_or(0)
    }

    /// The lane whose turn it is.
    pub(super) fn next_ready(&mut self) -> Option<usize> {
        let lane = self.ready.pop_front()?;
        self.lanes[lane].listed = false;
        Some(lane)
    }

    /// It could not begin after all.
    pub(super) fn not_yet(&mut self, lane: usize) {
        self.lanes[lane].listed = true;
        self.ready.push_front(lane);
    }

    /// Takes the next events of a lane for a turn: one that has failed before alone.
    pub(super) fn take(&mut self, lane: usize, most: usize) -> Vec<RecordedEvent> {
        let lane = &mut self.lanes[lane];
        lane.busy = true;
        let alone = lane.trying.is_some() || lane.one_by_one > 0;
        let count = if alone { 1 } else { lane.queue.len().min(most.max(1)) };
        lane.queue.drain(..count).collect()
    }

    /// Takes the first event of another stream than the head's, and says where it stood.
    pub(super) fn take_other(&mut self, lane: usize) -> Option<(usize, RecordedEvent)> {
        let lane = &mut self.lanes[lane];
        let head = lane.queue.front()?.shared_stream().clone();
        let place = lane.queue.iter().position(|event| *event.shared_stream() != head)?;
        lane.busy = true;
        Some((place, lane.queue.remove(place)?))
    }

    /// Puts an event back where it stood.
    pub(super) fn put_back(&mut self, lane: usize, place: usize, event: RecordedEvent) {
        self.lanes[lane].queue.insert(place, event);
    }

    /// The turn of a lane has begun with a letter.
    pub(super) fn busy(&mut self, lane: usize) {
        self.lanes[lane].busy = true;
    }

    /// A turn has ended; `rest` goes back to where it came from.
    pub(super) fn end_turn(&mut self, lane: usize, rest: impl DoubleEndedIterator<Item = RecordedEvent>) {
        let lane = &mut self.lanes[lane];
        lane.busy = false;
        rest.rev().for_each(|event| lane.queue.push_front(event));
    }

    /// Puts an event before all that waits in its lane.
    pub(super) fn put_first(&mut self, lane: usize, event: RecordedEvent) {
        self.lanes[lane].queue.push_front(event);
    }

    /// The first event of a lane, which is to leave it another way.
    #[cfg(test)]
    pub(super) fn take_first(&mut self, lane: usize) -> Option<RecordedEvent> {
        self.take_out(lane, 0)
    }

    /// The event at a place of a lane, which is to leave it another way.
    pub(super) fn take_out(&mut self, lane: usize, place: usize) -> Option<RecordedEvent> {
        let lane = &mut self.lanes[lane];
        if place == 0 {
            (lane.trying, lane.one_by_one) = (None, lane.one_by_one.saturating_sub(1));
        }
        lane.queue.remove(place)
    }

    /// The event of a lane that has failed, which stands at this place.
    pub(super) fn at(&self, lane: usize, place: usize) -> Option<&RecordedEvent> {
        self.lanes[lane].queue.get(place)
    }

    /// Holds a lane up.
    pub(super) fn wait(&mut self, lane: usize, until: Moment) {
        let lane = &mut self.lanes[lane];
        if lane.wait.replace(until).is_none() {
            self.waiting += 1;
            lane.queue.iter_mut().for_each(|event| *event = event.detached());
        }
    }

    /// Lanes whose time has come are ready.
    pub(super) fn wake(&mut self, now: Moment) {
        if self.waiting == 0 {
            return;
        }
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].wait.is_some_and(|until| until <= now) {
                self.lanes[lane].wait = None;
                self.waiting -= 1;
                self.list(lane);
            }
        }
    }

    /// When the next lane is to be woken.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        if self.waiting == 0 { None } else { self.lanes.iter().filter_map(|lane| lane.wait).min() }
    }

    /// Lists a lane as ready if it is.
    pub(super) fn list(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        let has_work = !lane.queue.is_empty() || !lane.letters.is_empty();
        if has_work && !lane.busy && !lane.listed && lane.wait.is_none() {
            lane.listed = true;
            self.ready.push_back(index);
        }
    }

    pub(super) fn is_busy(&self, lane: usize) -> bool {
        self.lanes[lane].busy
    }

    /// What the lanes try again, the one with the most attempts.
    pub(super) fn most_tried(&self) -> Trying {
        let letters = self.lanes.iter().filter_map(|lane| lane.letters.front());
        let letters = letters.map(|letter| Trying { passing: letter.tries, ..Trying::default() });
        let tried = self.lanes.iter().filter_map(|lane| lane.trying).chain(letters);
        tried.fold(Trying::default(), |most, tried| Trying {
            counted: most.counted.max(tried.counted),
            failed: most.failed.max(tried.failed),
            passing: most.passing.max(tried.passing),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use highwater_testkit::fixtures::event;

    use super::*;

    fn positions(events: &[RecordedEvent]) -> Vec<u64> {
        events.iter().map(|event| event.position().commit()).collect()
    }

    #[test]
    fn a_stream_stays_in_its_lane_and_in_order() {
        let mut lanes = Lanes::new(4);
        (1..=40).for_each(|n| lanes.push(event(n, "T", &format!("s-{}", n % 10))));
        let mut seen = 0;
        while let Some(lane) = lanes.next_ready() {
            let events = lanes.take(lane, 100);
            seen += events.len();
            assert!(positions(&events).is_sorted());
            let others = |n: u64| events.iter().all(|event| event.stream() != format!("s-{n}"));
            let streams = (0..10).filter(|n| !others(*n)).count();
            assert_eq!(events.len(), streams * 4, "all events of a stream are in one lane");
        }
        assert_eq!((seen, lanes.held()), (40, 40), "held until they are settled");
    }

    #[test]
    fn what_a_turn_leaves_comes_first_again() {
        let mut lanes = Lanes::new(1);
        (1..=5).for_each(|n| lanes.push(event(n, "T", "s")));
        assert_eq!(lanes.next_ready(), Some(0));
        let mut events = lanes.take(0, 3);
        lanes.push(event(6, "T", "s"));
        assert!(!lanes.has_ready(), "it is busy");
        lanes.let_go(&events[0]);
        let rest = events.split_off(1);
        lanes.end_turn(0, rest.into_iter());
        lanes.list(0);
        assert_eq!((lanes.next_ready(), lanes.held()), (Some(0), 5));
        assert_eq!(positions(&lanes.take(0, 100)), [2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_lane_that_waits_holds_no_other_and_tries_its_first_event_alone() {
        let mut lanes = Lanes::new(2);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for n in 1..=40 {
            let name = format!("s-{n}");
            if lanes.lane_of(&name) == 0 { a.push(name) } else { b.push(name) }
        }
        for (n, stream) in [(1, &a[0]), (2, &a[1]), (3, &b[0])] {
            lanes.push(event(n, "T", stream));
        }
        let now = Moment::at(Duration::from_secs(1));
        assert_eq!(lanes.next_ready(), Some(0));
        let events = lanes.take(0, 9);
        lanes.end_turn(0, events.into_iter());
        lanes.of(0).trying = Some(Trying { counted: 1, failed: 1, passing: 0 });
        lanes.wait(0, now);
        lanes.list(0);
        assert_eq!((lanes.next_ready(), lanes.next_ready()), (Some(1), None));
        assert_eq!((lanes.next_wake(), lanes.waiting()), (Some(now), 1));
        lanes.wake(now);
        assert_eq!((lanes.next_ready(), lanes.waiting()), (Some(0), 0));
        assert_eq!(positions(&lanes.take(0, 9)), [1]);
    }
}
