//! Every suite over the adapters in memory, and over the same behind a plan without faults.

use std::sync::Arc;

use highwater_testkit::contract::{
    CheckpointFixture, ControlFixture, DeadLettersFixture, LogFixture, Lose, Outage, OwnedCheckpointsFixture,
    StoreFixture, SubscriptionFixture, TargetFixture, lose, outage,
};
use highwater_testkit::faults::{FaultPlan, Faulty};
use highwater_testkit::memory::{
    MemoryCheckpoints, MemoryDeadLetters, MemoryLog, MemoryStore, MemorySubscriptions, MemoryTable,
    MemoryTarget,
};

fn at_once(switch: impl Fn(bool) + Send + Sync + 'static) -> Outage {
    outage(move |failing| {
        switch(failing);
        std::future::ready(())
    })
}

async fn memory_log(_law: &str) -> Option<LogFixture> {
    let log = MemoryLog::new();
    let cut = log.clone();
    let switch = at_once(move |failing| cut.set_outage(failing));
    Some(LogFixture::new(Arc::new(log.clone()), Arc::new(log)).with_outage(switch))
}

async fn memory_log_in_small_scans(_law: &str) -> Option<LogFixture> {
    let log = MemoryLog::scanning(3);
    Some(LogFixture::new(Arc::new(log.clone()), Arc::new(log)))
}

async fn memory_log_at_the_edge(_law: &str) -> Option<LogFixture> {
    let log = MemoryLog::starting_behind(u64::MAX - 100_000);
    Some(LogFixture::new(Arc::new(log.clone()), Arc::new(log)))
}

async fn faulty_log(_law: &str) -> Option<LogFixture> {
    let log = Faulty::new(MemoryLog::new(), &FaultPlan::new());
    let cut = log.inner().clone();
    let switch = at_once(move |failing| cut.set_outage(failing));
    Some(LogFixture::new(Arc::new(log.clone()), Arc::new(log)).with_outage(switch))
}

async fn memory_checkpoints(_law: &str) -> Option<CheckpointFixture> {
    let store = MemoryCheckpoints::new();
    let cut = store.clone();
    let switch = at_once(move |failing| cut.set_outage(failing));
    Some(CheckpointFixture::new(Arc::new(store.clone()), Arc::new(store)).with_outage(switch))
}

async fn faulty_checkpoints(_law: &str) -> Option<CheckpointFixture> {
    let store = Faulty::new(MemoryCheckpoints::new(), &FaultPlan::new());
    Some(CheckpointFixture::new(Arc::new(store.clone()), Arc::new(store)))
}

fn losing(store: &MemoryCheckpoints) -> Lose {
    let store = store.clone();
    lose(move |key| {
        assert!(store.lose(&key), "{key:?} has a checkpoint");
        std::future::ready(())
    })
}

async fn memory_owned_checkpoints(_law: &str) -> Option<OwnedCheckpointsFixture> {
    let store = MemoryCheckpoints::new();
    let (cut, clock) = (store.clone(), store.clone());
    let switch = at_once(move |failing| cut.set_outage(failing));
    let lose = losing(&store);
    let fixture = OwnedCheckpointsFixture::new(Arc::new(store.clone()), Arc::new(store), lose);
    Some(fixture.with_time(move |time| clock.pass(time)).with_outage(switch))
}

/// By tokio's time, which passes by itself.
async fn faulty_owned_checkpoints(_law: &str) -> Option<OwnedCheckpointsFixture> {
    let store = Faulty::new(MemoryCheckpoints::new(), &FaultPlan::new());
    let lose = losing(store.inner());
    Some(OwnedCheckpointsFixture::new(Arc::new(store.clone()), Arc::new(store), lose))
}

async fn memory_dead_letters(_law: &str) -> Option<DeadLettersFixture> {
    let letters = MemoryDeadLetters::new();
    let cut = letters.clone();
    let switch = at_once(move |failing| cut.set_outage(failing));
    Some(DeadLettersFixture::new(Arc::new(letters.clone()), Arc::new(letters)).with_outage(switch))
}

