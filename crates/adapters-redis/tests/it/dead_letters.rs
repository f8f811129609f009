//! What is particular to dead letters in Redis; the port's laws are in `contracts`.

use highwater_core::ErrorKind;
use highwater_core::model::Position;
use highwater_core::ports::{DeadLetters, HandlerLetter};
use highwater_redis::redis::cmd;
use highwater_redis::{Redis, RedisDeadLetters, Repaired};

use crate::kit::{self, Place, at};
use crate::own_server::{OwnServer, wait_for};

fn letter(generation: u64, n: u64) -> HandlerLetter {
    HandlerLetter { generation, ..kit::letter(n) }
}

async fn positions(letters: &RedisDeadLetters) -> Vec<u64> {
    let found = letters.list("billing", None, 1000).await.expect("the server answers");
    found.iter().map(|letter| letter.event.position().commit()).collect()
}

fn name(place: &Place, kind: &str) -> String {
    format!("{}{{highwater}}:{kind}:billing", place.prefix())
}

#[tokio::test]
async fn a_full_group_refuses_new_letters_and_takes_old_ones_again() {
    let Some(place) = Place::new() else { return };
    let options = place.options().max_letters(3);
    let redis = Redis::open(place.url(), &options).await.expect("the server answers");
    let letters = RedisDeadLetters::new(&redis);
    for n in [3, 1, 2] {
        letters.publish(&letter(0, n)).await.expect("there is room");
    }
    let error = letters.publish(&letter(0, 4)).await.expect_err("it is full");
    assert_eq!(error.kind(), ErrorKind::Backpressure, "{error:?}");
    assert!(error.chain().contains("3 dead letters"), "{}", error.chain());
    letters.publish(&HandlerLetter { attempts: 9, ..letter(0, 1) }).await.expect("it is there already");
    letters
        .publish(&HandlerLetter { group: "other".to_owned(), ..letter(0, 4) })
        .await
        .expect("another group");
    assert_eq!(positions(&letters).await, [1, 2, 3]);
    assert!(letters.remove("billing", 0, at(2)).await.expect("the server answers"));
    letters.publish(&letter(0, 4)).await.expect("there is room again");
    assert_eq!(positions(&letters).await, [1, 3, 4]);
    for n in [1, 3, 4] {
        assert!(letters.remove("billing", 0, at(n)).await.expect("the server answers"));
    }
    let left: u64 = place.raw(cmd("EXISTS").arg(name(&place, "letters")).arg(name(&place, "letter-index")));
    assert_eq!(left, 0, "an empty group leaves nothing");
}

#[tokio::test]
async fn b_3_a_letter_is_kept_once_for_each_group_generation_and_position() {
    let Some(place) = Place::new() else { return };
    let letters = RedisDeadLetters::new(&place.redis().await);
    for attempts in 1..=20 {
        letters.publish(&HandlerLetter { attempts, ..letter(0, 7) }).await.expect("the server answers");
        letters.publish(&letter(1, 7)).await.expect("the server answers");
    }
    assert_eq!(place.raw::<u64>(cmd("XLEN").arg(name(&place, "letters"))), 2);
    let found = letters.list("billing", None, 1).await.expect("the server answers");
    assert_eq!(found.len(), 1, "a page is a page");
    let found = letters.list("billing", None, 10).await.expect("the server answers");
    let told: Vec<_> = found.iter().map(|letter| (letter.generation, letter.attempts)).collect();
    assert_eq!(told, [(0, 20), (1, 1)]);
}

