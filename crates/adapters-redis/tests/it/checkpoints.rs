//! What is particular to checkpoints in Redis (D-1 to D-13); the ports' laws are in `contracts`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use highwater_core::ErrorKind;
use highwater_core::model::{Advance, Position};
use highwater_core::ports::{CheckpointStore, GroupClaim, OwnedAdvance, OwnedCheckpoints, OwnedEntry};
use highwater_redis::redis::cmd;
use highwater_redis::{Redis, RedisCheckpoints};
use highwater_testkit::fixtures::EDGES;

use crate::kit::{LONG, Place, at, raw};
use crate::own_server::{OwnServer, wait_for};
use crate::proxy::Proxy;

const MINUTE: Duration = Duration::from_secs(60);

async fn set(store: &RedisCheckpoints, key: &str, to: Position) -> Advance {
    store.set_if_newer(key, to).await.expect("the server answers")
}

async fn place_of(store: &RedisCheckpoints, key: &str) -> Option<Position> {
    store.get(key).await.expect("the server answers").map(|checkpoint| checkpoint.position)
}

/// The time to live in milliseconds; -1 without one, -2 without the key.
fn ttl(place: &Place, key: &str) -> i64 {
    place.raw(cmd("PTTL").arg(place.name(key)))
}

fn fields(place: &Place, key: &str) -> BTreeMap<String, String> {
    place.raw(cmd("HGETALL").arg(place.name(key)))
}

/// Numbers that are near each other, near where doubles lose units, at the ends, and anywhere.
fn half() -> impl Strategy<Value = u64> {
    let near = (1_u64 << 53) - 2..(1 << 53) + 3;
    prop_oneof![proptest::sample::select(EDGES.to_vec()), near, 0..12_u64, 95..105_u64, any::<u64>()]
}

#[tokio::test]
async fn d_1_the_script_orders_positions_as_numbers_to_the_last_bit() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let pairs = proptest::collection::vec(((half(), half()), (half(), half())), 3000);
    let pairs = pairs.new_tree(&mut runner).expect("values").current();
    let position = |(commit, prepare): (u64, u64)| Position::new(commit, prepare);
    let key = |n: usize| format!("{n}");
    let first: Vec<_> = (0..).zip(&pairs).map(|(n, pair)| (key(n), position(pair.0))).collect();
    let mut second: Vec<_> = (0..).zip(&pairs).map(|(n, pair)| (key(n), position(pair.1))).collect();
    for (n, (stored, to)) in first.iter().zip(&mut second).enumerate() {
        match n % 5 {
            0 => to.1 = stored.1,
            1 => to.1 = Position::new(stored.1.commit(), to.1.prepare()),
            _ => {}
        }
    }
    let answers = store.set_many_if_newer(&first).await.expect("the server answers");
    assert!(answers.iter().all(|answer| *answer == Advance::Applied));
    let answers = store.set_many_if_newer(&second).await.expect("the server answers");
    let mut seen = [0; 3];
    for ((answer, (_, stored)), (key, to)) in answers.into_iter().zip(&first).zip(&second) {
        let (index, expected) = match to.cmp(stored) {
            std::cmp::Ordering::Greater => (0, Advance::Applied),
            std::cmp::Ordering::Equal => (1, Advance::Unchanged),
            std::cmp::Ordering::Less => (2, Advance::Stale { current: *stored }),
        };
        assert_eq!(answer, expected, "{to} behind {stored}");
        assert_eq!(place_of(&store, key).await, Some((*to).max(*stored)));
        seen[index] += 1;
    }
    assert!(seen.iter().all(|count| *count > 500), "{seen:?}");
}

#[tokio::test]
async fn d_2_unchanged_applies_the_ttl_rule_and_stale_touches_nothing() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    let with_ttl = async |to, ttl| store.set_with_ttl("key", to, ttl).await.expect("the server answers");
    assert_eq!(with_ttl(at(5), MINUTE).await, Advance::Applied);
    assert!(ttl(&place, "key") > 50_000);
    assert_eq!(with_ttl(at(5), MINUTE * 10).await, Advance::Unchanged);
    assert!(ttl(&place, "key") > 500_000, "the new time to live counts");
    let before = fields(&place, "key");
    assert_eq!(with_ttl(at(4), MINUTE / 2).await, Advance::Stale { current: at(5) });
    assert_eq!(set(&store, "key", at(4)).await, Advance::Stale { current: at(5) });
    assert!(ttl(&place, "key") > 500_000, "stale touches nothing");
    assert_eq!(fields(&place, "key"), before);
    assert_eq!(set(&store, "key", at(5)).await, Advance::Unchanged);
    assert_eq!(ttl(&place, "key"), -1, "unchanged without a time to live takes it back");
    assert_eq!(fields(&place, "key"), before);
}

