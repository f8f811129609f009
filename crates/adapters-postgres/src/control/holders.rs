//! When a heartbeat has stood still for so long that its instance is fenced off.
//!
//! Every owner beats once a second. A stand-by sees the last beat by the server's clock, together with that
//! clock, so the age of a beat costs no question of its own. A server's clock may be set, though; so an age
//! counts only while that clock has moved as ours has, and whatever the clocks say, a beat that did not
//! change for the length of a lease by our own clock is stale.
//!
//! The next question is timed so that it comes right behind the moment at which the oldest beat would be
//! stale. An owner that lives has beaten again by then, so that this remains one question a second.

use std::collections::HashMap;
use std::time::Duration;

use highwater_core::ports::Moment;

/// How long after its last beat an instance counts as gone. It beats every second: half a second of delay is
/// forgiven. A stand-by has taken over two tenths of a second later.
pub(super) const LEASE: Duration = Duration::from_millis(1500);
/// How much later the stand-by looks.
const SLACK: Duration = Duration::from_millis(50);
/// A stale beat is seen twice, at least this far apart, before it is believed.
const CONFIRM: Duration = Duration::from_millis(400);
/// How far the clocks may drift apart between two looks before the server's counts as set.
const DRIFT: Duration = Duration::from_millis(250);
/// How often an owner beats, and the longest pause between two looks.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// The shortest regular pause; a shorter one is taken only where a beat is late.
const OFTEN: Duration = Duration::from_millis(750);
const LATE: Duration = Duration::from_millis(500);
/// The pause before sessions that would not end are ended again.
const FENCE_AGAIN: Duration = Duration::from_secs(1);
/// The pause before it is tried again where the server did not permit it.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);

/// An instance that holds what we want, and its last beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) id: String,
    /// Microseconds of the server's clock.
    pub(super) beat: i64,
}

/// What was made of a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) stale: Vec<Holder>,
    /// When to look again.
    pub(super) next: Duration,
}

/// What one session has seen of the others.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The last beat of each, and when it was first seen.
    seen: HashMap<String, (i64, Moment)>,
    /// The server's clock at the last look.
    clock: Option<(i64, Moment)>,
    /// Ages do not count before, since the server's clock was set.
    distrust: Option<Moment>,
    /// Not to be fenced before.
    not_before: HashMap<String, Moment>,
}

impl Holders {
    /// Judges what the server answered at `now`.
    pub(super) fn look(&mut self, clock: i64, now: Moment, holders: Vec<Holder>) -> Verdict {
        self.check_clock(clock, now);
        self.seen.retain(|id, _| holders.iter().any(|holder| holder.id == *id));
        self.not_before.retain(|_, until| *until > now);
        let trusted = self.distrust.is_none_or(|until| until <= now);
        let mut next = BEAT;
        let mut stale = Vec::new();
        for holder in holders {
            let unchanged = self.unchanged(&holder, now);
            let mut due = LEASE.saturating_sub(unchanged);
            if trusted {
                let by_age = LEASE.saturating_sub(age(clock, holder.beat));
                due = due.min(by_age.max(CONFIRM.saturating_sub(unchanged)));
            }
            if let Some(until) = self.not_before.get(&holder.id) {
                due = due.max(until.since(now));
            }
            if due.is_zero() {
                stale.push(holder);
            } else {
                next = next.min(pause(due + SLACK));
            }
        }
        Verdict { stale, next }
    }

    /// It was fenced, and may be gone the next time.
    pub(super) fn fenced(&mut self, id: &str, now: Moment) {
        self.not_before.insert(id.to_owned(), now + FENCE_AGAIN);
    }

    /// The server did not permit it.
    pub(super) fn refused(&mut self, id: &str, now: Moment) {
        self.not_before.insert(id.to_owned(), now + REFUSED_AGAIN);
    }

    fn check_clock(&mut self, clock: i64, now: Moment) {
        if let Some((before, at)) = self.clock.replace((clock, now)) {
            let ours = i128::try_from(now.since(at).as_micros()).unwrap_or(i128::MAX);
            let theirs = i128::from(clock) - i128::from(before);
            if (theirs - ours).unsigned_abs() > DRIFT.as_micros() {
                self.distrust = Some(now + LEASE);
            }
        }
    }

    fn unchanged(&mut self, holder: &Holder, now: Moment) -> Duration {
        let (beat, since) = self.seen.entry(holder.id.clone()).or_insert((holder.beat, now));
        if *beat != holder.beat {
            (*beat, *since) = (holder.beat, now);
        }
        now.since(*since)
    }
}

fn age(clock: i64, beat: i64) -> Duration {
    Duration::from_micros(u64::try_from(clock.saturating_sub(beat)).unwrap_or(0))
}

