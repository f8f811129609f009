//! The order of keys, and the queue against its definition.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const PAUSE: Duration = Duration::from_secs(2);

fn at(seconds: u64) -> Moment {
    Moment::at(Duration::from_secs(seconds))
}

fn queue_of(due: &[&str]) -> Queue {
    let mut queue = Queue::default();
    for (second, key) in (0..).zip(due) {
        assert_eq!(queue.mark(key, true, at(second), 1_000), Ok(true));
    }
    queue
}

fn take(queue: &mut Queue, most: usize) -> Vec<String> {
    queue.take(most, false, |_| true).iter().map(ToString::to_string).collect()
}

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| Key::from(*name)).collect()
}

#[test]
fn c_3_oldest_first_and_no_more_than_fit() {
    let mut queue = queue_of(&["c", "a", "b"]);
    assert_eq!(queue.mark("c", true, at(9), 1_000), Ok(false), "a mark again makes it no younger");
    assert_eq!(take(&mut queue, 2), ["c", "a"]);
    assert_eq!(take(&mut queue, 2), ["b"]);
    assert_eq!(take(&mut queue, 2), [""; 0]);
    assert_eq!(queue.len(), 3, "flying keys are dirty");
}

#[test]
fn a_key_waits_for_a_pass_unless_it_is_due() {
    let mut queue = Queue::default();
    for (key, due) in [("a", false), ("b", true), ("c", false)] {
        queue.mark(key, due, at(0), 1_000).unwrap();
    }
    assert_eq!(take(&mut queue, 9), ["b"]);
    queue.mark("c", true, at(1), 1_000).unwrap();
    assert_eq!(take(&mut queue, 9), ["c"], "it is due now");
    assert!(queue.any_waiting());
    queue.begin_pass();
    assert_eq!(take(&mut queue, 9), ["a"]);
}

#[test]
fn c_1_a_key_is_clean_only_if_nobody_marked_it_since_the_take_off() {
    let mut queue = queue_of(&["a", "b", "c"]);
    let first = queue.mark_of("b").unwrap();
    let flying = queue.take(9, false, |_| true);
    queue.mark("b", false, at(5), 1_000).unwrap();
    queue.mark("c", true, at(6), 1_000).unwrap();
    let second = queue.mark_of("b").unwrap();
    assert!(!queue.is_durable("b", first));
    for key in &flying {
        queue.written(key);
    }
    assert_eq!(queue.mark_of("a"), None);
    assert!(queue.is_durable("b", first) && !queue.is_durable("b", second));
    assert_eq!(take(&mut queue, 9), ["c"], "marked as due on the way");
    assert_eq!(queue.oldest(), Some(at(5)), "its age is that of the mark that is not durable");
}

#[test]
fn c_3_a_refused_key_rests_and_keeps_its_age_and_the_rest_doubles() {
    let mut queue = queue_of(&["bad", "good"]);
    queue.take(9, false, |_| true);
    queue.written(&"good".into());
    let mut asked = Vec::new();
    let failures = queue.refused(&"bad".into(), at(10), |failures| {
        asked.push(failures);
        PAUSE
    });
    assert_eq!((failures, asked), (1, vec![1]));
    queue.mark("bad", true, at(11), 1_000).unwrap();
    assert_eq!(take(&mut queue, 9), [""; 0], "marks do not wake it");
    assert_eq!((queue.next_rested(), queue.oldest()), (Some(at(12)), Some(at(0))));
    queue.mark("new", true, at(11), 1_000).unwrap();
    queue.wake(at(12));
    assert_eq!(take(&mut queue, 9), ["bad", "new"], "with the others, oldest first");
    assert_eq!(queue.refused(&"bad".into(), at(12), |_| PAUSE), 2);
    queue.make_due("bad");
    assert_eq!(take(&mut queue, 9), ["bad"], "a forced flush does not wait");
}

