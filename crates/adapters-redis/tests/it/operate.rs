//! What an operator does: looking, clearing, taking over older strings; and the line that each operation logs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use highwater_core::ErrorKind;
use highwater_core::ports::{CheckpointStore, OwnedCheckpoints, OwnedEntry};
use highwater_redis::redis::cmd;
use highwater_redis::{Migrated, RedisCheckpoints, Refused};
use highwater_testkit::fixtures::hostile_names;

use crate::kit::{LONG, Place, at};
use crate::own_server::OwnServer;

async fn fill(store: &RedisCheckpoints, keys: &[&str]) {
    let entries: Vec<_> = keys.iter().map(|key| ((*key).to_owned(), at(1))).collect();
    store.set_many_if_newer(&entries).await.expect("the server answers");
}

async fn keys(store: &RedisCheckpoints, prefix: &str, page: usize) -> Vec<String> {
    let found = store.get_all(prefix, page).await.expect("the server answers");
    found.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn d_8_clear_takes_a_literal_prefix_and_never_too_much() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    let all = ["prod", "prod-eu:a", "prod:", "prod:*", "prod:a", "prod:b", "prod?a", "prodXa", "[prod]"];
    fill(&store, &all).await;
    for (prefix, told) in [("", "empty"), ("prod:*", "leave the * out"), ("*", "leave the * out")] {
        for dry_run in [true, false] {
            let error = store.clear(prefix, 500, dry_run).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{prefix:?}");
            assert!(error.chain().contains(told), "{}", error.chain());
        }
    }
    for (prefix, count) in
        [("prod:", 4), ("prod?", 1), ("[prod]", 1), ("prod-eu:", 1), ("p?od", 0), ("none", 0)]
    {
        assert_eq!(store.clear(prefix, 2, true).await.expect("the server answers"), count, "{prefix:?}");
    }
    assert_eq!(keys(&store, "", 3).await.len(), all.len(), "a dry run deletes nothing");
    assert_eq!(store.clear("prod:", 1, false).await.expect("the server answers"), 4);
    assert_eq!(store.clear("prod:", 1, false).await.expect("the server answers"), 0, "real deletions only");
    assert_eq!(keys(&store, "", 500).await, ["[prod]", "prod", "prod-eu:a", "prod?a", "prodXa"]);
    let registered: BTreeSet<String> = place.raw(cmd("SMEMBERS").arg(place.registry()));
    assert_eq!(registered.len(), 5, "a key that is deleted is new when it comes again");
    // Through the port a prefix is literal to its last character.
    fill(&store, &["prod:*", "prod:a"]).await;
    let port: &dyn CheckpointStore = &store;
    assert_eq!(port.clear("prod:*", false).await.expect("the server answers"), 1);
}

#[tokio::test]
async fn d_8_other_environments_and_other_peoples_keys_are_left_alone() {
    let Some(server) = OwnServer::start(&[]) else { return };
    let place = server.place();
    let open = async |prefix: &str| {
        let options = place.options().prefix(prefix);
        let redis = highwater_redis::Redis::open(place.url(), &options).await.expect("the server answers");
        RedisCheckpoints::new(&redis)
    };
    let stores = [open("prod:").await, open("prod-eu:").await, open("").await, open("p*").await];
    for store in &stores {
        fill(store, &["a", "b"]).await;
    }
    for n in 0..2000 {
        place.raw::<()>(cmd("SET").arg(format!("prod:other {n}")).arg(n));
    }
    assert_eq!(stores[0].clear("a", 100, false).await.expect("the server answers"), 1);
    assert_eq!(stores[3].clear("b", 100, false).await.expect("the server answers"), 1);
    let left = [&["b"][..], &["a", "b"], &["a", "b"], &["a"]];
    for (store, left) in stores.iter().zip(left) {
        assert_eq!(keys(store, "", 100).await, left);
    }
    let others: u64 = place.raw(&mut cmd("DBSIZE"));
    assert_eq!(others, 2000 + 6 + 4, "checkpoints and registries");
    for forbidden in ["keys", "del"] {
        assert_eq!(place.calls(forbidden), 0, "{forbidden} is never used");
    }
    assert!(place.calls("scan") > 20 && place.calls("unlink") > 0);
}

