//! One bad event, or an outage? (Five different events in a row.)
//!
//! An event whose attempts are used up looks the same whether it is bad itself or the other side answers
//! nonsense. A handler cannot be tried on other events for a test: what it does stays done. So such an event
//! becomes a *suspect*: it is not settled, and its lane goes on with the next one, with all of that one's
//! attempts.
//!
//! * Somebody passes: the suspects before it are to blame, and are given up. Nothing was done out of order,
//!   since what is given up comes nowhere.
//! * The log ends before there are as many as make an outage: they are given up, too.
//! * There are as many, and nobody has passed: an outage, and none of them is to blame. They go back to the
//!   heads of their lanes. The same where the circuit breaker opens.
//!
//! In an outage one call is made at a time, with pauses, and what fails counts for nothing. It is the head of
//! a lane, of each in turn, so that order holds. Where one lane alone has something to do and its head has
//! failed for long, the next event of another stream is tried right behind it, ever more rarely: else an
//! event that is bad by itself would make the outage endless. The first one that passes ends it, and all
//! attempts are counted anew.

use highwater_core::model::{FailedState, RecordedEvent};
use highwater_core::policy::is_outage;
use highwater_core::ports::Moment;

use super::lanes::Lanes;
use super::letters::Judged;

/// The head of a lane is doubted when so many calls have failed in an outage, and each time that there are
/// twice as many.
const DOUBTED: u32 = 8;

/// An event whose attempts are used up.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) event: RecordedEvent,
    pub(super) judged: Judged,
    pub(super) becomes: FailedState,
    /// The last turn that had begun when it failed: only what begins later can prove that it is to blame.
    pub(super) since: u64,
}

/// An outage that goes on, or none.
#[derive(Debug, Default)]
pub(super) struct Outage(Option<GoesOn>);

#[derive(Debug)]
struct GoesOn {
    /// The last turn that had begun when it was found.
    since: u64,
    /// Nothing is tried before.
    until: Moment,
    /// How many calls have failed in it.
    failed: u32,
    /// The head of a lane is to be doubted, once.
    doubt: bool,
    reason: String,
}

impl Outage {
    pub(super) fn reason(&self) -> Option<&str> {
        self.0.as_ref().map(|outage| outage.reason.as_str())
    }

    pub(super) fn goes_on(&self) -> bool {
        self.0.is_some()
    }

    /// Until when nothing is tried.
    pub(super) fn until(&self) -> Option<Moment> {
        self.0.as_ref().map(|outage| outage.until)
    }

    /// Whether the head of a lane has failed so often that another event is to be tried if the lane is alone.
    /// Asked once.
    pub(super) fn doubts_the_head(&mut self) -> bool {
        self.0.as_mut().is_some_and(|outage| std::mem::take(&mut outage.doubt))
    }

    /// A turn with this number has passed in a lane. Answers the suspects that are to blame.
    pub(super) fn passed(&mut self, lanes: &mut Lanes, lane: usize, number: u64) -> Vec<(usize, Suspect)> {
        if self.0.as_ref().is_some_and(|outage| number > outage.since) {
            self.0 = None;
        }
        let mut to_blame = Vec::new();
        if lanes.suspects == 0 {
            return to_blame;
        }
        for other in 0..lanes.len() {
            // Suspects of an outage wait for their lane to go back to its head.
            let proven = |suspect: &Suspect| other == lane || number > suspect.since;
            while !lanes.of(other).rewind && lanes.of(other).suspects.front().is_some_and(proven) {
                if let Some(suspect) = lanes.of(other).suspects.pop_front() {
                    lanes.suspects -= 1;
                    to_blame.push((other, suspect));
                }
            }
        }
        to_blame
    }

    /// Whether there are so many suspects that it is an outage.
    pub(super) fn is_one(lanes: &Lanes) -> bool {
        is_outage(lanes.suspects)
    }

    /// There is one: suspects go back to where they were, and nothing is tried before `until`.
    pub(super) fn begin(&mut self, lanes: &mut Lanes, begun: u64, until: Moment, reason: &str) {
        let failed = self.0.as_ref().map_or(0, |outage| outage.failed);
        self.0 = Some(GoesOn { since: begun, until, failed, doubt: false, reason: reason.to_owned() });
        (0..lanes.len()).for_each(|lane| rewind(lanes, lane));
    }

    /// A call has failed in it, of the head of a lane or of another event. The next one is made at `until`,
    /// or `now` where the head is to be doubted: in between the other side must not have had the time to
    /// heal.
    pub(super) fn failed(&mut self, of_the_head: bool, now: Moment, until: Moment) {
        let Some(outage) = &mut self.0 else { return };
        outage.failed = outage.failed.saturating_add(u32::from(of_the_head));
        outage.doubt = of_the_head && outage.failed >= DOUBTED && outage.failed.is_power_of_two();
        outage.until = if outage.doubt { now } else { until };
    }

    /// The log has ended behind the suspects: they are to blame.
    pub(super) fn log_ended(lanes: &mut Lanes) -> Vec<(usize, Suspect)> {
        let mut to_blame = Vec::new();
        for lane in 0..lanes.len() {
            let suspects = std::mem::take(&mut lanes.of(lane).suspects);
            lanes.suspects -= suspects.len();
            to_blame.extend(suspects.into_iter().map(|suspect| (lane, suspect)));
        }
        to_blame
    }
}