#[test]
fn c_3_a_lost_call_is_tried_again_in_halves_apart_and_behind_the_others() {
    let mut queue = queue_of(&["a", "b", "c", "d", "e"]);
    let lost = queue.take(9, false, |_| true);
    queue.mark("f", true, at(20), 1_000).unwrap();
    queue.lost(lost, at(21), |_| PAUSE);
    queue.mark("g", true, at(22), 1_000).unwrap();
    assert_eq!(take(&mut queue, 9), ["f", "g"], "what was ready, and what may travel with it");
    assert_eq!(take(&mut queue, 9), ["a", "b", "c"]);
    queue.lost(keys(&["a", "b", "c"]), at(23), |_| PAUSE);
    assert_eq!(take(&mut queue, 9), ["d", "e"]);
    queue.written(&"d".into());
    queue.written(&"e".into());
    assert_eq!(take(&mut queue, 1), ["a"], "a smaller batch size cuts a half");
    assert_eq!(take(&mut queue, 1), ["b"]);
    queue.lost(keys(&["b"]), at(24), |failures| PAUSE * failures);
    assert_eq!(take(&mut queue, 9), ["c"]);
    assert_eq!(queue.next_rested(), Some(at(26)), "one that failed alone rests");
}

#[test]
fn c_7_a_probe_takes_keys_that_are_not_suspected_if_there_are_any() {
    let mut queue = queue_of(&["a", "b"]);
    let lost = queue.take(9, false, |_| true);
    queue.lost(lost, at(3), |_| PAUSE);
    queue.mark("c", true, at(4), 1_000).unwrap();
    assert_eq!(queue.take(9, true, |_| true), keys(&["c"]));
    assert_eq!(queue.take(9, true, |_| true), keys(&["a"]), "else it takes what there is");
}

#[test]
fn what_was_given_up_is_ready_as_before() {
    let mut queue = queue_of(&["a", "b", "c"]);
    let flying = queue.take(2, false, |_| true);
    queue.given_up(&flying);
    assert_eq!(take(&mut queue, 9), ["a", "b", "c"]);
}

#[test]
fn wanted_keys_leave_alone() {
    let mut queue = queue_of(&["a", "b", "c", "d"]);
    let wanted = queue.take(9, false, |key| key == "b" || key == "d");
    assert_eq!(wanted, keys(&["b", "d"]));
    queue.lost(keys(&["b", "d"]), at(9), |_| PAUSE);
    assert_eq!(queue.take(9, false, |key| key == "d"), keys(&["d"]));
    assert_eq!(queue.take(9, false, |key| key == "x"), keys(&[]));
}

#[test]
fn c_6_a_new_key_needs_a_place_and_a_dirty_one_does_not() {
    let mut queue = Queue::default();
    assert_eq!(queue.mark("a", false, at(0), 2), Ok(true));
    assert_eq!(queue.mark("b", false, at(0), 2), Ok(true));
    assert_eq!(queue.mark("c", true, at(0), 2), Err(Full));
    assert_eq!(queue.mark("b", true, at(0), 2), Ok(false));
    assert_eq!(queue.len(), 2);
}

#[derive(Debug, Clone)]
enum Step {
    Mark(usize, bool),
    TakeOff(usize),
    /// For each key of the call: written, or refused.
    Answer(Vec<bool>),
    Lose,
    GiveUp,
    Pass,
    Wait(u64),
    Force(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_usize..12, any::<bool>()).prop_map(|(key, due)| Step::Mark(key, due)),
        6 => (1_usize..6).prop_map(Step::TakeOff),
        4 => prop::collection::vec(any::<bool>(), 6).prop_map(Step::Answer),
        2 => Just(Step::Lose),
        1 => Just(Step::GiveUp),
        2 => Just(Step::Pass),
        2 => (0_u64..4).prop_map(Step::Wait),
        1 => (0_usize..12).prop_map(Step::Force),
    ];
    prop::collection::vec(step, 1..300)
}

