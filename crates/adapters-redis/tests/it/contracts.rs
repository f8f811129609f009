//! The contract suites: on the shared server, and on a node of a cluster. `second` handles share
//! nothing with the first, as if they were in another process.

use std::sync::Arc;

use highwater_redis::redis::cmd;
use highwater_redis::{Redis, RedisCheckpoints, RedisDeadLetters};
use highwater_testkit::contract::{
    CheckpointFixture, DeadLettersFixture, Lose, Outage, OwnedCheckpointsFixture, lose, outage,
};

use crate::cluster::node;
use crate::kit::Place;
use crate::proxy::Proxy;

/// A handle by way of a proxy, and how it is cut off.
async fn by_way(place: &Place) -> (Redis, Outage) {
    let proxy = Arc::new(Proxy::new(place.url()));
    let redis = Redis::open(&proxy.url(place.url()), &place.options()).await.expect("the server answers");
    let switch = outage(move |failing| {
        if failing {
            proxy.cut()
        } else {
            proxy.mend()
        }
        std::future::ready(())
    });
    (redis, switch)
}

fn losing(place: &Arc<Place>) -> Lose {
    let place = place.clone();
    lose(move |key| {
        let gone: u64 = place.raw(cmd("UNLINK").arg(place.name(&key)));
        assert_eq!(gone, 1, "there is a checkpoint");
        std::future::ready(())
    })
}

async fn checkpoints(_law: &str) -> Option<CheckpointFixture> {
    let place = Place::new()?;
    let (redis, outage) = by_way(&place).await;
    let second = Arc::new(place.checkpoints().await);
    let store = Arc::new(RedisCheckpoints::new(&redis));
    Some(CheckpointFixture::new(store, second).with_outage(outage).keeping(place))
}

async fn owned_checkpoints(_law: &str) -> Option<OwnedCheckpointsFixture> {
    let place = Arc::new(Place::new()?);
    let (redis, outage) = by_way(&place).await;
    let second = Arc::new(place.checkpoints().await);
    let store = Arc::new(RedisCheckpoints::new(&redis));
    let lose = losing(&place);
    Some(OwnedCheckpointsFixture::new(store, second, lose).with_outage(outage).keeping(place))
}

async fn dead_letters(_law: &str) -> Option<DeadLettersFixture> {
    let place = Place::new()?;
    let (redis, outage) = by_way(&place).await;
    let second = Arc::new(RedisDeadLetters::new(&place.redis().await));
    let letters = Arc::new(RedisDeadLetters::new(&redis));
    Some(DeadLettersFixture::new(letters, second).with_outage(outage).keeping(place))
}

async fn checkpoints_in_cluster(_law: &str) -> Option<CheckpointFixture> {
    let server = node()?;
    let place = server.place();
    let (store, second) = (Arc::new(place.checkpoints().await), Arc::new(place.checkpoints().await));
    Some(CheckpointFixture::new(store, second).keeping(place).keeping(server))
}

async fn dead_letters_in_cluster(_law: &str) -> Option<DeadLettersFixture> {
    let server = node()?;
    let place = server.place();
    let letters = Arc::new(RedisDeadLetters::new(&place.redis().await));
    let second = Arc::new(RedisDeadLetters::new(&place.redis().await));
    Some(DeadLettersFixture::new(letters, second).keeping(place).keeping(server))
}

highwater_testkit::checkpoint_store_contract!(checkpoint_store, super::checkpoints);
highwater_testkit::owned_checkpoints_contract!(owned_checkpoints_port, super::owned_checkpoints);
highwater_testkit::dead_letters_contract!(dead_letters_port, super::dead_letters);
highwater_testkit::checkpoint_store_contract!(
    d_10_checkpoint_store_in_a_cluster,
    super::checkpoints_in_cluster
);
highwater_testkit::dead_letters_contract!(d_10_dead_letters_in_a_cluster, super::dead_letters_in_cluster);
