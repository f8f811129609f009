//! A cluster: each node refuses commands whose keys are in several slots, and sends away who asks for a slot that it
//! has not got.

use highwater_core::model::Advance;
use highwater_core::ports::{CheckpointStore, GroupClaim, OwnedCheckpoints};
use highwater_core::{ErrorKind, Retry};
use highwater_redis::redis::cmd;

use crate::kit::{LONG, Place, at};
use crate::own_server::{OwnServer, wait_for};

const SETTINGS: [&str; 4] = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"];

/// The only node of a cluster.
pub(crate) fn node() -> Option<OwnServer> {
    let server = OwnServer::start(&SETTINGS)?;
    give(&server.place(), 0, 16_383);
    Some(server)
}

fn give(place: &Place, first: u32, last: u32) {
    place.raw::<()>(cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(last));
    wait_for("sound cluster", || {
        place.raw::<String>(cmd("CLUSTER").arg("INFO")).contains("cluster_state:ok").then_some(())
    });
}

/// Two nodes, each with one half of the slots; the place is at the one that has not got ours.
fn two_nodes() -> Option<(Place, OwnServer, OwnServer)> {
    let (first, second) = (OwnServer::start(&SETTINGS)?, OwnServer::start(&SETTINGS)?);
    let slot: u32 = first.place().raw(cmd("CLUSTER").arg("KEYSLOT").arg("{highwater}"));
    let ((low, high), place) =
        if slot < 8192 { ((&first, &second), second.place()) } else { ((&first, &second), first.place()) };
    give(&low.place(), 0, 8191);
    give(&high.place(), 8192, 16_383);
    first.place().raw::<()>(cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(second.port()));
    for server in [&first, &second] {
        wait_for("cluster of two", || {
            let info: String = server.place().raw(cmd("CLUSTER").arg("INFO"));
            let known = info.contains("cluster_known_nodes:2") && info.contains("cluster_slots_ok:16384");
            known.then_some(())
        });
    }
    Some((place, first, second))
}

#[tokio::test]
async fn d_10_whoever_asks_the_wrong_node_is_sent_to_the_right_one() {
    let Some((place, first, second)) = two_nodes() else { return };
    let store = place.checkpoints().await;
    assert_eq!(store.set_if_newer("key", at(5)).await.expect("it is followed"), Advance::Applied);
    let claim = store.claim("key", "a", LONG).await.expect("the right node answers");
    assert!(matches!(claim, GroupClaim::Won { checkpoint: Some(found), .. } if found.position == at(5)));
    // A scan names no key, and must not take a wrong node for an empty one.
    let other = place.checkpoints().await;
    assert_eq!(other.get_all("", 10).await.expect("the right node answers").len(), 1);
    let other = place.checkpoints().await;
    assert_eq!(other.clear("k", 500, true).await.expect("the right node answers"), 1);
    let error = store.migrate("older:", true).await.expect_err("they are scattered");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    drop((first, second));
}

#[tokio::test]
async fn when_the_right_node_is_gone_the_given_one_is_asked_again() {
    let Some((place, mut first, mut second)) = two_nodes() else { return };
    let store = place.checkpoints().await;
    store.set_if_newer("key", at(5)).await.expect("it is followed");
    let right = if place.url() == first.url() { &mut second } else { &mut first };
    right.kill();
    let error = store.get("key").await.expect_err("the right node is gone");
    assert_eq!(
        (error.kind(), error.retryable()),
        (ErrorKind::Unavailable, Retry::After(std::time::Duration::ZERO))
    );
    right.launch();
    for place in [&right.place(), &place] {
        wait_for("sound cluster", || {
            let info: String = place.raw(cmd("CLUSTER").arg("INFO"));
            (info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")).then_some(())
        });
    }
    assert_eq!(store.set_if_newer("key", at(6)).await.expect("it is there again"), Advance::Applied);
}
