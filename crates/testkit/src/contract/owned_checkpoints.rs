//! The laws of `OwnedCheckpoints`.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;

use highwater_core::ErrorKind;
use highwater_core::model::{Advance, Position};
use highwater_core::ports::{GroupClaim, GroupOwner, OwnedAdvance, OwnedCheckpoints, OwnedEntry};

use super::OwnedCheckpointsFixture;
use super::suite::suite;
use super::support::{SOON, without};
use crate::fixtures::{EDGES, hostile_names};
use crate::time::{instant_now, pause};

/// A lease that does not run out within a law, unless it is let.
const LONG: Duration = Duration::from_secs(3600);
/// A lease that runs out while a law waits for it.
const SHORT: Duration = Duration::from_millis(30);

const APPLIED: OwnedAdvance = OwnedAdvance::Owned(Some(Advance::Applied));
const UNCHANGED: OwnedAdvance = OwnedAdvance::Owned(Some(Advance::Unchanged));

fn at(commit: u64) -> Position {
    Position::new(commit, 0)
}

fn stale(current: Position) -> OwnedAdvance {
    OwnedAdvance::Owned(Some(Advance::Stale { current }))
}

fn entry(key: &str, epoch: u64, to: Position) -> OwnedEntry {
    OwnedEntry { key: key.to_owned(), epoch, to: Some(to) }
}

/// Epoch, generation and place of a claim that has won.
async fn won(store: &dyn OwnedCheckpoints, key: &str, owner: &str) -> (u64, u64, Option<Position>) {
    match store.claim(key, owner, LONG).await.expect("the store answers") {
        GroupClaim::Won { epoch, generation, checkpoint } => {
            (epoch, generation, checkpoint.map(|checkpoint| checkpoint.position))
        }
        GroupClaim::Held { owner, remaining } => panic!("{owner} has {key:?} for {remaining:?}"),
    }
}

/// The owner of a key that a claim has not won.
async fn held(store: &dyn OwnedCheckpoints, key: &str, owner: &str) -> String {
    match store.claim(key, owner, LONG).await.expect("the store answers") {
        GroupClaim::Held { owner, remaining } => {
            assert!(remaining > Duration::ZERO && remaining <= LONG, "{remaining:?}");
            owner
        }
        won @ GroupClaim::Won { .. } => panic!("{key:?} was {won:?}"),
    }
}

/// Moves one key.
async fn advance(
    store: &dyn OwnedCheckpoints,
    owner: &str,
    key: &str,
    epoch: u64,
    to: Position,
) -> OwnedAdvance {
    let answers = store.advance_owned(owner, LONG, &[entry(key, epoch, to)]).await;
    let answers = answers.expect("the store answers");
    assert_eq!(answers.len(), 1);
    answers[0]
}

async fn place(store: &dyn OwnedCheckpoints, key: &str) -> Option<Position> {
    store.get(key).await.expect("the store answers").map(|checkpoint| checkpoint.position)
}

async fn owner(store: &dyn OwnedCheckpoints, key: &str) -> Option<GroupOwner> {
    store.owner(key).await.expect("the store answers")
}

/// The kind of error of a claim.
async fn refused(store: &dyn OwnedCheckpoints, key: &str) -> ErrorKind {
    store.claim(key, "claims a lost one", LONG).await.expect_err("it is lost").kind()
}

/// Returns when the lease of `key`, which is `lease` long, has run out.
async fn run_out(fixture: &OwnedCheckpointsFixture, key: &str, lease: Duration) {
    if let Some(pass) = &fixture.pass {
        pass(lease);
    }
    let began = instant_now();
    while owner(&*fixture.store, key).await.is_some_and(|owner| !owner.remaining.is_zero()) {
        assert!(began.elapsed() < SOON, "the lease of {key:?} does not run out");
        pause(Duration::from_millis(2)).await;
    }
}