async fn faulty_dead_letters(_law: &str) -> Option<DeadLettersFixture> {
    let letters = Faulty::new(MemoryDeadLetters::new(), &FaultPlan::new());
    Some(DeadLettersFixture::new(Arc::new(letters.clone()), Arc::new(letters)))
}

async fn memory_subscriptions(law: &str) -> Option<SubscriptionFixture> {
    let log = MemoryLog::new();
    let groups = MemorySubscriptions::over(log.clone());
    Some(SubscriptionFixture::new(Arc::new(groups), Arc::new(log), format!("messages-{law}")))
}

async fn memory_target(_law: &str) -> Option<TargetFixture> {
    let target = MemoryTarget::new();
    target.set_bad("bad", true);
    let cut = target.clone();
    let switch = at_once(move |failing| cut.set_outage(failing));
    let probe = Arc::new(target.clone());
    Some(TargetFixture::new(Arc::new(target), probe).with_bad_key("bad").with_outage(switch))
}

async fn memory_store(_law: &str) -> Option<StoreFixture<MemoryStore>> {
    let store = MemoryStore::new();
    let second = store.as_process("another");
    Some(StoreFixture::new(store, second, Arc::new(MemoryTable)))
}

async fn faulty_store(_law: &str) -> Option<StoreFixture<Faulty<MemoryStore>>> {
    let store = Faulty::new(MemoryStore::new(), &FaultPlan::new());
    Some(StoreFixture::new(store.clone(), store, Arc::new(MemoryTable)))
}

async fn memory_control(_law: &str) -> Option<ControlFixture<MemoryStore>> {
    let store = MemoryStore::new();
    let control = Arc::new(store.as_process("operator"));
    Some(ControlFixture::new(store, control))
}

async fn faulty_control(_law: &str) -> Option<ControlFixture<Faulty<MemoryStore>>> {
    let store = Faulty::new(MemoryStore::new(), &FaultPlan::new());
    Some(ControlFixture::new(store.clone(), Arc::new(store)))
}

highwater_testkit::event_log_contract!(event_log_in_memory, memory_log);
highwater_testkit::event_log_contract!(event_log_in_memory_in_small_scans, memory_log_in_small_scans);
highwater_testkit::event_log_contract!(event_log_in_memory_at_the_edge, memory_log_at_the_edge);
highwater_testkit::event_log_contract!(event_log_with_faults, faulty_log);
highwater_testkit::append_events_contract!(append_events_in_memory, memory_log);
highwater_testkit::append_events_contract!(append_events_with_faults, faulty_log);
highwater_testkit::checkpoint_store_contract!(checkpoint_store_in_memory, memory_checkpoints);
highwater_testkit::checkpoint_store_contract!(checkpoint_store_with_faults, faulty_checkpoints);
highwater_testkit::owned_checkpoints_contract!(owned_checkpoints_in_memory, memory_owned_checkpoints);
highwater_testkit::owned_checkpoints_contract!(owned_checkpoints_with_faults, faulty_owned_checkpoints);
highwater_testkit::dead_letters_contract!(dead_letters_in_memory, memory_dead_letters);
highwater_testkit::dead_letters_contract!(dead_letters_with_faults, faulty_dead_letters);
highwater_testkit::persistent_subscription_contract!(persistent_subscription_in_memory, memory_subscriptions);
highwater_testkit::persist_target_contract!(persist_target_in_memory, memory_target);
highwater_testkit::read_model_store_contract!(read_model_store_in_memory, memory_store);
highwater_testkit::read_model_store_contract!(read_model_store_with_faults, faulty_store);
highwater_testkit::projection_control_contract!(projection_control_in_memory, memory_control);
highwater_testkit::projection_control_contract!(projection_control_with_faults, faulty_control);