#[tokio::test]
async fn d_7_a_key_that_holds_something_else_is_named_and_the_others_move() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    let keys = ["a", "m", "z"];
    let mut entries = Vec::new();
    for key in keys {
        let claim = store.claim(key, "me", LONG).await.expect("the server answers");
        let GroupClaim::Won { epoch, .. } = claim else { panic!("it is free") };
        entries.push(OwnedEntry { key: key.to_owned(), epoch, to: Some(at(1)) });
    }
    store.advance_owned("me", LONG, &entries).await.expect("all is well");
    place.raw::<()>(cmd("SET").arg(place.name("m")).arg("x"));
    let to = |position| keys.map(|key| (key.to_owned(), position));
    let set = store.set_many_if_newer(&to(at(2))).await.map(drop);
    assert_eq!((place_of(&store, "a").await, place_of(&store, "z").await), (Some(at(2)), Some(at(2))));
    entries.iter_mut().for_each(|entry| entry.to = Some(at(3)));
    let advanced = store.advance_owned("me", LONG, &entries).await.map(drop);
    assert_eq!((place_of(&store, "a").await, place_of(&store, "z").await), (Some(at(3)), Some(at(3))));
    for error in [set, advanced].map(|moved| moved.expect_err("one of them is a string")) {
        assert_eq!(
            (error.kind(), error.backend_code()),
            (ErrorKind::Corrupt, Some("WRONGTYPE")),
            "{error:?}"
        );
        assert!(error.context().contains(&("key", "m".to_owned())), "{error:?}");
    }
}

#[tokio::test]
async fn d_3_only_reset_goes_back() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    set(&store, "key", Position::MAX).await;
    assert_eq!(set(&store, "key", Position::MIN).await, Advance::Stale { current: Position::MAX });
    let back = store.reset("key", Position::MIN, Position::MAX).await.expect("the server answers");
    assert_eq!(back, Advance::Applied);
    assert_eq!(place_of(&store, "key").await, Some(Position::MIN));
    assert_eq!(ttl(&place, "key"), -1);
}

#[tokio::test]
async fn d_4_absent_present_corrupt_and_unavailable_are_four_answers() {
    let Some(place) = Place::new() else { return };
    let proxy = Proxy::new(place.url());
    let redis = Redis::open(&proxy.url(place.url()), &place.options()).await.expect("the server answers");
    let store = RedisCheckpoints::new(&redis);
    assert_eq!(place_of(&store, "absent").await, None);
    assert!(!store.exists("absent").await.expect("the server answers"));
    set(&store, "present", at(1)).await;
    assert!(store.exists("present").await.expect("the server answers"));

    let damage: [(&str, &[&str]); 7] = [
        ("string", &["SET", "x"]),
        ("half", &["HSET", "commit", "3"]),
        ("other half", &["HSET", "prepare", "3"]),
        ("zeros", &["HSET", "commit", "003", "prepare", "0"]),
        ("float", &["HSET", "commit", "3.0", "prepare", "0"]),
        ("too great", &["HSET", "commit", "18446744073709551616", "prepare", "0"]),
        ("somebody's", &["HSET", "name", "value"]),
    ];
    for (key, parts) in damage {
        place.raw::<()>(cmd(parts[0]).arg(place.name(key)).arg(&parts[1..]));
        let error = store.get(key).await.expect_err("it is damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{key}: {error:?}");
        assert!(error.context().contains(&("key", key.to_owned())), "{error:?}");
        let error = store.scan(key, None, 10).await.expect_err("it is damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{key}: {error:?}");
        let error = store.get_all(key, 10).await.expect_err("it is damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{key}: {error:?}");
        if !["too great", "somebody's"].contains(&key) {
            let before: Vec<u8> = place.raw(cmd("DUMP").arg(place.name(key)));
            for moved in [store.set_if_newer(key, at(9)).await, store.reset(key, at(9), at(3)).await] {
                assert_eq!(moved.expect_err("it is damaged").kind(), ErrorKind::Corrupt, "{key}");
            }
            let error = store.claim(key, "a", LONG).await.expect_err("it is damaged");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{key}: {error:?}");
            assert_eq!(place.raw::<Vec<u8>>(cmd("DUMP").arg(place.name(key))), before, "nothing is touched");
        }
        assert!(store.delete(key).await.expect("an operator can mend it"), "{key}");
        assert_eq!(place_of(&store, key).await, None);
    }

    proxy.cut();
    for key in ["absent", "present"] {
        let error = store.get(key).await.expect_err("the server is cut off");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        store.exists(key).await.expect_err("the server is cut off");
        store.get_all("", 10).await.expect_err("the server is cut off");
    }
    proxy.mend();
    assert_eq!(place_of(&store, "present").await, Some(at(1)));
}