impl Queue {
    /// Each dirty key is at one place, the one that it believes to be at.
    fn check(&self, flying: &[Key]) {
        let mut places: BTreeMap<&str, &str> = BTreeMap::new();
        let of = |item| match item {
            Item::Key(key) => vec![key],
            Item::Apart(keys) => keys,
        };
        let copied = |item: &Item| match item {
            Item::Key(key) => Item::Key(key.clone()),
            Item::Apart(keys) => Item::Apart(keys.clone()),
        };
        let ready: Vec<Key> = self.ready.values().flat_map(|item| of(copied(item))).collect();
        let resting: Vec<Key> = self.resting.values().flat_map(|item| of(copied(item))).collect();
        let waiting: Vec<Key> = self.waiting.values().cloned().collect();
        let all =
            [("ready", &ready), ("resting", &resting), ("waiting", &waiting), ("flying", &flying.to_vec())]
                .map(|(place, keys)| (place, keys.clone()));
        for (place, keys) in &all {
            for key in keys {
                assert_eq!(places.insert(key, place), None, "{key} is at two places");
            }
        }
        let believed: BTreeMap<&str, &str> = self
            .entries
            .iter()
            .map(|(key, entry)| {
                let place = match entry.place {
                    Place::Waiting => "waiting",
                    Place::Ready => "ready",
                    Place::Resting(..) => "resting",
                    Place::Flying(_) => "flying",
                };
                (&**key, place)
            })
            .collect();
        assert_eq!(places, believed);
    }
}

proptest! {
    /// No mark is lost, whatever happens: a key is dirty exactly if it was marked since the last call that
    /// wrote it took off. And nobody starves: when the target answers, everything gets clean.
    #[test]
    fn c_1_c_2_c_3_no_mark_is_lost_and_no_key_starves(steps in steps()) {
        let names: Vec<String> = (0..12).map(|key| format!("key-{key}")).collect();
        let mut queue = Queue::default();
        let mut now = 0;
        // The model: marks that are not durable, by key; and which of them the call on its way covers.
        let mut dirty: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        let mut flying: Vec<Key> = Vec::new();
        let mut covered: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        let mut clock = 0;
        for step in steps {
            match step {
                Step::Mark(key, due) => {
                    let name = &names[key];
                    let known = dirty.contains_key(name);
                    let full = dirty.len() >= 10 && !known;
                    let expected = if full { Err(Full) } else { Ok(!known) };
                    prop_assert_eq!(queue.mark(name, due, at(now), 10), expected);
                    if !full {
                        clock += 1;
                        dirty.entry(name.clone()).or_default().insert(clock);
                    }
                }
                Step::TakeOff(most) if flying.is_empty() => {
                    queue.wake(at(now));
                    let ready = queue.next_ready().is_some();
                    flying = queue.take(most, false, |_| true);
                    prop_assert!(flying.len() <= most);
                    prop_assert_eq!(!flying.is_empty(), ready);
                    covered = flying.iter().map(|key| (key.to_string(), dirty[&**key].clone())).collect();
                }
                Step::TakeOff(_) => {}
                Step::Answer(answers) => {
                    for (key, written) in std::mem::take(&mut flying).iter().zip(answers.iter().cycle()) {
                        if *written {
                            queue.written(key);
                            let marks = dirty.get_mut(&**key).unwrap();
                            *marks = marks.difference(&covered[&**key]).copied().collect();
                            if marks.is_empty() {
                                dirty.remove(&**key);
                            }
                        } else {
                            queue.refused(key, at(now), |_| PAUSE);
                        }
                    }
                }
                Step::Lose if !flying.is_empty() => {
                    queue.lost(std::mem::take(&mut flying), at(now), |_| PAUSE);
                }
                Step::Lose => {}
                Step::GiveUp => queue.given_up(&std::mem::take(&mut flying)),
                Step::Pass => {
                    queue.begin_pass();
                }
                Step::Wait(seconds) => now += seconds,
                Step::Force(key) => queue.make_due(&names[key]),
            }
            queue.check(&flying);
            let known: BTreeSet<String> = queue.dirty().iter().map(ToString::to_string).collect();
            prop_assert_eq!(known, dirty.keys().cloned().collect::<BTreeSet<_>>());
        }
        for key in flying {
            queue.written(&key);
        }
        let mut calls = 0;
        while queue.len() > 0 {
            now += 10;
            queue.wake(at(now));
            queue.begin_pass();
            for key in queue.take(5, false, |_| true) {
                queue.written(&key);
            }
            calls += 1;
            prop_assert!(calls <= 24, "two for each key are more than enough");
        }
    }
}
