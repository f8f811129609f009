//! Checkpoints: what the ports' laws do not say.

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_core::model::Position;
use highwater_core::ports::{CheckpointStore, GroupClaim, OwnedCheckpoints, OwnedEntry};
use highwater_postgres::PgCheckpoints;

use crate::kit::Place;

const LEASE: Duration = Duration::from_secs(60);

fn key(n: u64) -> String {
    format!("key {}", n % 12)
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_never_wait_for_each_other_in_a_circle() {
    let Some(place) = Place::new().await else { return };
    let mut callers = Vec::new();
    for caller in 0..8_u64 {
        let store = PgCheckpoints::new(&place.database().await);
        callers.push(tokio::spawn(async move {
            for round in 0..60_u64 {
                let own = format!("owner {}", caller % 3);
                let mixed = (0..12).map(|n| (n * 5 + caller * 7 + round) % 12);
                let to = Position::new(round, caller);
                let done = match (round + caller) % 5 {
                    0 => store.clear("key", false).await.map(drop),
                    1 => store.claim(&key(round), &own, LEASE).await.map(drop),
                    2 => store.delete(&key(round)).await.map(drop),
                    3 => {
                        let entries: Vec<_> = mixed.map(|n| (key(n), to)).collect();
                        store.set_many_if_newer(&entries).await.map(drop)
                    }
                    _ => {
                        let entries =
                            mixed.map(|n| OwnedEntry { key: key(n), epoch: 1 + n % 2, to: Some(to) });
                        store.advance_owned(&own, LEASE, &entries.collect::<Vec<_>>()).await.map(drop)
                    }
                };
                match done {
                    Ok(()) => {}
                    Err(error) => panic!("round {round} of {caller}: {}", error.chain()),
                }
            }
        }));
    }
    for caller in callers {
        caller.await.expect("no deadlock, and nothing lost that nobody has deleted");
    }
}

/// The tables as they were before there were owners.
const BEFORE: [&str; 4] = [
    include_str!("../../src/migrations/0001_log.sql"),
    include_str!("../../src/migrations/0002_read_models.sql"),
    include_str!("../../src/migrations/0003_ownership.sql"),
    include_str!("../../src/migrations/0004_sql_projections.sql"),
];

#[tokio::test]
async fn d_9_checkpoints_from_before_there_were_owners_are_remembered() {
    let Some(place) = Place::new().await else { return };
    place
        .execute(&format!(
            "CREATE SCHEMA {}; CREATE TABLE highwater.migration
                 (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
            place.schema()
        ))
        .await;
    for step in BEFORE {
        place.execute(&step.replace("'highwater_schema'", &format!("'{}'", place.schema()))).await;
    }
    place
        .execute(
            "INSERT INTO highwater.migration (version) SELECT generate_series(1, 4);
             INSERT INTO highwater.checkpoint VALUES ('kept', 5, 0, now()), ('lost', 5, 0, now())",
        )
        .await;
    let store = PgCheckpoints::new(&place.database().await);
    place.execute("DELETE FROM highwater.checkpoint WHERE key = 'lost'").await;
    let error = store.claim("lost", "a", LEASE).await.expect_err("it was there");
    assert_eq!(error.kind(), ErrorKind::CheckpointLost, "{error:?}");
    let claim = store.claim("kept", "a", LEASE).await.expect("the server answers");
    let GroupClaim::Won { epoch: 1, generation: 0, checkpoint: Some(found) } = claim else {
        panic!("it is there: {claim:?}")
    };
    assert_eq!(found.position, Position::new(5, 0));
}
