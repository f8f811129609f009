//! An owner that dies, stops, freezes or vanishes: another one goes on where it was, soon, and what wakes up later
//! applies nothing.

use std::time::Duration;

use highwater::core::ports::Clock as _;
use highwater_tests::postgres::{Place, Proxy, Session};
use highwater_tests::projections::PG_RECORDER;
use highwater_tests::{CLOCK, Folder, LIMIT, Running, Sample, poll};

use super::kit::{
    about, assert_recorder_stands_at_its_state, assert_whole, at_work, in_a_batch, owner, owner_and_stand_by,
    recorded, stand_by, stands, terminate, working,
};

/// What is promised for an owner that is gone.
const GONE: Duration = Duration::from_secs(2);
/// For one that has stopped in order: at once, which includes its last batch and its end.
const STOPPED: Duration = Duration::from_secs(1);
/// For one that is frozen or cut off: noticed after a second and a half, taken over within two, and what a machine
/// may add whose two cores other tests use, too.
const SILENT: Duration = Duration::from_secs(3);
/// How often it is tried where the median counts: a single one may meet a moment in which the machine is busy.
const TIMES: usize = 3;

/// How long it takes until another owner has committed a batch.
fn taken_over(place: &Place, session: &Session, end: impl FnOnce()) -> Duration {
    let (epoch, _) = stands(place, session, "recorder");
    let begun = CLOCK.now();
    end();
    let at = poll("another owner", LIMIT, || {
        let (now, at) = stands(place, session, "recorder");
        (now > epoch).then_some(at)
    });
    poll("its first commit", LIMIT, || (stands(place, session, "recorder").1 > at).then_some(()));
    CLOCK.now().since(begun)
}

/// Ends one owner after the other; what is said to be the bound holds for the median.
fn hand_on(how: &str, bound: Duration, end: impl Fn(Running)) {
    let Some((place, folder)) = working() else { return };
    let session = place.session();
    let (mut first, mut second) = owner_and_stand_by(&folder, &session);
    let mut took = Vec::new();
    for _ in 0..TIMES {
        assert_eq!(owner(&folder, std::slice::from_ref(&first), "recorder"), 0);
        took.push(taken_over(&place, &session, || end(first)));
        (first, second) = (second, stand_by(&folder));
    }
    println!("from {how} to the first commit of the other: {took:?}");
    took.sort();
    assert!(took[TIMES / 2] < bound, "the takeovers took {took:?}");
    assert_recorder_stands_at_its_state(&place, &session);
    terminate(first);
    terminate(second);
    assert_whole(&place, &folder, &session);
}

#[test]
fn e_11_after_kill_9_another_takes_over_in_two_seconds() {
    hand_on("kill -9", GONE, |owner| drop(owner.kill()));
}

#[test]
fn e_11_a_clean_stop_hands_over_at_once() {
    hand_on("SIGTERM", STOPPED, terminate);
}

/// The owner has come back to life: it notices that it is none any more, and leaves the other alone.
fn assert_fenced(place: &Place, folder: &Folder, session: &Session, mut woken: Running, other: Running) {
    let (epoch, _) = stands(place, session, "recorder");
    woken.logs("it has noticed", LIMIT, |line| {
        about("taken over", "recorder")(line) || about("standing by", "recorder")(line)
    });
    let at = recorded(session);
    poll("the other goes on", LIMIT, || (recorded(session) > at + 300).then_some(()));
    assert_eq!(stands(place, session, "recorder").0, epoch, "no other owner since");
    assert_eq!(owner(folder, std::slice::from_ref(&other), "recorder"), 0);
    assert_recorder_stands_at_its_state(place, session);
    terminate(woken);
    terminate(other);
    assert_whole(place, folder, session);
}

#[test]
fn e_12_a_frozen_owner_is_taken_over_and_applies_nothing_when_it_wakes() {
    let Some((place, folder)) = working() else { return };
    let session = place.session();
    let (first, second) = owner_and_stand_by(&folder, &session);
    // In the middle of a batch, so that it has something to go on with.
    poll("a batch", LIMIT, || in_a_batch(&place, &session).then_some(()));
    let took = taken_over(&place, &session, || first.signal("STOP"));
    println!("from SIGSTOP to the first commit of the other: {took:?}");
    assert!(took < SILENT, "the takeover took {took:?}");
    first.signal("CONT");
    assert_fenced(&place, &folder, &session, first, second);
}

#[test]
fn e_11_an_owner_whose_network_is_gone_is_taken_over() {
    let Some((place, folder)) = working() else { return };
    let session = place.session();
    let proxy = Proxy::to(&place.url());
    let far = place.table_at("log", &proxy.url(&place.url()));
    folder.write("far.toml", format!("{far}{}", at_work()));
    let first = folder.spawn(&["--config", "far.toml", "run"]);
    poll("the first batches", LIMIT, || (recorded(&session) > 0).then_some(()));
    let second = stand_by(&folder);
    let took = taken_over(&place, &session, || proxy.hold());
    println!("from the silence to the first commit of the other: {took:?}");
    assert!(took < SILENT, "the takeover took {took:?}");
    proxy.resume();
    assert_fenced(&place, &folder, &session, first, second);
}

#[test]
fn e_11_an_owner_without_work_is_taken_over_too() {
    let Some(place) = Place::new() else { return };
    // Nobody polls in the time of the test: what arrives was woken.
    let folder = place.folder(&format!("[defaults]\npoll_interval = \"10m\"\n{PG_RECORDER}"));
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    let mut first = folder.spawn(&["run"]);
    first.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    let second = stand_by(&folder);
    first.kill();
    folder.ok(&["append", "--stream", "late-1", "--type", "Late", "--data", "{}"]);
    let session = place.session();
    poll("the new event", LIMIT, || (recorded(&session) == 727).then_some(()));
    terminate(second);
}
