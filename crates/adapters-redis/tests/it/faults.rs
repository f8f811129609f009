//! Servers that die, hang, refuse and forget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use highwater_core::model::Advance;
use highwater_core::policy::{Class, Classifier};
use highwater_core::ports::{CheckpointStore, DeadLetters, OwnedCheckpoints};
use highwater_core::{Error, ErrorKind};
use highwater_redis::redis::cmd;
use highwater_redis::{Redis, RedisCheckpoints, RedisClassifier, RedisDeadLetters, RedisOptions};

use crate::kit::{LONG, Place, at, letter};
use crate::own_server::{OwnServer, wait_for};
use crate::proxy::Proxy;

const SHORT: Duration = Duration::from_millis(200);

fn impatient(place: &Place) -> RedisOptions {
    place.options().connect_timeout(SHORT).response_timeout(SHORT)
}

async fn store(url: &str, options: &RedisOptions) -> RedisCheckpoints {
    RedisCheckpoints::new(&Redis::open(url, options).await.expect("the server answers"))
}

fn class(error: &Error) -> Class {
    Classifier::new().with(Arc::new(RedisClassifier)).error(error).class
}

#[tokio::test]
async fn a_server_killed_and_restarted_in_the_middle_loses_nothing_that_was_confirmed() {
    let settings = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut server) = OwnServer::start(&settings) else { return };
    let place = server.place();
    let store = place.checkpoints().await;
    let (mut confirmed, mut failures) = (0, 0);
    for n in 1..=300 {
        if n % 100 == 50 {
            server.kill();
        }
        if n % 100 == 60 {
            server.launch();
        }
        let entries: Vec<_> = (0..150).map(|key| (format!("key {key}"), at(n))).collect();
        match store.set_many_if_newer(&entries).await {
            Ok(_) => confirmed = n,
            Err(error) => {
                assert_eq!(class(&error), Class::Transient, "{error:?}");
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                failures += 1;
            }
        }
        if n % 100 == 75 {
            assert_eq!(confirmed, n, "it goes on by itself");
            let found = store.get_all("key", 100).await.expect("the server answers");
            assert!(found.len() == 150 && found.iter().all(|(_, found)| found.position == at(n)));
        }
    }
    assert_eq!(failures, 30, "ten writes while it was down, three times");
}

#[tokio::test]
async fn a_connection_that_died_while_nobody_used_it_costs_no_error() {
    let Some(place) = Place::new() else { return };
    let proxy = Proxy::new(place.url());
    let redis = Redis::open(&proxy.url(place.url()), &place.options()).await.expect("the server answers");
    let (store, letters) = (RedisCheckpoints::new(&redis), RedisDeadLetters::new(&redis));
    for n in 1..10 {
        proxy.break_all();
        assert_eq!(store.set_if_newer("key", at(n)).await.expect("another connection"), Advance::Applied);
        proxy.break_all();
        store.get_all("", 10).await.expect("another connection");
        proxy.break_all();
        letters.list("group", None, 10).await.expect("another connection");
    }
}

#[tokio::test]
async fn a_paused_server_is_given_up_in_time_and_taken_up_again() {
    let Some(server) = OwnServer::start(&[]) else { return };
    let place = server.place();
    let store = store(place.url(), &impatient(&place)).await;
    store.set_if_newer("key", at(1)).await.expect("the server answers");
    place.raw::<()>(cmd("CLIENT").arg("PAUSE").arg(1500).arg("ALL"));
    #[expect(clippy::disallowed_methods, reason = "it measures a real server")]
    let began = Instant::now();
    let calls = (0..20).map(|n| store.set_if_newer("key", at(n)));
    for error in join_all(calls).await {
        let error = error.expect_err("it is paused");
        assert!([ErrorKind::Timeout, ErrorKind::Unavailable].contains(&error.kind()), "{error:?}");
        assert_eq!(class(&error), Class::Transient);
    }
    assert!(began.elapsed() < Duration::from_millis(1200), "{:?}", began.elapsed());
    let healed = async {
        while store.get("key").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), healed).await.expect("it goes on");
}