fn pause(due: Duration) -> Duration {
    if due < LATE { due } else { due.clamp(OFTEN, BEAT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(millis: u64) -> Moment {
        Moment::at(ms(millis))
    }

    fn micros(millis: u64) -> i64 {
        i64::try_from(millis * 1000).unwrap()
    }

    /// Looks as often as it is told to, from `from` until `until`, at an owner whose beats are given; answers
    /// when it found it stale, and how often it looked.
    fn watch(from: u64, until: u64, last_beat: impl Fn(u64) -> u64) -> (Option<u64>, u32) {
        let mut holders = Holders::default();
        let (mut now, mut looks) = (from, 0);
        while now < until {
            looks += 1;
            let holder = Holder { id: "a".to_owned(), beat: micros(last_beat(now)) };
            let verdict = holders.look(micros(now), at(now), vec![holder]);
            if !verdict.stale.is_empty() {
                return (Some(now), looks);
            }
            now += u64::try_from(verdict.next.as_millis()).unwrap();
        }
        (None, looks)
    }

    #[test]
    fn e_11_an_owner_that_stands_still_is_stale_in_less_than_two_seconds_at_any_phase() {
        for phase in (0..1000).step_by(10) {
            let beats = |now: u64| if now < 60_000 { now - (now + phase) % 1000 } else { 60_000 - phase };
            let (stale, _) = watch(10_000, 100_000, beats);
            let after_beat = stale.unwrap() - (60_000 - phase).min(60_000);
            assert!((1500..1850).contains(&after_beat), "phase {phase}: {after_beat} ms");
        }
    }

    #[test]
    fn e_11_an_owner_that_beats_is_never_stale_and_costs_a_look_a_second() {
        for phase in (0..1000).step_by(50) {
            // Up to 400 ms late, now and then.
            let beats = |now: u64| {
                let beat = now - (now + phase) % 1000;
                if (beat / 1000).is_multiple_of(7) && now - beat < 400 { beat - 1000 } else { beat }
            };
            let (stale, looks) = watch(10_000, 110_000, beats);
            assert_eq!(stale, None, "phase {phase}");
            assert!((100..=125).contains(&looks), "phase {phase}: {looks} looks in 100 s");
        }
    }

    #[test]
    fn several_owners_cost_hardly_more_than_one() {
        let mut holders = Holders::default();
        let (mut now, mut looks) = (10_000_u64, 0);
        while now < 110_000 {
            let list = (0..7_u64)
                .map(|n| Holder { id: n.to_string(), beat: micros(now - (now + n * 143) % 1000) })
                .collect();
            let verdict = holders.look(micros(now), at(now), list);
            assert_eq!(verdict.stale, []);
            now += u64::try_from(verdict.next.as_millis()).unwrap();
            looks += 1;
        }
        assert!(looks <= 140, "{looks} looks in 100 s");
    }

    #[test]
    fn e_11_a_clock_that_is_set_makes_nobody_stale() {
        let hour = micros(3_600_000);
        for jump in [hour, -hour] {
            let mut holders = Holders::default();
            for now in (10_000..30_000_u64).step_by(100) {
                // The clock jumps behind a beat, which keeps its old time until the next one.
                let shift = |time: u64| if time >= 20_300 { jump } else { 0 };
                let beat = now - now % 1000;
                let holder = Holder { id: "a".to_owned(), beat: micros(beat) + shift(beat) };
                let verdict = holders.look(micros(now) + shift(now), at(now), vec![holder]);
                assert_eq!(verdict.stale, [], "at {now}");
            }
        }
    }

    #[test]
    fn e_11_a_clock_that_was_set_back_does_not_keep_the_dead() {
        let mut holders = Holders::default();
        let dead = || vec![Holder { id: "a".to_owned(), beat: micros(90_000) }];
        assert_eq!(holders.look(micros(10_000), at(0), dead()).stale, []);
        assert_eq!(holders.look(micros(11_000), at(1000), dead()).stale, []);
        assert_eq!(holders.look(micros(11_600), at(1600), dead()).stale, dead());
    }

    #[test]
    fn who_may_not_be_fenced_or_was_just_now_is_left_alone_for_a_while() {
        let mut holders = Holders::default();
        let dead = || vec![Holder { id: "a".to_owned(), beat: 0 }];
        holders.look(micros(10_000), at(0), dead());
        assert_eq!(holders.look(micros(11_000), at(1000), dead()).stale, dead());
        holders.fenced("a", at(1000));
        assert_eq!(holders.look(micros(11_100), at(1100), dead()).stale, []);
        assert_eq!(holders.look(micros(12_100), at(2100), dead()).stale, dead());
        holders.refused("a", at(2100));
        assert_eq!(holders.look(micros(32_100), at(22_100), dead()), Verdict { stale: vec![], next: BEAT });
    }
}