#[tokio::test]
async fn d_5_a_write_without_a_ttl_removes_an_old_one() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    for (n, write) in ["set_if_newer", "set_many_if_newer", "reset", "claim"].into_iter().enumerate() {
        let key = write;
        store.set_with_ttl(key, at(1), MINUTE).await.expect("the server answers");
        assert!(ttl(&place, key) > 0);
        match n {
            0 => drop(store.set_if_newer(key, at(2)).await.expect("the server answers")),
            1 => drop(store.set_many_if_newer(&[(key.to_owned(), at(2))]).await.expect("it answers")),
            2 => drop(store.reset(key, at(0), at(1)).await.expect("the server answers")),
            _ => drop(store.claim(key, "a", LONG).await.expect("the server answers")),
        }
        assert_eq!(ttl(&place, key), -1, "{write}");
    }
    // Also by the owner, if somebody else has set one behind our back.
    place.raw::<()>(cmd("PEXPIRE").arg(place.name("claim")).arg(60_000));
    let renew = OwnedEntry { key: "claim".to_owned(), epoch: 1, to: None };
    let answers = store.advance_owned("a", LONG, &[renew]).await.expect("the server answers");
    assert_eq!(answers, [OwnedAdvance::Owned(None)]);
    assert_eq!(ttl(&place, "claim"), -1);
}

#[tokio::test]
async fn d_6_a_ttl_is_off_by_default_and_refused_for_who_runs() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    set(&store, "key", at(1)).await;
    assert_eq!(ttl(&place, "key"), -1);
    store.claim("key", "the billing runner", LONG).await.expect("the server answers");
    let before = fields(&place, "key");
    for to in [at(0), at(1), at(2)] {
        let error = store.set_with_ttl("key", to, MINUTE).await.expect_err("it runs");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.chain().contains("the billing runner"), "{}", error.chain());
    }
    assert_eq!((ttl(&place, "key"), fields(&place, "key")), (-1, before), "nothing is touched");
    assert!(store.release("key", "the billing runner", 1).await.expect("the server answers"));
    assert_eq!(store.set_with_ttl("key", at(2), MINUTE).await.expect("nobody runs"), Advance::Applied);
    for ttl in [Duration::ZERO, Duration::from_micros(999), Duration::MAX] {
        let error = store.set_with_ttl("key", at(3), ttl).await.expect_err("no time to live");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{ttl:?}");
    }
}

#[tokio::test]
async fn d_6_what_has_run_out_is_lost_and_not_new() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    store.set_with_ttl("key", at(5), Duration::from_millis(20)).await.expect("the server answers");
    wait_for("end of it", || (ttl(&place, "key") == -2).then_some(()));
    assert_eq!(place_of(&store, "key").await, None);
    let error = store.claim("key", "a", LONG).await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::CheckpointLost);
}

#[tokio::test]
async fn d_7_every_inner_reply_of_a_pipeline_is_checked() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    let keys: Vec<_> = (0..250).map(|n| format!("key {n:03}")).collect();
    for bad in ["key 000", "key 120", "key 249"] {
        place.raw::<()>(cmd("SET").arg(place.name(bad)).arg("a string"));
        let entries: Vec<_> = keys.iter().map(|key| (key.clone(), at(1))).collect();
        let error = store.set_many_if_newer(&entries).await.expect_err("one is no hash");
        assert_eq!(
            (error.kind(), error.backend_code()),
            (ErrorKind::Corrupt, Some("WRONGTYPE")),
            "{error:?}"
        );
        let error = store.get_all("key", 500).await.expect_err("one is no hash");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert!(store.delete(bad).await.expect("the server answers"));
    }
    let entries: Vec<_> = keys.iter().map(|key| (key.clone(), at(2))).collect();
    let answers = store.set_many_if_newer(&entries).await.expect("all are hashes");
    assert!(answers.iter().all(|answer| *answer == Advance::Applied));
}