#[tokio::test]
async fn x_10_every_name_is_found_by_every_operation() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    let names = hostile_names();
    for (n, name) in (1..).zip(&names) {
        store.set_with_ttl(name, at(n), Duration::from_secs(900)).await.expect("the server answers");
        assert!(store.exists(name).await.expect("the server answers"), "{name:?}");
    }
    assert_eq!(
        keys(&store, "", 7).await.into_iter().collect::<BTreeSet<_>>(),
        names.iter().cloned().collect()
    );
    for name in &names {
        let found = keys(&store, name, 500).await;
        let expected: BTreeSet<_> = names.iter().filter(|other| other.starts_with(name)).cloned().collect();
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{name:?}");
        if name.ends_with('*') {
            continue;
        }
        let count = store.clear(name, 500, true).await.expect("the server answers");
        assert_eq!(count, u64::try_from(expected.len()).expect("a small number"), "{name:?}");
    }
    for bad in [String::new(), "x".repeat(1025)] {
        assert_eq!(store.exists(&bad).await.expect_err("no key").kind(), ErrorKind::Invalid);
        assert_eq!(store.claim(&bad, "a", LONG).await.expect_err("no key").kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_scan_goes_page_by_page_through_more_than_the_server_shows_at_once() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    let entries: Vec<_> = (0..2500).map(|n| (format!("key {n:04}"), at(n))).collect();
    store.set_many_if_newer(&entries).await.expect("the server answers");
    for n in 0..50 {
        store.claim(&format!("key claimed {n}"), "a", LONG).await.expect("the server answers");
    }
    assert_eq!(store.get_all("key ", 100).await.expect("the server answers").len(), 2500);
    let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = store.scan("key ", after.as_deref(), 700).await.expect("the server answers");
        assert!(page.checkpoints.len() <= 700);
        seen.extend(page.checkpoints.into_iter().map(|(key, found)| (key, found.position)));
        pages += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!((seen, pages), (entries, 4));
}

#[tokio::test]
async fn older_strings_are_taken_over_once_and_only_forward() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    let older = format!("{}older[1]:", place.prefix());
    let strings = [
        ("a", "12@3"),
        ("b:c", "18446744073709551615:7"),
        ("behind", "5@0"),
        ("equal", "5@0"),
        ("ahead", "5@0"),
        ("bad", "null"),
        ("float", "1e3@0"),
        ("", "1@1"),
    ];
    for (name, value) in strings {
        place.raw::<()>(cmd("SET").arg(format!("{older}{name}")).arg(value));
    }
    place.raw::<()>(cmd("HSET").arg(format!("{older}hash")).arg("commit").arg("1"));
    place.raw::<()>(cmd("SET").arg(format!("{}older1:x", place.prefix())).arg("1@1"));
    for (key, commit) in [("behind", 4), ("equal", 5), ("ahead", 6)] {
        store.set_if_newer(key, at(commit)).await.expect("the server answers");
    }

    let sorted = |mut done: Migrated| {
        done.refused.sort_by(|one, other| one.name.cmp(&other.name));
        done
    };
    let refused =
        |name: &str, reason: &str| Refused { name: format!("{older}{name}"), reason: reason.to_owned() };
    let expected = Migrated {
        moved: 3,
        unchanged: 1,
        newer: 1,
        refused: vec![
            refused("", "use a checkpoint (bytes 0): a key has 1 to 1024 bytes of UTF-8"),
            refused("bad", "`null` is neither commit@prepare nor commit:prepare"),
            refused("float", "`1e3@0` is neither commit@prepare nor commit:prepare"),
        ],
    };
    let looked = store.migrate(&older, true).await.expect("the server answers");
    assert_eq!(sorted(looked), expected);
    assert_eq!(store.get("a").await.expect("the server answers"), None, "it only looked");
    let done = store.migrate(&older, false).await.expect("the server answers");
    assert_eq!(sorted(done), expected);
    let found: Vec<_> = store
        .get_all("", 500)
        .await
        .expect("the server answers")
        .into_iter()
        .map(|(key, found)| format!("{key} {}", found.position))
        .collect();
    assert_eq!(found, ["a 12:3", "ahead 6:0", "b:c 18446744073709551615:7", "behind 5:0", "equal 5:0"]);
    let again = store.migrate(&older, false).await.expect("the server answers");
    assert_eq!((again.moved, again.unchanged, again.newer, again.refused.len()), (0, 4, 1, 3));
    assert_eq!(place.raw::<u64>(cmd("EXISTS").arg(format!("{older}a"))), 1, "the strings stay");
    assert_eq!(store.migrate("", true).await.expect_err("all strings").kind(), ErrorKind::Invalid);
}

/// Lines of the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody has panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn each_operation_logs_a_line_with_component_method_key_position_and_ttl() {
    let Some(place) = Place::new() else { return };
    let store = place.checkpoints().await;
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_writer(lines.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let key = "billing";
    store.set_with_ttl(key, at(1), Duration::from_secs(900)).await.expect("the server answers");
    store.set_if_newer(key, at(2)).await.expect("the server answers");
    store.set_many_if_newer(&[(key.to_owned(), at(3))]).await.expect("the server answers");
    store.get(key).await.expect("the server answers");
    store.exists(key).await.expect("the server answers");
    store.claim(key, "a", LONG).await.expect("the server answers");
    let entry = OwnedEntry { key: key.to_owned(), epoch: 1, to: Some(at(4)) };
    store.advance_owned("a", LONG, &[entry]).await.expect("the server answers");
    store.owner(key).await.expect("the server answers");
    store.release(key, "a", 1).await.expect("the server answers");
    store.reset(key, at(0), at(4)).await.expect("the server answers");
    store.scan(key, None, 10).await.expect("the server answers");
    store.get_all(key, 10).await.expect("the server answers");
    store.delete(key).await.expect("the server answers");
    store.clear(key, 10, false).await.expect("the server answers");
    drop(guard);
    let text = String::from_utf8(lines.0.lock().expect("nobody has panicked").clone()).expect("text");
    let of = |method: &str| {
        let named = format!(r#""method":"{method}""#);
        let line =
            text.lines().find(|line| line.contains(&named)).unwrap_or_else(|| panic!("{method}:\n{text}"));
        assert!(line.contains(r#""level":"DEBUG""#) && line.contains(r#""key":"billing""#), "{line}");
        assert!(line.contains(r#""component":"redis_checkpoints""#), "{line}");
        line.to_owned()
    };
    for (method, commit) in [
        ("set_if_newer", 2),
        ("set_many_if_newer", 3),
        ("get", 3),
        ("claim", 3),
        ("advance_owned", 4),
        ("reset", 0),
    ] {
        let line = of(method);
        assert!(line.contains(&format!(r#""commit":{commit},"prepare":0"#)), "{line}");
    }
    assert!(of("set_with_ttl").contains(r#""ttl_ms":900000"#));
    for method in ["exists", "owner", "release", "scan", "get_all", "delete", "clear"] {
        of(method);
    }
}