#[tokio::test]
async fn a_network_that_swallows_answers_is_left_for_a_new_connection() {
    let Some(place) = Place::new() else { return };
    let proxy = Proxy::new(place.url());
    let store = store(&proxy.url(place.url()), &impatient(&place)).await;
    store.set_if_newer("key", at(1)).await.expect("the server answers");
    proxy.silence(true);
    let error = store.set_if_newer("key", at(100)).await.expect_err("no answer comes");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    // However many ask, the server is asked by one of them at a time, for all.
    #[expect(clippy::disallowed_methods, reason = "it measures a real server")]
    let began = Instant::now();
    let answers = join_all((0..50).map(|n| store.set_if_newer("key", at(n)))).await;
    assert!(answers.iter().all(Result::is_err));
    assert!(began.elapsed() < SHORT * 6, "{:?}", began.elapsed());
    proxy.silence(false);
    // The write whose answer was lost took place; to try again is safe.
    assert_eq!(store.set_if_newer("key", at(100)).await.expect("it is back"), Advance::Unchanged);
}

#[tokio::test]
async fn a_replica_answers_reads_and_its_writes_wait_for_the_primary() {
    let Some(primary) = OwnServer::start(&[]) else { return };
    let port = primary.port().to_string();
    let Some(replica) = OwnServer::start(&["--replicaof", "127.0.0.1", &port]) else { return };
    let place = primary.place();
    let store_there = place.checkpoints().await;
    store_there.set_if_newer("key", at(1)).await.expect("the primary answers");
    store_there.claim("key", "a", LONG).await.expect("the primary answers");
    let here = store(&replica.url(), &place.options()).await;
    let seen = async { while here.get("key").await.expect("a replica can be read").is_none() {} };
    tokio::time::timeout(Duration::from_secs(10), seen).await.expect("it is replicated");
    let refusals = [
        here.set_if_newer("key", at(2)).await.map(drop),
        here.set_if_newer("new", at(2)).await.map(drop),
        here.reset("key", at(0), at(1)).await.map(drop),
        here.claim("other", "a", LONG).await.map(drop),
        here.delete("key").await.map(drop),
        CheckpointStore::clear(&here, "key", false).await.map(drop),
    ];
    for (n, refused) in refusals.into_iter().enumerate() {
        let error = refused.expect_err("a replica takes no writes");
        assert_eq!(
            (error.kind(), error.backend_code()),
            (ErrorKind::Unavailable, Some("READONLY")),
            "{n} {error:?}"
        );
        assert_eq!(class(&error), Class::Transient);
    }
    replica.place().raw::<()>(cmd("REPLICAOF").arg("NO").arg("ONE"));
    assert_eq!(here.set_if_newer("key", at(2)).await.expect("it is promoted"), Advance::Applied);
}

#[tokio::test]
async fn d_9_what_was_evicted_is_lost_and_not_new() {
    let settings = ["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-random"];
    let Some(server) = OwnServer::start(&settings) else { return };
    let place = server.place();
    let store = place.checkpoints().await;
    let keys: Vec<_> = (0..200).map(|n| format!("key {n}")).collect();
    let entries: Vec<_> = keys.iter().map(|key| (key.clone(), at(1))).collect();
    store.set_many_if_newer(&entries).await.expect("the server answers");
    // The registry is one key of many, and must not be the one that goes.
    let registry: Vec<u8> = place.raw(cmd("DUMP").arg(place.registry()));
    let mut filled = 0;
    let lost = wait_for("eviction", || {
        for _ in 0..200 {
            filled += 1;
            place.raw::<()>(cmd("SET").arg(format!("filler {filled}")).arg("x".repeat(4096)));
        }
        keys.iter().find(|key| place.raw::<u64>(cmd("EXISTS").arg(place.name(key))) == 0)
    });
    for n in 0..=filled {
        place.raw::<u64>(cmd("UNLINK").arg(format!("filler {n}")));
    }
    place.raw::<()>(cmd("RESTORE").arg(place.registry()).arg(0).arg(registry).arg("REPLACE"));
    let error = store.claim(lost, "a", LONG).await.expect_err("it was evicted");
    assert_eq!(error.kind(), ErrorKind::CheckpointLost);
    assert_eq!(class(&error), Class::Fatal, "somebody has to see to it");
}

