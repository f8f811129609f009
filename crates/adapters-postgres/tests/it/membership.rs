//! The instances that share a projection, and their ranks.

use std::time::Duration;

use tokio::time::timeout;

use highwater_core::ErrorKind;
use highwater_core::model::InstanceRank;
use highwater_core::ports::Membership;
use highwater_postgres::{Database, Ownership};

use crate::kit::Place;
use crate::proxy::Proxy;

/// A member is gone as soon as its claims are free.
const TAKEOVER: Duration = Duration::from_secs(2);

async fn join(database: &Database, projection: &str) -> Box<dyn Membership> {
    database.control().join(projection).await.expect("the server answers")
}

async fn rank(member: &dyn Membership) -> (u32, u32) {
    let InstanceRank { rank, instances } = member.rank().await.expect("the server answers");
    (rank, instances)
}

/// Waits for a rank, which asks for itself.
async fn until(member: &dyn Membership, wanted: (u32, u32)) {
    while rank(member).await != wanted {}
}

async fn leasing(place: &Place) -> Database {
    let options = place.options().ownership(Ownership::Lease).lease_term(Duration::from_secs(1));
    Database::open(&place.url(), &options).await.expect("the database opens")
}

#[tokio::test]
async fn ranks_follow_the_order_of_joining_and_those_who_stay_keep_theirs() {
    let Some(place) = Place::new().await else { return };
    for lease in [false, true] {
        let open = async || if lease { leasing(&place).await } else { place.database().await };
        let (a, b, c) = (open().await, open().await, open().await);
        let (first, second, third) = (join(&a, "p").await, join(&b, "p").await, join(&c, "p").await);
        let again = join(&a, "p").await;
        let other = join(&c, "q").await;
        assert_eq!(rank(&*first).await, (0, 4));
        assert_eq!(rank(&*second).await, (1, 4));
        assert_eq!(rank(&*third).await, (2, 4));
        assert_eq!(rank(&*again).await, (3, 4), "one of its own kind in the same process");
        assert_eq!(rank(&*other).await, (0, 1), "another projection's");
        drop(first);
        timeout(TAKEOVER, until(&*second, (0, 3))).await.expect("it has left");
        assert_eq!((rank(&*third).await, rank(&*again).await), ((1, 3), (2, 3)));
        // A clean end takes everything along.
        b.control().close().await;
        assert_eq!((rank(&*third).await, rank(&*again).await), ((0, 2), (1, 2)));
        let error = second.rank().await.expect_err("it was closed");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        drop(second);
        let second = join(&b, "p").await;
        assert_eq!(rank(&*second).await, (2, 3), "it is a new one");
        for database in [a, b, c] {
            database.close().await;
        }
    }
}

#[tokio::test]
async fn asking_for_ranks_costs_two_questions_a_second_at_most() {
    let Some(place) = Place::new().await else { return };
    let database = place.database().await;
    let mut members = Vec::new();
    for n in 0..20 {
        members.push(join(&database, &format!("p{n}")).await);
    }
    let before = database.control().statements();
    let asking = async {
        loop {
            for found in futures_util::future::join_all(members.iter().map(|it| rank(&**it))).await {
                assert_eq!(found, (0, 1));
            }
        }
    };
    assert!(timeout(Duration::from_secs(3), asking).await.is_err(), "it goes on for ever");
    let asked = database.control().statements() - before;
    assert!((4..=8).contains(&asked), "{asked} questions in three seconds");
}

#[tokio::test]
async fn a_member_whose_session_is_gone_is_not_counted_until_it_has_another() {
    let Some(place) = Place::new().await else { return };
    let proxy = Proxy::new(&place.url());
    let options = place.options().connect_timeout(Duration::from_secs(2));
    let a = Database::open(&proxy.url(&place.url()), &options).await.expect("the database opens");
    let b = place.database().await;
    let (cut_off, stays) = (join(&a, "p").await, join(&b, "p").await);
    assert_eq!((rank(&*cut_off).await, rank(&*stays).await), ((0, 2), (1, 2)));
    proxy.cut();
    timeout(TAKEOVER, until(&*stays, (0, 1))).await.expect("it is gone");
    let refused = timeout(Duration::from_secs(4), async {
        loop {
            if let Err(error) = cut_off.rank().await {
                return error;
            }
        }
    });
    let error = refused.await.expect("it does not hang");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = a.control().join("p").await.err().expect("there is no server");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    proxy.mend();
    let back = async { while rank(&*stays).await.1 != 2 {} };
    timeout(Duration::from_secs(20), back).await.expect("it is counted again");
    assert_ne!(rank(&*cut_off).await.0, rank(&*stays).await.0);
}

#[tokio::test]
async fn a_member_that_does_not_beat_is_not_counted() {
    let Some(place) = Place::new().await else { return };
    let (a, b) = (place.database().await, place.database().await);
    // Its session stays, as that of a process which is frozen.
    let (_frozen, stays) = (join(&a, "p").await, join(&b, "p").await);
    assert_eq!(rank(&*stays).await, (1, 2));
    // It beats between the two statements now and then, and is counted.
    let seen_frozen = async {
        loop {
            let late = "UPDATE highwater.instance SET beat = beat - 1600000
                        WHERE id IN (SELECT instance FROM highwater.member WHERE number = 1)";
            place.execute(late).await;
            if rank(&*stays).await == (0, 1) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(20), seen_frozen).await.expect("it is not counted");
    timeout(TAKEOVER, until(&*stays, (1, 2))).await.expect("it beats again");

    let c = leasing(&place).await;
    let member = join(&c, "q").await;
    let dead = "INSERT INTO highwater.member (instance, token, projection, expires_at)
                VALUES ('dead', 1, 'q', clock_timestamp() + interval '1 s')";
    place.execute(dead).await;
    assert_eq!(rank(&*member).await, (0, 2));
    timeout(TAKEOVER, until(&*member, (0, 1))).await.expect("its time has run out");
}
