//! What the adapters in memory can be told to do, beyond their ports.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::{Filter, Position, ProjectionKey, ProjectionName, ProjectionState};
use highwater_core::ports::{
    AppendEvents, CheckpointStore, Claim, Clock, EventLog, GroupKey, Limit, Locked, PersistTarget,
    ReadModelStore, Subscriptions, UnitOfWork,
};
use highwater_core::{Error, ErrorKind};
use highwater_testkit::fixtures::{append_n, append_to, event, new_event};
use highwater_testkit::memory::{
    MemoryCheckpoints, MemoryLog, MemoryStore, MemorySubscriptions, MemoryTarget, MemoryUnit,
};
use highwater_testkit::time::VirtualClock;

const DEADLINE: Duration = Duration::from_secs(60);
const LIMIT: Limit = Limit { events: 100, bytes: 1 << 20 };

fn key() -> ProjectionKey {
    ProjectionKey { name: ProjectionName::new("p").unwrap(), version: 1, partition: 0 }
}

fn state() -> ProjectionState {
    ProjectionState::new(key(), None, String::new(), String::new())
}

async fn created(store: &MemoryStore) -> ProjectionState {
    store.put_state(state());
    store.reset_counts();
    state()
}

async fn locked(unit: &mut MemoryUnit) -> ProjectionState {
    match unit.lock(&key()).await.unwrap() {
        Locked::Acquired(acquired) => acquired.state,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_log_that_scavenges_passes_over_what_is_gone() {
    let log = MemoryLog::new();
    let at = append_n(&log, 5).await.unwrap()[2].last;
    assert!(log.remove_event(at));
    assert!(!log.remove_event(at));
    assert!(log.event_at(at).await.unwrap().is_none());
    let read = log.open(None, &Filter::all()).await.unwrap().next(LIMIT).await.unwrap();
    assert_eq!((read.events.len(), read.caught_up, log.len()), (4, true, 4));
    let done = log.append(&[append_to("counter-2", vec![new_event(9, "Counted")])]).await.unwrap();
    assert_eq!(done[0].next_sequence, 2, "sequences go on");
}

#[tokio::test]
async fn e_7_a_log_from_another_copy_has_another_event_or_an_earlier_head() {
    let log = MemoryLog::new();
    append_n(&log, 5).await.unwrap();
    let other = event(3, "Other", "other-1");
    log.replace_event(other.clone());
    assert_eq!(log.event_at(Position::new(3, 0)).await.unwrap().unwrap().id(), other.id());
    log.truncate_behind(Position::new(2, 0));
    assert_eq!(log.head().await.unwrap(), Some(Position::new(2, 0)));
    let again = append_n(&log, 3).await.unwrap();
    let duplicates: Vec<_> = again.iter().map(|one| one.duplicate).collect();
    assert_eq!(duplicates, [true, true, false], "what was cut off can be appended again");
    assert_eq!(log.head().await.unwrap(), Some(Position::new(3, 0)));
}

#[tokio::test(start_paused = true)]
async fn times_come_from_the_clock_that_is_given() {
    let clock = Arc::new(VirtualClock::new());
    clock.set_wall_micros(77);
    let log = MemoryLog::with_clock(clock.clone());
    append_n(&log, 1).await.unwrap();
    assert_eq!(log.all()[0].time_micros(), clock.wall_micros());
    let checkpoints = MemoryCheckpoints::with_clock(clock.clone());
    checkpoints.set_if_newer("k", Position::new(1, 0)).await.unwrap();
    checkpoints.set_if_newer("k", Position::new(1, 0)).await.unwrap();
    assert_eq!(checkpoints.get("k").await.unwrap().unwrap().updated_at_micros, clock.wall_micros());
    assert_eq!(checkpoints.writes(), 1, "what changed nothing was not written");
}

#[tokio::test]
async fn a_store_counts_what_its_transactions_do() {
    let store = MemoryStore::new();
    let read = created(&store).await;
    let done = store.transact(DEADLINE, move |mut unit| async move {
        locked(&mut unit).await;
        unit.savepoint().await?;
        unit.tx().increment("sums", "a", 2)?;
        unit.rollback_to().await?;
        unit.tx().increment("sums", "a", 3)?;
        unit.tx().increment("sums", "a", 4)?;
        unit.release().await?;
        unit.commit(&read, &read).await
    });
    done.await.unwrap();
    store.transact(DEADLINE, |unit| async move { unit.rollback().await }).await.unwrap();
    assert_eq!(store.texts("sums").into_iter().collect::<Vec<_>>(), [("a".to_owned(), "7".to_owned())]);
    let counts = store.counts();
    assert_eq!((counts.transactions, counts.commits, counts.rollbacks), (2, 1, 1));
    assert_eq!((counts.savepoints, counts.rolled_back_to, counts.released, counts.statements), (1, 1, 1, 3));
}

#[tokio::test]
async fn a_table_has_rows_constraints_and_numbers() {
    let store = MemoryStore::new();
    let done = store.transact(DEADLINE, |mut unit| async move {
        let tx = unit.tx();
        tx.insert("t", "a", "1")?;
        let taken = tx.insert("t", "a", "2").expect_err("the key is taken");
        tx.put("t", "b", "text")?;
        let no_number = tx.increment("t", "b", 1).expect_err("it is no number");
        tx.put("t", "c", i64::MAX.to_string())?;
        let too_large = tx.increment("t", "c", 1).expect_err("the sum does not fit");
        let kinds = [taken.kind(), no_number.kind(), too_large.kind()];
        assert!(tx.delete("t", "b")?);
        assert!(!tx.delete("t", "b")?);
        assert_eq!(tx.get("t", "a")?, Some(b"1".to_vec()));
        assert_eq!(tx.get("t", "b")?, None);
        let before = tx.rows("t")?.len();
        tx.clear("t")?;
        Ok((kinds, before, tx.rows("t")?.len()))
    });
    assert_eq!(done.await.unwrap(), ([ErrorKind::Constraint; 3], 2, 0));
    assert!(store.table("t").is_empty(), "nothing was committed");
}

#[tokio::test]
async fn e_17_a_lost_transaction_cannot_even_go_back() {
    let store = MemoryStore::new();
    created(&store).await;
    let lost = store.transact(DEADLINE, |mut unit| async move {
        unit.savepoint().await?;
        let failed = unit.tx().lose(ErrorKind::Unavailable);
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
        unit.tx().put("t", "a", "1").expect_err("the transaction is lost");
        unit.rollback_to().await
    });
    assert_eq!(lost.await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_swallowed_error_of_an_aborted_transaction_shows_at_the_release() {
    let store = MemoryStore::new();
    let read = created(&store).await;
    let done = store.transact(DEADLINE, move |mut unit| async move {
        locked(&mut unit).await;
        unit.savepoint().await?;
        unit.tx().put("t", "a", "1")?;
        unit.tx().abort(ErrorKind::Constraint).expect_err("it always fails");
        unit.tx().put("t", "b", "1").expect_err("the transaction is aborted");
        let released = unit.release().await.expect_err("the transaction is aborted");
        assert_eq!(released.backend_code(), Some("25P02"));
        unit.rollback_to().await?;
        unit.tx().put("t", "c", "1")?;
        unit.release().await?;
        unit.commit(&read, &read).await
    });
    done.await.unwrap();
    assert_eq!(store.table("t").into_keys().collect::<Vec<_>>(), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn e_20_slow_statements_meet_their_limits_on_virtual_time() {
    let store = MemoryStore::new();
    let clock = Arc::new(VirtualClock::new());
    let (deadline, timer) = (Duration::from_millis(500), clock.clone());
    let done = store.transact(deadline, move |mut unit| async move {
        let slow = Duration::from_millis(200);
        unit.tx().run_for(slow).await?;
        unit.statement_timeout(Some(Duration::from_millis(50))).await?;
        let limited = unit.tx().run_for(slow).await.expect_err("it is limited to 50 ms");
        assert_eq!(limited.kind(), ErrorKind::Timeout);
        let at = timer.now().since_origin();
        assert!((250..300).contains(&at.as_millis()), "{at:?}");
        unit.statement_timeout(None).await?;
        unit.tx().run_for(slow).await?;
        unit.tx().run_for(slow).await
    });
    assert_eq!(done.await.unwrap_err().kind(), ErrorKind::Timeout);
    let at = clock.now().since_origin();
    assert!((500..550).contains(&at.as_millis()), "{at:?}");
}

#[tokio::test]
async fn e_12_a_broken_claim_leaves_the_old_lease_without_power() {
    let store = MemoryStore::new();
    let second = store.as_process("second");
    let part = key().part();
    let Claim::Owned(old) = store.claim(&part).await.unwrap() else { panic!("nobody has it") };
    assert!(store.break_claim(&part));
    let Claim::Owned(new) = second.claim(&part).await.unwrap() else { panic!("it was broken") };
    drop(old);
    assert!(
        matches!(store.claim(&part).await.unwrap(), Claim::Busy),
        "the old lease does not end the new claim"
    );
    drop(new);
    assert!(matches!(store.claim(&part).await.unwrap(), Claim::Owned(_)));
}

#[tokio::test]
async fn an_outage_fails_every_call_and_ends() {
    let store = MemoryStore::new();
    let outage = store.clone();
    let during = store.transact(DEADLINE, |mut unit| async move {
        outage.set_outage(true);
        unit.savepoint().await
    });
    assert_eq!(during.await.unwrap_err().kind(), ErrorKind::Unavailable);
    let job = |_unit| std::future::ready(Ok::<(), Error>(()));
    assert_eq!(store.transact(DEADLINE, job).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.claim(&key().part()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    store.set_outage(false);
    store.transact(DEADLINE, job).await.unwrap();
}

#[tokio::test]
async fn a_group_can_lose_its_consumers_and_get_broken_links() {
    let log = MemoryLog::new();
    let groups = MemorySubscriptions::over(log.clone());
    let key = GroupKey { stream: "$all".to_owned(), group: "g".to_owned() };
    groups.ensure(&key).await.unwrap();
    append_n(&log, 2).await.unwrap();
    let mut consumer = groups.consume(&key, 10).await.unwrap();
    let first = consumer.receive().await.unwrap();
    assert_eq!(groups.in_flight(&key), 1);
    groups.disconnect(&key);
    assert_eq!(consumer.ack(&[first.receipt]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(consumer.receive().await.unwrap_err().kind(), ErrorKind::Unavailable);

    let mut consumer = groups.consume(&key, 10).await.unwrap();
    groups.push_broken_link(&key);
    let again = consumer.receive().await.unwrap();
    assert_eq!((again.retry_count, again.event.map(|event| event.sequence())), (1, Some(0)));
    let link = consumer.receive().await.unwrap();
    assert!(link.event.is_none());
    consumer.ack(&[again.receipt, link.receipt]).await.unwrap();
    let counts = groups.counts(&key).unwrap();
    assert_eq!((counts.delivered, counts.acked), (3, 2));
    assert!(groups.delete(&key));
    assert_eq!(consumer.receive().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_target_can_hang() {
    let target = MemoryTarget::new();
    target.set("a", 1);
    target.set_hanging(true);
    let keys = ["a".to_owned()];
    assert!(tokio::time::timeout(Duration::from_secs(60), target.persist(&keys)).await.is_err());
    assert!(target.all_written().is_empty());
    target.set_hanging(false);
    assert!(target.persist(&keys).await.unwrap()[0].is_ok());
    assert_eq!((target.all_written().len(), target.calls().len()), (1, 2));
}