#[tokio::test]
async fn a_full_server_that_evicts_nothing_refuses_for_the_moment() {
    let settings = ["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"];
    let Some(server) = OwnServer::start(&settings) else { return };
    let place = server.place();
    let store = place.checkpoints().await;
    store.set_if_newer("key", at(1)).await.expect("there is room");
    place.raw::<()>(cmd("CONFIG").arg("SET").arg("maxmemory").arg(1));
    for refused in [
        store.set_if_newer("key", at(2)).await,
        store.set_if_newer("new", at(2)).await,
        store.reset("key", at(0), at(1)).await,
    ] {
        let error = refused.expect_err("it is full");
        assert_eq!((error.kind(), error.backend_code()), (ErrorKind::Unavailable, Some("OOM")), "{error:?}");
        assert_eq!(class(&error), Class::Transient);
    }
    assert_eq!(store.claim("key", "a", LONG).await.expect_err("it is full").backend_code(), Some("OOM"));
    let stored = store.get("key").await.expect("it can be read").expect("it is there");
    assert_eq!(stored.position, at(1), "nothing is half done");
    assert_eq!(store.owner("key").await.expect("it can be read"), None);
    place.raw::<()>(cmd("CONFIG").arg("SET").arg("maxmemory").arg(0));
    assert_eq!(store.set_if_newer("key", at(2)).await.expect("there is room"), Advance::Applied);
}

#[tokio::test]
async fn a_user_without_the_privilege_is_denied_and_not_retried() {
    let Some(server) = OwnServer::start(&[]) else { return };
    server.admit("reader", "+@read +@connection +info +evalsha +eval");
    let url = format!("redis://reader:pw@127.0.0.1:{}", server.port());
    let redis = Redis::open(&url, &RedisOptions::default()).await.expect("it may look");
    let (store, letters) = (RedisCheckpoints::new(&redis), RedisDeadLetters::new(&redis));
    assert_eq!(store.get("key").await.expect("it may read"), None);
    assert!(!letters.remove("group", 0, at(1)).await.expect("it may look"));
    for error in [
        store.set_if_newer("key", at(1)).await.expect_err("it may not write"),
        store.claim("key", "a", LONG).await.expect_err("it may not write"),
        store.delete("key").await.expect_err("it may not write"),
        letters.publish(&letter(1)).await.expect_err("it may not write"),
    ] {
        assert_eq!((error.kind(), class(&error)), (ErrorKind::AccessDenied, Class::Fatal), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_runs_an_endless_script_is_waited_for() {
    let Some(server) = OwnServer::start(&["--busy-reply-threshold", "50"]) else { return };
    let place = server.place();
    let store = store(place.url(), &impatient(&place)).await;
    let url = place.url().to_owned();
    let endless = std::thread::spawn(move || {
        cmd("EVAL").arg("while true do end").arg(0).query::<()>(&mut crate::kit::raw(&url))
    });
    let busy = async {
        loop {
            match store.set_if_newer("key", at(1)).await {
                Err(error) if error.backend_code() == Some("BUSY") => return error,
                Err(error) => assert_eq!(class(&error), Class::Transient, "{error:?}"),
                Ok(_) => {}
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(10), busy).await.expect("it is busy");
    assert_eq!((error.kind(), class(&error)), (ErrorKind::Unavailable, Class::Transient));
    place.raw::<()>(cmd("SCRIPT").arg("KILL"));
    endless.join().expect("it has not panicked").expect_err("it was killed");
    let healed = async { while store.set_if_newer("key", at(2)).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(10), healed).await.expect("it goes on");
}