suite! {
    [$] owned_checkpoints => owned_checkpoints_laws [] (fixture: OwnedCheckpointsFixture)

    /// `claim` wins a key that nobody owns or that is the caller's already; else it answers `Held`.
    fn law_1_a_claim_wins_what_is_free_or_its_own {
        let (store, second) = (&*fixture.store, &*fixture.second);
        assert_eq!(owner(store, "key").await, None);
        assert_eq!(won(store, "key", "a").await, (1, 0, None));
        assert_eq!(held(second, "key", "b").await, "a");
        assert_eq!(held(second, "key", "A").await, "a", "case matters");
        assert_eq!(won(store, "Key", "b").await, (1, 0, None), "another key");
        assert_eq!(advance(store, "a", "key", 1, at(5)).await, APPLIED);
        assert_eq!(won(second, "key", "a").await, (2, 0, Some(at(5))), "its own");
        let GroupOwner { owner, epoch, generation, remaining } =
            owner(second, "key").await.expect("it was claimed");
        assert_eq!((owner.as_str(), epoch, generation), ("a", 2, 0));
        assert!(remaining > LONG / 2 && remaining <= LONG, "{remaining:?}");
        assert_eq!(place(second, "key").await, Some(at(5)));
        assert!(store.remembers().await.expect("the store answers"), "it knows of a key");
    }

    /// A claim sees where the key stands, to the last bit; names and keys are any text.
    fn law_1_every_key_owner_and_bit_counts {
        let names = hostile_names();
        for (n, key) in names.iter().enumerate() {
            let owner = &names[(n + 7) % names.len()];
            assert_eq!(won(&*fixture.store, key, owner).await, (1, 0, None), "{key:?}");
            let other = &names[(n + 8) % names.len()];
            assert_eq!(&held(&*fixture.second, key, other).await, owner, "{key:?} for {other:?}");
        }
        for (commit, prepare) in EDGES.iter().flat_map(|commit| EDGES.map(|prepare| (*commit, prepare))) {
            let (key, to) = (format!("{commit} {prepare}"), Position::new(commit, prepare));
            won(&*fixture.store, &key, "a").await;
            assert_eq!(advance(&*fixture.store, "a", &key, 1, to).await, APPLIED, "{to}");
            assert_eq!(won(&*fixture.second, &key, "a").await, (2, 0, Some(to)));
        }
    }

    /// Of several that claim at once one wins.
    fn law_1_of_several_that_claim_at_once_one_wins {
        for round in 0..10 {
            let key = format!("raced {round}");
            let claims = (0..8).map(|n| {
                let store = if n % 2 == 0 { fixture.store.clone() } else { fixture.second.clone() };
                let (key, owner) = (key.clone(), format!("owner {n}"));
                tokio::spawn(async move { (store.claim(&key, &owner, LONG).await, owner) })
            });
            let (mut winners, mut others) = (Vec::new(), Vec::new());
            for claim in join_all(claims).await {
                match claim.expect("it has not panicked") {
                    (Ok(GroupClaim::Won { epoch, .. }), owner) => winners.push((epoch, owner)),
                    (Ok(GroupClaim::Held { owner, .. }), _) => others.push(owner),
                    (Err(error), _) => panic!("{}", error.chain()),
                }
            }
            assert_eq!(winners.len(), 1, "{winners:?}");
            assert_eq!(winners[0].0, 1);
            assert!(others.iter().all(|owner| *owner == winners[0].1), "{others:?}");
        }
    }

    /// A lease that has run out is still its owner's until somebody claims it.
    fn law_2_a_lease_that_has_run_out_is_its_owners_until_it_is_claimed {
        let (store, second) = (&*fixture.store, &*fixture.second);
        let claim = store.claim("key", "a", SHORT).await.expect("the store answers");
        assert!(matches!(claim, GroupClaim::Won { epoch: 1, .. }), "{claim:?}");
        run_out(&fixture, "key", SHORT).await;
        let late = owner(second, "key").await.expect("it was claimed");
        assert_eq!((late.owner.as_str(), late.epoch, late.remaining), ("a", 1, Duration::ZERO));
        assert_eq!(advance(store, "a", "key", 1, at(1)).await, APPLIED, "late, and still its own");
        assert_eq!(held(second, "key", "b").await, "a", "the lease is renewed");

        let renewed = store.advance_owned("a", SHORT, &[entry("key", 1, at(2))]).await;
        assert_eq!(renewed.expect("the store answers"), [APPLIED], "a shorter lease counts, too");
        run_out(&fixture, "key", SHORT).await;
        assert_eq!(won(second, "key", "b").await, (2, 0, Some(at(2))), "taken over");
        assert_eq!(advance(store, "a", "key", 1, at(9)).await, OwnedAdvance::Lost);
        assert_eq!(place(store, "key").await, Some(at(2)), "nothing is touched");
        assert_eq!(held(store, "key", "a").await, "b");
    }

    /// A lease is renewed by every `advance_owned`, also by one that moves nothing.
    fn law_3_an_advance_renews_the_lease {
        let store = &*fixture.store;
        for to in [None, Some(at(3)), Some(at(3)), Some(at(2))] {
            let claim = store.claim("key", "a", SHORT).await.expect("the store answers");
            let GroupClaim::Won { epoch, .. } = claim else { panic!("it is its own: {claim:?}") };
            run_out(&fixture, "key", SHORT).await;
            let entry = OwnedEntry { key: "key".to_owned(), epoch, to };
            let answers = store.advance_owned("a", LONG, &[entry]).await.expect("the store answers");
            assert!(matches!(answers[0], OwnedAdvance::Owned(moved) if moved.is_some() == to.is_some()));
            let GroupOwner { remaining, .. } = owner(store, "key").await.expect("it was claimed");
            assert!(remaining > LONG / 2, "{to:?} has left {remaining:?}");
        }
        let nothing = store.advance_owned("a", LONG, &[]).await.expect("nothing to do");
        assert_eq!(nothing, []);
    }

    /// `advance_owned` answers for each entry, in order, as if each had come alone.
    fn law_3_many_are_as_each_alone {
        let store = &*fixture.store;
        for key in ["ahead", "behind", "equal", "new", "own", "renewed"] {
            won(store, key, "a").await;
        }
        won(store, "others", "b").await;
        for (key, to) in [("ahead", 3), ("behind", 1), ("equal", 2), ("renewed", 7)] {
            assert_eq!(advance(store, "a", key, 1, at(to)).await, APPLIED);
        }
        let entries = [
            entry("renewed", 1, at(7)),
            entry("ahead", 1, at(2)),
            entry("unknown", 1, at(2)),
            entry("behind", 1, at(2)),
            entry("new", 1, at(2)),
            entry("others", 1, at(2)),
            entry("equal", 1, at(2)),
            entry("own", 2, at(2)),
            entry("new", 1, at(1)),
            OwnedEntry { key: "renewed".to_owned(), epoch: 1, to: None },
            OwnedEntry { key: "others".to_owned(), epoch: 1, to: None },
            entry("new", u64::MAX, at(9)),
            entry("new", 1, at(4)),
        ];
        let answers = store.advance_owned("a", LONG, &entries).await.expect("the store answers");
        let expected = [
            UNCHANGED,
            stale(at(3)),
            OwnedAdvance::Lost,
            APPLIED,
            APPLIED,
            OwnedAdvance::Lost,
            UNCHANGED,
            OwnedAdvance::Lost,
            stale(at(2)),
            OwnedAdvance::Owned(None),
            OwnedAdvance::Lost,
            OwnedAdvance::Lost,
            APPLIED,
        ];
        assert_eq!(answers, expected);
        let places = [
            ("ahead", Some(at(3))),
            ("behind", Some(at(2))),
            ("new", Some(at(4))),
            ("others", None),
            ("own", None),
            ("unknown", None),
        ];
        for (key, expected) in places {
            assert_eq!(place(&*fixture.second, key).await, expected, "{key}");
        }
        assert_eq!(owner(store, "unknown").await, None);

        let keys: Vec<_> = (0..700).map(|n| format!("many {n}")).collect();
        for key in &keys {
            won(store, key, "a").await;
        }
        let many: Vec<_> = keys.iter().map(|key| entry(key, 1, at(1))).collect();
        let answers = store.advance_owned("a", LONG, &many).await.expect("the store answers");
        assert_eq!(answers, vec![APPLIED; many.len()]);
        assert_eq!(place(&*fixture.second, "many 699").await, Some(at(1)));
    }

    /// `release` by the present owner lets the next claim win at once, and keeps epoch and checkpoint.
    fn law_4_a_release_keeps_epoch_and_checkpoint {
        let (store, second) = (&*fixture.store, &*fixture.second);
        assert!(!store.release("key", "a", 1).await.expect("the store answers"), "nobody owns it");
        won(store, "key", "a").await;
        advance(store, "a", "key", 1, at(5)).await;
        for (owner, epoch) in [("b", 1), ("a", 2), ("a", 0), ("a", u64::MAX), ("", 1)] {
            assert!(!second.release("key", owner, epoch).await.expect("the store answers"), "{owner} {epoch}");
        }
        assert_eq!(held(second, "key", "b").await, "a", "nothing is changed");
        assert!(store.release("key", "a", 1).await.expect("the store answers"));
        assert!(!store.release("key", "a", 1).await.expect("the store answers"), "it is released");
        let free = owner(second, "key").await.expect("it was claimed");
        assert_eq!((free.owner.as_str(), free.epoch, free.remaining), ("", 1, Duration::ZERO));
        assert_eq!(advance(store, "a", "key", 1, at(6)).await, OwnedAdvance::Lost);
        assert_eq!(won(second, "key", "b").await, (2, 0, Some(at(5))));
    }

    /// An applied `reset` raises generation and epoch by one and ends the ownership.
    fn law_5_a_reset_ends_the_ownership {
        let (store, second) = (&*fixture.store, &*fixture.second);
        won(store, "key", "a").await;
        advance(store, "a", "key", 1, at(5)).await;
        assert_eq!(
            second.reset("key", at(1), at(4)).await.expect("the store answers"),
            Advance::Stale { current: at(5) }
        );
        assert_eq!(advance(store, "a", "key", 1, at(6)).await, APPLIED, "refused, so nothing has changed");
        assert_eq!(second.reset("key", at(1), at(6)).await.expect("the store answers"), Advance::Applied);
        let free = owner(store, "key").await.expect("it was claimed");
        assert_eq!((free.owner.as_str(), free.epoch, free.generation), ("", 2, 1));
        assert_eq!(advance(store, "a", "key", 1, at(9)).await, OwnedAdvance::Lost);
        assert_eq!(won(store, "key", "a").await, (3, 1, Some(at(1))), "where the operator said");

        assert_eq!(store.set_if_newer("plain", at(3)).await.expect("the store answers"), Advance::Applied);
        assert_eq!(owner(store, "plain").await, None, "never claimed");
        assert_eq!(store.reset("plain", at(2), at(3)).await.expect("the store answers"), Advance::Applied);
        assert_eq!(won(store, "plain", "a").await, (2, 1, Some(at(2))));
    }

    /// So does `delete` or `clear`, after which the key is unknown.
    fn law_5_a_deleted_key_is_unknown {
        let (store, second) = (&*fixture.store, &*fixture.second);
        for key in ["deleted", "cleared"] {
            won(store, key, "a").await;
            assert_eq!(advance(store, "a", key, 1, at(5)).await, APPLIED);
        }
        assert!(second.delete("deleted").await.expect("the store answers"));
        assert_eq!(second.clear("clear", true).await.expect("the store answers"), 1);
        assert_eq!(advance(store, "a", "cleared", 1, at(6)).await, APPLIED, "only counted");
        assert_eq!(second.clear("clear", false).await.expect("the store answers"), 1);
        for key in ["deleted", "cleared"] {
            assert_eq!(owner(store, key).await, None, "{key}");
            assert_eq!(advance(store, "a", key, 1, at(9)).await, OwnedAdvance::Lost, "{key}");
            assert_eq!(place(store, key).await, None, "{key}");
            assert_eq!(won(second, key, "b").await, (1, 0, None), "{key}");
        }
        // One that was only claimed was there, too.
        assert_eq!(second.clear("clear", true).await.expect("the store answers"), 1);
        assert!(store.delete("deleted").await.expect("the store answers"));
        assert!(!store.delete("deleted").await.expect("the store answers"));
    }

    /// A key whose checkpoint was stored once and is gone answers a claim with `CheckpointLost` (B-4, D-9).
    fn law_6_a_lost_checkpoint_is_not_an_unknown_one {
        let (store, second) = (&*fixture.store, &*fixture.second);
        let keys = ["advanced", "released", "set", "many", "reset", "cleared", "deleted"];
        for key in keys {
            let claimed = !["set", "many"].contains(&key);
            if claimed {
                won(store, key, "a").await;
                assert_eq!(advance(store, "a", key, 1, at(5)).await, APPLIED);
                assert!(store.release(key, "a", 1).await.expect("the store answers"));
            }
            let moved = match key {
                "set" => store.set_if_newer(key, at(5)).await,
                "many" => {
                    let answers = store.set_many_if_newer(&[(key.to_owned(), at(5))]).await;
                    answers.map(|answers| answers[0])
                }
                "reset" => store.reset(key, at(4), at(5)).await,
                _ => Ok(Advance::Applied),
            };
            assert_eq!(moved.expect("the store answers"), Advance::Applied, "{key}");
        }
        for key in keys {
            (fixture.lose)(key.to_owned()).await;
            assert_eq!(place(second, key).await, None, "{key}");
            for store in [store, second] {
                assert_eq!(refused(store, key).await, ErrorKind::CheckpointLost, "{key}");
                assert_eq!(refused(store, key).await, ErrorKind::CheckpointLost, "{key}: asking mends nothing");
            }
        }
        let nothing = store.reset("set", at(1), at(5)).await.expect_err("there is nothing to reset");
        assert_eq!(nothing.kind(), ErrorKind::NotFound, "{nothing:?}");
        assert_eq!(refused(store, "set").await, ErrorKind::CheckpointLost);
        // An operator says where to go on, or that it is to begin anew.
        assert_eq!(store.set_if_newer("set", at(3)).await.expect("the store answers"), Advance::Applied);
        let (_, _, resumed) = won(second, "set", "b").await;
        assert_eq!(resumed, Some(at(3)));
        assert!(store.delete("deleted").await.expect("the store answers"), "it was known");
        assert_eq!(won(second, "deleted", "b").await, (1, 0, None));
        assert_eq!(second.clear("clear", true).await.expect("the store answers"), 1);
        assert_eq!(second.clear("clear", false).await.expect("the store answers"), 1);
        assert_eq!(won(store, "cleared", "b").await, (1, 0, None));
    }

    /// One that was claimed but never advanced is not lost.
    fn law_6_what_was_never_advanced_is_not_lost {
        let (store, second) = (&*fixture.store, &*fixture.second);
        won(store, "claimed", "a").await;
        let renewed = OwnedEntry { key: "claimed".to_owned(), epoch: 1, to: None };
        let answers = store.advance_owned("a", LONG, &[renewed]).await.expect("the store answers");
        assert_eq!(answers, [OwnedAdvance::Owned(None)]);
        assert!(store.release("claimed", "a", 1).await.expect("the store answers"));
        assert_eq!(won(second, "claimed", "b").await, (2, 0, None));
        assert_eq!(place(second, "claimed").await, None);
        let page = store.scan("", None, 10).await.expect("the store answers");
        assert_eq!(page.checkpoints, [], "it has no checkpoint");
    }

    /// `set_if_newer` by anybody moves forward whoever owns it; the owner sees it as `Stale`.
    fn law_7_an_operator_moves_forward_whoever_owns_it {
        let (store, second) = (&*fixture.store, &*fixture.second);
        won(store, "key", "a").await;
        assert_eq!(second.set_if_newer("key", at(5)).await.expect("the store answers"), Advance::Applied);
        assert_eq!(advance(store, "a", "key", 1, at(4)).await, stale(at(5)));
        assert_eq!(advance(store, "a", "key", 1, at(5)).await, UNCHANGED);
        assert_eq!(advance(store, "a", "key", 1, at(6)).await, APPLIED);
        let answers = second.set_many_if_newer(&[("key".to_owned(), at(9))]).await;
        assert_eq!(answers.expect("the store answers"), [Advance::Applied]);
        assert_eq!(advance(store, "a", "key", 1, at(7)).await, stale(at(9)));
        assert_eq!(held(second, "key", "b").await, "a", "it owns the key all the same");
    }

    /// Dropping a future leaves an operation done or not done.
    fn law_8_a_dropped_call_is_done_or_not_done {
        won(&*fixture.store, "key", "a").await;
        for n in 1..40_u64 {
            let entries = [entry("key", n, at(n))];
            {
                let mut dropped = fixture.store.advance_owned("a", LONG, &entries);
                for _ in 0..n % 4 {
                    if poll!(&mut dropped).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let found = place(&*fixture.second, "key").await;
            assert!([(n > 1).then(|| at(n - 1)), Some(at(n))].contains(&found), "{found:?} at {n}");
            let again = advance(&*fixture.store, "a", "key", n, at(n)).await;
            assert!([APPLIED, UNCHANGED].contains(&again), "{again:?} at {n}");
            assert_eq!(won(&*fixture.second, "key", "a").await, (n + 1, 0, Some(at(n))), "the store goes on");
        }
        for n in 0..20_u64 {
            let key = format!("claimed {n}");
            {
                let mut dropped = fixture.store.claim(&key, "a", LONG);
                for _ in 0..n % 5 {
                    if poll!(&mut dropped).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let (epoch, _, _) = won(&*fixture.second, &key, "a").await;
            assert!([1, 2].contains(&epoch), "{epoch}");
        }
    }

    /// An error is never an answer.
    fn an_error_is_never_an_answer {
        let store = &*fixture.store;
        won(store, "key", "a").await;
        assert_eq!(advance(store, "a", "key", 1, at(5)).await, APPLIED);
        let Some(outage) = fixture.outage.clone() else { return without("an_error", "outage") };
        outage(true).await;
        for key in ["key", "unknown"] {
            let error = store.claim(key, "a", LONG).await.expect_err("the store is cut off");
            assert_ne!(error.kind(), ErrorKind::CheckpointLost, "{error:?}");
            store.owner(key).await.expect_err("the store is cut off");
            store.release(key, "a", 1).await.expect_err("the store is cut off");
            let entries = [entry(key, 1, at(6))];
            store.advance_owned("a", LONG, &entries).await.expect_err("the store is cut off");
        }
        outage(false).await;
        assert_eq!(held(&*fixture.second, "key", "b").await, "a");
        assert_eq!(place(&*fixture.second, "key").await, Some(at(5)));
    }
}