/// Puts the suspects of a lane back to its head, with their attempts forgotten; behind a running turn, whose
/// rest comes after them.
pub(super) fn rewind(lanes: &mut Lanes, lane: usize) {
    lanes.of(lane).trying = None;
    if lanes.of(lane).suspects.is_empty() {
        return;
    }
    if lanes.is_busy(lane) {
        lanes.of(lane).rewind = true;
        return;
    }
    lanes.of(lane).rewind = false;
    let suspects = std::mem::take(&mut lanes.of(lane).suspects);
    lanes.suspects -= suspects.len();
    suspects.into_iter().rev().for_each(|suspect| lanes.put_first(lane, suspect.event));
    lanes.list(lane);
}

#[cfg(test)]
mod tests {
    use highwater_core::policy::{Class, Decided};
    use highwater_testkit::fixtures::event;

    use super::*;

    fn suspect(lanes: &mut Lanes, lane: usize, n: u64, since: u64) {
        let judged =
            Judged { decided: Decided::new(Class::Unclassified, "test"), message: "no".into(), attempts: 4 };
        let event = event(n, "T", "s");
        lanes.of(lane).suspects.push_back(Suspect { event, judged, becomes: FailedState::Parked, since });
        lanes.suspects += 1;
    }

    fn blamed(to_blame: &[(usize, Suspect)]) -> Vec<u64> {
        to_blame.iter().map(|(_, suspect)| suspect.event.position().commit()).collect()
    }

    fn order(lanes: &mut Lanes, lane: usize) -> Vec<u64> {
        std::iter::from_fn(|| lanes.take_first(lane)).map(|it| it.position().commit()).collect()
    }

    #[test]
    fn who_passes_later_proves_that_a_suspect_is_to_blame() {
        let (mut lanes, mut outage) = (Lanes::new(3), Outage::default());
        suspect(&mut lanes, 0, 1, 10);
        suspect(&mut lanes, 1, 2, 12);
        assert_eq!(blamed(&outage.passed(&mut lanes, 2, 10)), [0_u64; 0], "it began before both failed");
        assert_eq!(blamed(&outage.passed(&mut lanes, 2, 11)), [1]);
        assert_eq!(blamed(&outage.passed(&mut lanes, 1, 11)), [2], "what follows in its own lane is proof");
        assert_eq!(lanes.suspects, 0);
    }

    #[test]
    fn five_are_an_outage_and_go_back_in_order() {
        let (mut lanes, mut outage) = (Lanes::new(1), Outage::default());
        for n in 1..=4 {
            suspect(&mut lanes, 0, n, n);
            assert!(!Outage::is_one(&lanes));
        }
        lanes.push(event(6, "T", "s"));
        suspect(&mut lanes, 0, 5, 5);
        assert!(Outage::is_one(&lanes));
        outage.begin(&mut lanes, 5, Moment::default(), "away");
        assert_eq!((lanes.suspects, outage.reason()), (0, Some("away")));
        assert_eq!(order(&mut lanes, 0), [1, 2, 3, 4, 5, 6]);
        assert!(outage.passed(&mut lanes, 0, 5).is_empty() && outage.goes_on(), "it began before");
        assert!(outage.passed(&mut lanes, 0, 6).is_empty() && !outage.goes_on());
    }

    #[test]
    fn a_lane_that_runs_goes_back_when_its_turn_has_ended() {
        let (mut lanes, mut outage) = (Lanes::new(1), Outage::default());
        (2..=4).for_each(|n| lanes.push(event(n, "T", "s")));
        assert_eq!(lanes.next_ready(), Some(0));
        let mut events = lanes.take(0, 2);
        suspect(&mut lanes, 0, 1, 1);
        outage.begin(&mut lanes, 2, Moment::default(), "away");
        assert_eq!(lanes.suspects, 1, "not yet");
        assert!(outage.passed(&mut lanes, 0, 2).is_empty(), "an outage blames nobody");
        events.remove(0);
        lanes.end_turn(0, events.into_iter());
        rewind(&mut lanes, 0);
        assert_eq!((lanes.suspects, order(&mut lanes, 0)), (0, vec![1, 3, 4]));
    }

    #[test]
    fn at_the_end_of_the_log_fewer_are_to_blame() {
        let mut lanes = Lanes::new(2);
        suspect(&mut lanes, 0, 1, 1);
        suspect(&mut lanes, 1, 2, 2);
        assert_eq!((blamed(&Outage::log_ended(&mut lanes)), lanes.suspects), (vec![1, 2], 0));
    }

    #[test]
    fn the_head_is_doubted_now_and_then() {
        let (mut lanes, mut outage) = (Lanes::new(1), Outage::default());
        let (now, later) = (Moment::default(), Moment::default() + std::time::Duration::from_secs(30));
        outage.begin(&mut lanes, 0, now, "away");
        let mut doubted = Vec::new();
        for failed in 1..=40 {
            assert!(!outage.doubts_the_head());
            outage.failed(true, now, later);
            if outage.until() == Some(now) {
                doubted.push(failed);
                assert!(outage.doubts_the_head() && !outage.doubts_the_head(), "once");
                outage.failed(false, now, later);
            }
            assert_eq!(outage.until(), Some(later));
        }
        assert_eq!(doubted, [8, 16, 32]);
    }
}