#[tokio::test]
async fn what_somebody_else_has_trimmed_is_told_and_can_be_repaired() {
    let Some(place) = Place::new() else { return };
    let letters = RedisDeadLetters::new(&place.redis().await);
    for n in 1..=250 {
        letters.publish(&letter(0, n)).await.expect("the server answers");
    }
    let trim = |to: u64| place.raw::<u64>(cmd("XTRIM").arg(name(&place, "letters")).arg("MAXLEN").arg(to));
    assert_eq!(trim(240), 10);
    let error = letters.list("billing", None, 10).await.expect_err("ten are gone");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.chain().contains("240 letters and 250"), "{}", error.chain());
    let repaired = letters.repair("billing").await.expect("the server answers");
    assert_eq!(repaired, Repaired { indexed: 0, dropped: 10 });
    assert_eq!(positions(&letters).await, (11..=250).collect::<Vec<_>>());

    place.raw::<()>(cmd("UNLINK").arg(name(&place, "letter-index")));
    letters.list("billing", None, 10).await.expect_err("its order is gone");
    let repaired = letters.repair("billing").await.expect("the server answers");
    assert_eq!(repaired, Repaired { indexed: 240, dropped: 0 });
    assert_eq!(letters.repair("billing").await.expect("the server answers"), Repaired::default());
    assert_eq!(positions(&letters).await, (11..=250).collect::<Vec<_>>());
    // One whose entry alone is gone is published anew, event and all.
    assert_eq!(trim(239), 1);
    letters.publish(&letter(0, 11)).await.expect("the server answers");
    assert_eq!(positions(&letters).await.len(), 240);
}

#[tokio::test]
async fn a_damaged_entry_is_an_error_and_not_a_letter() {
    let Some(place) = Place::new() else { return };
    let letters = RedisDeadLetters::new(&place.redis().await);
    letters.publish(&letter(0, 1)).await.expect("the server answers");
    place.raw::<()>(cmd("XADD").arg(name(&place, "letters")).arg("*").arg("no").arg("letter"));
    let error = letters.repair("billing").await.expect_err("it is no letter");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.context().iter().any(|(name, _)| *name == "entry"), "{error:?}");
    place.raw::<()>(cmd("UNLINK").arg(name(&place, "letters")).arg(name(&place, "letter-index")));
    place.raw::<()>(cmd("SET").arg(name(&place, "letters")).arg("a string"));
    let error = letters.publish(&letter(0, 2)).await.expect_err("it is no stream");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let error = letters.list("billing", None, 2).await.expect_err("it is no stream");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn b_3_a_letter_counts_as_published_when_the_replicas_have_it() {
    let Some(primary) = OwnServer::start(&[]) else { return };
    let place = primary.place();
    let options = place.options().replicas(1).response_timeout(std::time::Duration::from_secs(4));
    let redis = Redis::open(place.url(), &options).await.expect("the server answers");
    let letters = RedisDeadLetters::new(&redis);
    let port = primary.port().to_string();
    let Some(replica) = OwnServer::start(&["--replicaof", "127.0.0.1", &port]) else { return };
    wait_for("replica", || {
        place.raw::<String>(cmd("INFO").arg("replication")).contains("state=online").then_some(())
    });
    letters.publish(&letter(0, 1)).await.expect("the replica has it");
    let there: u64 = replica.place().raw(cmd("XLEN").arg(name(&place, "letters")));
    assert_eq!(there, 1);
    drop(replica);
    let error = letters.publish(&letter(0, 2)).await.expect_err("there is no replica");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.chain().contains("0 of 1 replicas"), "{}", error.chain());
}

#[tokio::test]
async fn b_3_a_published_letter_survives_a_kill() {
    let Some(mut server) = OwnServer::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let place = server.place();
    let letters = RedisDeadLetters::new(&place.redis().await);
    for n in 1..=50 {
        letters.publish(&letter(0, n)).await.expect("the server answers");
    }
    server.kill();
    let error = letters.publish(&letter(0, 51)).await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    server.launch();
    assert_eq!(positions(&letters).await, (1..=50).collect::<Vec<_>>());
    let page = letters.list("billing", Some(Position::new(48, u64::MAX)), 10).await.expect("it answers");
    assert_eq!(page.len(), 2);
}
