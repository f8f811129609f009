//! The laws of `CheckpointStore`.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::poll;

use highwater_core::ErrorKind;
use highwater_core::model::{Advance, Position};
use highwater_core::ports::CheckpointStore;

use super::CheckpointFixture;
use super::suite::suite;
use super::support::without;
use crate::fixtures::{EDGES, hostile_names};

fn at(commit: u64) -> Position {
    Position::new(commit, 0)
}

async fn get(store: &dyn CheckpointStore, key: &str) -> Option<Position> {
    store.get(key).await.expect("the store answers").map(|checkpoint| checkpoint.position)
}

async fn set(store: &dyn CheckpointStore, key: &str, to: Position) -> Advance {
    store.set_if_newer(key, to).await.expect("the store answers")
}

/// All keys that begin with the prefix, page by page.
async fn scan(store: &dyn CheckpointStore, prefix: &str, limit: usize) -> Vec<(String, Position)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan(prefix, after.as_deref(), limit).await.expect("the store answers");
        assert!(page.checkpoints.len() <= limit, "{} keys at a limit of {limit}", page.checkpoints.len());
        assert!(
            page.checkpoints.is_sorted_by_key(|(key, _)| key.clone()),
            "a page is in the order of the keys"
        );
        all.extend(page.checkpoints.into_iter().map(|(key, checkpoint)| (key, checkpoint.position)));
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

fn keys() -> Vec<String> {
    let mut keys = hostile_names();
    keys.extend(["prod:a", "prod:b", "prod-eu:a", "prod", "PROD:a", "prod:a*", "prod:*"].map(str::to_owned));
    keys
}

fn prefixes() -> Vec<String> {
    let plain =
        ["", "prod", "prod:", "prod:*", "p*", "%", "_", "a", "a%", "*", "?", "\0", "\u{e9}", "日", "none"];
    let mut prefixes: Vec<String> = plain.map(str::to_owned).into();
    prefixes.push("é".repeat(500));
    prefixes.push("\u{10ffff}".to_owned());
    prefixes
}