#[tokio::test]
async fn d_9_the_registry_tells_lost_from_new() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    assert!(!store.remembers().await.expect("the server answers"), "it may have lost everything");
    let claim = store.claim("key", "a", LONG).await.expect("the server answers");
    assert!(matches!(claim, GroupClaim::Won { checkpoint: None, .. }));
    assert!(!store.remembers().await.expect("the server answers"), "there was no checkpoint yet");
    let entry = OwnedEntry { key: "key".to_owned(), epoch: 1, to: Some(at(5)) };
    store.advance_owned("a", LONG, std::slice::from_ref(&entry)).await.expect("the server answers");
    assert!(store.remembers().await.expect("the server answers"));

    place.raw::<()>(cmd("UNLINK").arg(place.name("key")));
    let answers = store.advance_owned("a", LONG, &[entry]).await.expect("the server answers");
    assert_eq!(answers, [OwnedAdvance::Lost], "who owned it cannot hide the loss");
    let error = store.claim("key", "a", LONG).await.expect_err("it is lost");
    assert_eq!(error.kind(), ErrorKind::CheckpointLost);
    assert!(error.chain().contains("delete the key to begin anew"), "{}", error.chain());

    // A registry that is lost by itself is made good by those who claim.
    set(&store, "key", at(5)).await;
    place.raw::<()>(cmd("UNLINK").arg(place.registry()));
    store.claim("key", "a", LONG).await.expect("the server answers");
    place.raw::<()>(cmd("UNLINK").arg(place.name("key")));
    let error = store.claim("key", "a", LONG).await.expect_err("it is lost");
    assert_eq!(error.kind(), ErrorKind::CheckpointLost);

    // With both gone nothing can be told, and that is told.
    place.raw::<()>(cmd("UNLINK").arg(place.registry()));
    assert!(!store.remembers().await.expect("the server answers"));
}