suite! {
    [$] checkpoint_store => checkpoint_store_laws [] (fixture: CheckpointFixture)

    /// `get` is `Some`, `None` or an error; an error never means "not there" (B-4, D-4).
    fn law_1_an_error_never_means_not_there {
        assert_eq!(get(&*fixture.store, "key").await, None);
        set(&*fixture.store, "key", at(3)).await;
        assert_eq!(get(&*fixture.second, "key").await, Some(at(3)), "another process sees it");
        let Some(outage) = fixture.outage.clone() else { return without("law_1", "outage") };
        outage(true).await;
        for key in ["key", "unknown"] {
            fixture.store.get(key).await.expect_err("the store is cut off");
        }
        fixture.store.set_if_newer("key", at(9)).await.expect_err("the store is cut off");
        fixture.store.set_many_if_newer(&[("key".into(), at(9))]).await.expect_err("the store is cut off");
        fixture.store.reset("key", at(1), at(3)).await.expect_err("the store is cut off");
        fixture.store.delete("key").await.expect_err("the store is cut off");
        fixture.store.scan("", None, 10).await.expect_err("the store is cut off");
        fixture.store.clear("key", false).await.expect_err("the store is cut off");
        outage(false).await;
        assert_eq!(get(&*fixture.store, "key").await, Some(at(3)));
    }

    /// `set_if_newer` never goes back (D-2).
    fn law_2_never_goes_back {
        let store = &*fixture.store;
        assert_eq!(set(store, "key", Position::new(5, 5)).await, Advance::Applied);
        assert_eq!(set(store, "key", Position::new(5, 5)).await, Advance::Unchanged);
        assert_eq!(set(store, "key", Position::new(5, 6)).await, Advance::Applied);
        let before = store.get("key").await.expect("the store answers");
        let current = Position::new(5, 6);
        for older in [Position::MIN, Position::new(5, 5), Position::new(4, u64::MAX)] {
            assert_eq!(set(store, "key", older).await, Advance::Stale { current });
            assert_eq!(store.get("key").await.expect("the store answers"), before, "nothing is touched");
        }
        assert_eq!(set(store, "key", Position::new(6, 0)).await, Advance::Applied);
        assert_eq!(get(&*fixture.second, "key").await, Some(Position::new(6, 0)));
    }

    /// Any pair of `u64` is a position, to the last bit (D-1, X-5).
    fn law_3_every_bit_of_a_position_counts {
        let all: Vec<Position> =
            EDGES.iter().flat_map(|commit| EDGES.map(|prepare| Position::new(*commit, prepare))).collect();
        assert!(all.is_sorted());
        for (n, position) in all.iter().enumerate() {
            assert_eq!(set(&*fixture.store, "rising", *position).await, Advance::Applied, "{position}");
            assert_eq!(get(&*fixture.second, "rising").await, Some(*position));
            if let Some(before) = n.checked_sub(1).map(|n| all[n]) {
                let stale = set(&*fixture.store, "rising", before).await;
                assert_eq!(stale, Advance::Stale { current: *position }, "{before} is before {position}");
            }
        }
        for position in &all {
            let key = format!("own {position}");
            assert_eq!(set(&*fixture.store, &key, *position).await, Advance::Applied);
            assert_eq!(set(&*fixture.store, &key, *position).await, Advance::Unchanged);
        }
        let many: Vec<_> = all.iter().map(|position| (format!("own {position}"), *position)).collect();
        let answers = fixture.store.set_many_if_newer(&many).await.expect("the store answers");
        assert!(answers.iter().all(|answer| *answer == Advance::Unchanged));
        for (key, position) in scan(&*fixture.store, "own ", 50).await {
            assert_eq!(key, format!("own {position}"));
        }
    }

    /// Writers that race end at the greatest position, and no reader sees it go back (D-12).
    fn law_4_racing_writers_end_at_the_greatest {
        const ADVANCES: u64 = 100;
        let writers: Vec<_> = (0..4_u64)
            .map(|writer| {
                let store = if writer % 2 == 0 { fixture.store.clone() } else { fixture.second.clone() };
                tokio::spawn(async move {
                    for n in 0..ADVANCES {
                        // Each writer has an order of its own, and each position is written by one of them.
                        let step = (n * 37 + writer * 11) % ADVANCES;
                        set(&*store, "raced", Position::new(step, writer)).await;
                    }
                })
            })
            .collect();
        let mut before = None;
        while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
            let now = get(&*fixture.second, "raced").await;
            assert!(now >= before, "from {before:?} back to {now:?}");
            before = now;
            tokio::task::yield_now().await;
        }
        for writer in writers {
            writer.await.expect("the writer has not panicked");
        }
        assert_eq!(get(&*fixture.store, "raced").await, Some(Position::new(ADVANCES - 1, 3)));
    }

    /// `set_many_if_newer` answers for each entry, in order, as if each had been set alone.
    fn law_5_many_are_as_each_alone {
        let store = &*fixture.store;
        set(store, "behind", at(1)).await;
        set(store, "equal", at(2)).await;
        set(store, "ahead", at(3)).await;
        let entries = [("ahead", 2), ("new", 2), ("behind", 2), ("equal", 2), ("new", 1), ("new", 4)]
            .map(|(key, to)| (key.to_owned(), at(to)));
        let answers = store.set_many_if_newer(&entries).await.expect("the store answers");
        let expected = [
            Advance::Stale { current: at(3) },
            Advance::Applied,
            Advance::Applied,
            Advance::Unchanged,
            Advance::Stale { current: at(2) },
            Advance::Applied,
        ];
        assert_eq!(answers, expected);
        for (key, position) in [("ahead", 3), ("new", 4), ("behind", 2), ("equal", 2)] {
            assert_eq!(get(&*fixture.second, key).await, Some(at(position)), "{key}");
        }
        assert_eq!(store.set_many_if_newer(&[]).await.expect("nothing to do"), []);
        let many: Vec<_> = (0..1500).map(|n| (format!("many {n}"), at(n))).collect();
        let answers = store.set_many_if_newer(&many).await.expect("the store answers");
        assert_eq!(answers, vec![Advance::Applied; many.len()]);
        assert_eq!(get(store, "many 1499").await, Some(at(1499)));
    }

    /// Only `reset` goes back, and only from the expected position (D-3).
    fn law_6_only_reset_goes_back {
        let store = &*fixture.store;
        let nothing = store.reset("key", at(1), at(2)).await.expect_err("there is nothing to reset");
        assert_eq!(nothing.kind(), ErrorKind::NotFound, "{nothing:?}");
        set(store, "key", at(10)).await;
        let refused = store.reset("key", at(1), at(9)).await.expect("the store answers");
        assert_eq!(refused, Advance::Stale { current: at(10) });
        assert_eq!(get(store, "key").await, Some(at(10)));
        assert_eq!(store.reset("key", at(1), at(10)).await.expect("the store answers"), Advance::Applied);
        assert_eq!(get(&*fixture.second, "key").await, Some(at(1)));
        assert_eq!(set(store, "key", at(2)).await, Advance::Applied, "forward again from there");
        let forward = store.reset("key", Position::MAX, at(2)).await.expect("the store answers");
        assert_eq!(forward, Advance::Applied);
        assert_eq!(get(store, "key").await, Some(Position::MAX));
    }

    /// `delete` says whether there was something to delete.
    fn law_7_delete_says_what_it_found {
        let store = &*fixture.store;
        assert!(!store.delete("key").await.expect("the store answers"));
        set(store, "key", at(9)).await;
        set(store, "Key", at(9)).await;
        assert!(store.delete("key").await.expect("the store answers"));
        assert!(!store.delete("key").await.expect("the store answers"));
        assert_eq!(get(&*fixture.second, "key").await, None);
        assert_eq!(get(store, "Key").await, Some(at(9)), "case matters");
        assert_eq!(set(store, "key", at(1)).await, Advance::Applied, "a deleted key begins anew");
    }

    /// `scan` returns each key that begins with the prefix once, byte for byte.
    fn law_8_scan_finds_each_key_with_the_prefix_once {
        let expected: BTreeMap<String, Position> = keys().into_iter().zip((1..).map(at)).collect();
        for (key, position) in &expected {
            assert_eq!(set(&*fixture.store, key, *position).await, Advance::Applied, "{key:?}");
        }
        for (key, position) in &expected {
            assert_eq!(get(&*fixture.second, key).await, Some(*position), "{key:?}");
        }
        for prefix in prefixes() {
            for limit in [1, 3, 1000] {
                let found = scan(&*fixture.second, &prefix, limit).await;
                let unique: BTreeMap<_, _> = found.iter().cloned().collect();
                assert_eq!(unique.len(), found.len(), "a key came twice under {prefix:?}");
                let mut expected = expected.clone();
                expected.retain(|key, _| key.starts_with(&prefix));
                assert_eq!(unique, expected, "under {prefix:?} in pages of {limit}");
            }
        }
    }

    /// `clear` deletes the keys that begin with a non-empty, literal prefix and counts them (D-8).
    fn law_9_clear_takes_a_literal_prefix {
        let mut left: BTreeSet<String> = keys().into_iter().collect();
        for key in &left {
            set(&*fixture.store, key, at(1)).await;
        }
        for dry_run in [true, false] {
            let error = fixture.store.clear("", dry_run).await.expect_err("an empty prefix is all");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        }
        for prefix in prefixes().into_iter().filter(|prefix| !prefix.is_empty()) {
            let count = left.iter().filter(|key| key.starts_with(&prefix)).count();
            let count = u64::try_from(count).expect("a small number");
            assert_eq!(
                fixture.store.clear(&prefix, true).await.expect("the store answers"),
                count,
                "{prefix:?}"
            );
            assert_eq!(
                fixture.store.clear(&prefix, true).await.expect("the store answers"),
                count,
                "only counted"
            );
            assert_eq!(
                fixture.store.clear(&prefix, false).await.expect("the store answers"),
                count,
                "{prefix:?}"
            );
            left.retain(|key| !key.starts_with(&prefix));
            let found = scan(&*fixture.second, "", 100).await.into_iter().map(|(key, _)| key);
            assert_eq!(found.collect::<BTreeSet<_>>(), left, "after clearing {prefix:?}");
        }
        assert!(!left.is_empty());
    }

    /// Dropping a future leaves an operation done or not done, never half.
    fn law_10_a_dropped_call_is_done_or_not_done {
        for n in 1..40_u64 {
            let entries = [("left".to_owned(), at(n)), ("right".to_owned(), Position::new(n, u64::MAX))];
            {
                let mut dropped = fixture.store.set_many_if_newer(&entries);
                for _ in 0..n % 4 {
                    if poll!(&mut dropped).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            for (key, to) in &entries {
                let found = get(&*fixture.second, key).await;
                let before = (n > 1).then(|| Position::new(n - 1, to.prepare()));
                assert!([before, Some(*to)].contains(&found), "{key} is half written: {found:?}");
                set(&*fixture.store, key, *to).await;
                assert_eq!(get(&*fixture.second, key).await, Some(*to), "the store goes on");
            }
        }
    }
}