#[tokio::test]
async fn d_9_there_is_no_checkpoint_that_is_not_registered() {
    let Some(server) = OwnServer::start(&[]) else { return };
    let place = server.place();
    // Somebody who may write all of it but the registry.
    server.admit_to(&format!("~{}", place.name("*")), "half", "+@all");
    let url = format!("redis://half:pw@127.0.0.1:{}", server.port());
    let redis = Redis::open(&url, &place.options()).await.expect("the server answers");
    let store = RedisCheckpoints::new(&redis);
    place.checkpoints().await.claim("claimed", "a", LONG).await.expect("the server answers");
    let error = store.set_if_newer("new", at(1)).await.expect_err("it cannot be registered");
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error:?}");
    let entry = OwnedEntry { key: "claimed".to_owned(), epoch: 1, to: Some(at(5)) };
    store.advance_owned("a", LONG, &[entry]).await.expect_err("it cannot be registered");
    for key in ["new", "claimed"] {
        assert!(!store.exists(key).await.expect("the server answers"), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d_9_nothing_stays_lost_that_nobody_has_lost() {
    let Some(place) = Place::new() else { return };
    let key = |n: u64| format!("key {}", n % 6);
    let mut callers = Vec::new();
    for caller in 0..8_u64 {
        let store = place.checkpoints().await;
        callers.push(tokio::spawn(async move {
            for round in 0..400_u64 {
                let own = format!("owner {}", caller % 3);
                let to = Position::new(round, caller);
                let done = match (round + caller) % 5 {
                    0 if round % 3 == 0 => CheckpointStore::clear(&store, "key", false).await.map(drop),
                    0 | 1 => store.claim(&key(round), &own, LONG).await.map(drop),
                    2 => store.delete(&key(round)).await.map(drop),
                    3 => store.set_many_if_newer(&[(key(round), to), (key(round + 1), to)]).await.map(drop),
                    _ => {
                        let entries: Vec<_> = (0..6)
                            .map(|n| OwnedEntry { key: key(n), epoch: 1 + n % 2, to: Some(to) })
                            .collect();
                        store.advance_owned(&own, LONG, &entries).await.map(drop)
                    }
                };
                // For a moment it may look so, to who claims a key that is being deleted and written for the first time.
                if let Err(error) = done
                    && error.kind() != ErrorKind::CheckpointLost
                {
                    panic!("round {round} of {caller}: {}", error.chain());
                }
            }
        }));
    }
    for caller in callers {
        caller.await.expect("no call has failed");
    }
    let store = place.checkpoints().await;
    for n in 0..6 {
        store.claim(&key(n), "owner 0", LONG).await.expect("it is there, or it was deleted");
    }
}

#[tokio::test]
async fn d_10_a_server_that_has_lost_its_scripts_gets_them_again() {
    let Some(server) = OwnServer::start(&[]) else { return };
    let place = server.place();
    let store = place.checkpoints().await;
    let entries: Vec<_> = (0..1000).map(|n| (format!("key {n}"), at(1))).collect();
    let flush = || place.raw::<()>(cmd("SCRIPT").arg("FLUSH").arg("SYNC"));
    store.set_many_if_newer(&entries).await.expect("the server answers");
    // Once, and then all the time, in the middle of pipelines as well.
    flush();
    assert_eq!(set(&store, "key 0", at(2)).await, Advance::Applied);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopping, url) = (stop.clone(), place.url().to_owned());
    let flushing = std::thread::spawn(move || {
        let mut connection = raw(&url);
        while !stopping.load(Ordering::Relaxed) {
            cmd("SCRIPT").arg("FLUSH").arg("SYNC").exec(&mut connection).expect("the server answers");
        }
    });
    for round in 3..30 {
        let entries: Vec<_> = entries.iter().map(|(key, _)| (key.clone(), at(round))).collect();
        let answers = store.set_many_if_newer(&entries).await.expect("the server answers");
        assert!(answers.iter().all(|answer| *answer == Advance::Applied), "round {round}");
        let claim = store.claim("key 1", "a", LONG).await.expect("the server answers");
        assert!(matches!(claim, GroupClaim::Won { .. }));
    }
    stop.store(true, Ordering::Relaxed);
    flushing.join().expect("it has not panicked");
    assert!(place.calls("evalsha") > 250 && place.calls("eval") > 0, "ten calls a round");
}

#[tokio::test(flavor = "multi_thread")]
async fn d_12_two_writers_racing_ten_thousand_advances_end_at_the_greatest() {
    let Some(place) = Place::new() else { return };
    // Its own order for each writer, over positions that differ in their last bits.
    let positions = |writer: u64| {
        (0..5000_u64).map(move |n| {
            let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) ^ (writer << 5);
            Position::new((1 << 53) + mixed % 64, mixed >> 7)
        })
    };
    let greatest = positions(0).chain(positions(1)).max();
    let writers: Vec<_> = futures_util::future::join_all((0..2).map(|_| place.checkpoints())).await;
    let writers: Vec<_> = (0..)
        .zip(writers)
        .map(|(writer, store)| {
            tokio::spawn(async move {
                let mut own = Position::MIN;
                for to in positions(writer) {
                    own = own.max(to);
                    match set(&store, "raced", to).await {
                        Advance::Applied | Advance::Unchanged => {}
                        Advance::Stale { current } => assert!(current > to, "{current} and {to}"),
                    }
                    assert!(place_of(&store, "raced").await >= Some(own), "it went back");
                }
            })
        })
        .collect();
    let reader = place.checkpoints().await;
    let mut before = None;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let now = place_of(&reader, "raced").await;
        assert!(now >= before, "from {before:?} back to {now:?}");
        before = now;
    }
    for writer in writers {
        writer.await.expect("it has not panicked");
    }
    assert_eq!(place_of(&reader, "raced").await, greatest);
}

#[tokio::test]
async fn d_13_the_time_is_the_servers_and_informational() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    let time = || {
        let (seconds, micros): (i64, i64) = place.raw(&mut cmd("TIME"));
        seconds * 1_000_000 + micros
    };
    for n in 0..20 {
        let before = time();
        set(&store, "key", at(n)).await;
        let stored = store.get("key").await.expect("the server answers").expect("it is there");
        assert!((before..=time()).contains(&stored.updated_at_micros), "{before} {stored:?}");
    }
    // What an older program has written there is no reason not to run.
    place.raw::<()>(cmd("HSET").arg(place.name("key")).arg("updated_at").arg("2024-01-01T00:00:00Z"));
    let stored = store.get("key").await.expect("the server answers").expect("it is there");
    assert_eq!((stored.position, stored.updated_at_micros), (at(19), 0));
}
