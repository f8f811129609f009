//! What a failure does (spec section 2, B-9).

use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::RecordedEvent;
use highwater_core::policy::Class;
use highwater_core::ports::Clock;
use highwater_core::settings::OnPermanent;
use highwater_core::{ErrorKind, Failure};
use highwater_runtime::catch_up::CatchUpEnd;
use highwater_runtime::projection::Phase;

use super::world::{Does, Process, SECOND, World};

/// The bad event first, in the middle, last, alone.
fn places(bad: &'static str) -> [Vec<&'static str>; 4] {
    [vec![bad, "Fine", "Fine"], vec!["Fine", bad, "Fine"], vec!["Fine", "Fine", bad], vec![bad]]
}

#[tokio::test(start_paused = true)]
async fn b_9_a_permanent_failure_goes_to_the_dead_letters_at_the_first_attempt() {
    for types in places("Permanent") {
        let world = World::new();
        world.append(&types).await;
        let report = world.run().await;
        assert_eq!(world.clerk.positions(), world.fine(), "{types:?}");
        let letter = world.letter();
        assert_eq!((letter.class, letter.attempts), (Class::Permanent, 1));
        assert_eq!(letter.message, "send a mail");
        assert_eq!(letter.generation, 0);
        assert_eq!((report.totals.dead_lettered, report.totals.errors), (1, 1));
        assert_eq!((report.stored, report.position), (world.head().await, world.head().await));
        assert_eq!(world.stored(), world.head().await);
    }
}

#[tokio::test(start_paused = true)]
async fn b_9_an_unclassified_failure_is_retried_in_order_and_then_dead_lettered() {
    for kind in ["Opaque", "Panic", "Hang"] {
        for types in places(kind) {
            let world = World::new();
            world.append(&types).await;
            let report = world.run().await;
            assert_eq!(world.clerk.positions(), world.fine(), "{types:?}");
            let letter = world.letter();
            assert_eq!((letter.class, letter.attempts), (Class::Unclassified, 4), "4 executions");
            assert_eq!(report.totals.errors, 4);
            let tries = world.clerk.calls_at(letter.event.position());
            assert_eq!(tries.len(), 4, "it was tried alone and not again");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn b_9_an_unclassified_failure_that_heals_is_handled_in_order_and_counts_nothing_against_it() {
    let world = World::new();
    world.append(&["Fine", "Sick", "Fine"]).await;
    let healed_at = world.now() + Duration::from_millis(2_000);
    let clock = world.clock.clone();
    world.clerk.told(move |event| {
        if event.event_type() == "Sick" && clock.now() < healed_at { Does::Opaque } else { Does::Fine }
    });
    let process = world.start();
    process.until(|status| status.attempts == 1 && status.phase == Phase::RetryingEvent).await;
    process.caught_up(&world).await;
    let report = process.stop().await;
    assert_eq!(world.clerk.positions(), world.positions(|_| true));
    assert!(world.dead().is_empty());
    assert_eq!((report.totals.processed, report.totals.errors), (3, 2));
    assert_eq!(world.diary.count("EventRecovered"), 1);
}

#[tokio::test(start_paused = true)]
async fn b_9_a_transient_failure_never_counts_and_stalls_with_the_position_kept() {
    let mut world = World::new();
    world.settings.breaker_failure_threshold = 1_000;
    world.append(&["Fine", "Transient", "Fine"]).await;
    let process = world.start();
    let status = process.phase("stalled").await;
    assert_eq!((status.attempts, status.totals.processed), (0, 1));
    assert_eq!(status.position, world.fine().first().copied());
    assert!(status.last_error.unwrap().contains("send a mail"));
    world.pass(Duration::from_secs(3_600)).await;
    assert!(world.dead().is_empty());
    world.clerk.mend();
    process.caught_up(&world).await;
    assert_eq!((world.diary.count("Stalled"), world.diary.count("Healed")), (1, 1));
    process.stop().await;
    assert_eq!(world.clerk.positions(), world.positions(|_| true));
}

#[tokio::test(start_paused = true)]
async fn b_9_a_fatal_failure_faults_the_runner_before_the_event() {
    let world = World::new();
    world.append(&["Fine", "Fatal", "Fine"]).await;
    let process = world.start();
    let (status, report) = (process.status.clone(), process.end().await);
    let CatchUpEnd::Faulted { reason } = &report.end else { panic!("{report:?}") };
    assert!(reason.contains("2:0 (Fatal): send a mail"), "{reason}");
    assert_eq!(status.get().phase, Phase::Faulted { reason: reason.clone() });
    assert_eq!((report.stored, world.clerk.positions().len()), (world.fine().first().copied(), 1));
    assert!(report.unflushed.is_none() && world.dead().is_empty());
}

#[tokio::test(start_paused = true)]
async fn b_9_what_the_handler_says_wins() {
    let world = World::new();
    world.append(&["Park", "Fine", "Skip", "Fine"]).await;
    let report = world.run().await;
    assert_eq!(world.clerk.positions(), world.fine());
    let said: Vec<_> = world.letters.all().iter().map(|letter| letter.message.clone()).collect();
    assert_eq!(said, ["the handler knows", "skipped: the handler knows"]);
    assert_eq!((report.totals.dead_lettered, report.totals.skipped), (1, 1));

    let world = World::new();
    world.append(&["Stop", "Fine"]).await;
    assert!(world.start().fault().await.contains("the handler knows"));
    assert!(world.clerk.positions().is_empty() && world.stored().is_none());
}

#[tokio::test(start_paused = true)]
async fn b_9_halt_and_a_missing_place_for_dead_letters_stop_before_the_event() {
    for (policy, has_letters) in [(OnPermanent::Halt, true), (OnPermanent::DeadLetter, false)] {
        for types in [places("Permanent"), places("Opaque")].into_iter().flatten() {
            let mut world = World::new();
            (world.settings.on_permanent, world.has_letters) = (policy, has_letters);
            world.append(&types).await;
            world.start().fault().await;
            let before = types.iter().take_while(|kind| **kind == "Fine").count();
            assert_eq!(world.clerk.positions().len(), before);
            assert_eq!(world.stored(), world.fine().get(..before).and_then(|done| done.last()).copied());
            assert!(world.dead().is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn b_9_skip_goes_on_and_keeps_a_record_where_there_is_a_place_for_it() {
    for has_letters in [true, false] {
        let mut world = World::new();
        (world.settings.on_permanent, world.has_letters) = (OnPermanent::Skip, has_letters);
        world.append(&["Permanent", "Fine", "Opaque", "Fine"]).await;
        let report = world.run().await;
        assert_eq!(world.clerk.positions(), world.fine());
        assert_eq!((report.totals.skipped, report.totals.dead_lettered), (2, 0));
        assert_eq!(world.dead().len(), if has_letters { 2 } else { 0 });
        assert_eq!(world.stored(), world.head().await);
        assert_eq!(world.diary.count("Skipped"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn b_9_changing_a_message_changes_no_class() {
    for (words, attempts) in [("connection lost, timeout", 4), ("invalid: a business rule", 4)] {
        let world = World::new();
        world.append(&["Worded"]).await;
        let machine = world.machine("first");
        let mut runner = world.runner(&machine);
        runner.handler = Arc::new(move |_event: RecordedEvent| async move { Err(Failure::new(words)) });
        let process = Process::start(runner, machine);
        process.caught_up(&world).await;
        process.stop().await;
        assert_eq!((world.letter().class, world.letter().attempts), (Class::Unclassified, attempts));
    }
}

#[tokio::test(start_paused = true)]
async fn b_10_pauses_double_from_the_base_with_jitter_and_stay_at_the_cap() {
    let mut world = World::new();
    world.settings.breaker_failure_threshold = 1_000;
    world.append(&["Transient"]).await;
    let process = world.start();
    process.until(|status| status.totals.errors == 9).await;
    let position = world.positions(|_| true)[0];
    let calls = world.clerk.calls_at(position);
    let pauses: Vec<_> = calls.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    for (pause, aim) in pauses.iter().zip([1, 2, 4, 8, 16, 30, 30, 30]) {
        let aim = SECOND * aim;
        let most = (aim * 5 / 4).min(Duration::from_secs(30)) + Duration::from_millis(5);
        assert!(*pause >= aim * 3 / 4 && *pause <= most, "{pause:?} for {aim:?}");
    }
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn b_10_every_pause_ends_at_once_with_a_stop() {
    let world = World::new();
    world.append(&["Transient"]).await;
    let process = world.start();
    process.until(|status| status.totals.errors == 4).await;
    let begun = world.now();
    process.stop().await;
    assert!(world.now().since(begun) < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_and_a_healed_side_is_not_asked_before() {
    let world = World::new();
    world.append(&["Fine"]).await;
    let position = world.positions(|_| true)[0];
    world.clerk.told(|_| Does::Asks(Duration::from_secs(90)));
    let process = world.start();
    process.until(|status| status.totals.errors == 1).await;
    world.clerk.mend();
    process.caught_up(&world).await;
    let calls = world.clerk.calls_at(position);
    let pause = calls[1].since(calls[0]);
    assert!(pause >= Duration::from_secs(90) && pause < Duration::from_secs(91), "{pause:?}");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hung_handler_times_out_and_counts() {
    let mut world = World::new();
    world.settings.handler_timeout = Duration::from_secs(3);
    world.append(&["Hang", "Fine"]).await;
    let process = world.start();
    let status = process.until(|status| status.attempts == 1).await;
    assert!(status.last_error.unwrap().contains("limit 3000 ms"));
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.letter().attempts, 4);
    assert_eq!(world.clerk.positions(), world.fine());
}

#[tokio::test(start_paused = true)]
async fn many_in_one_call_settle_up_to_the_culprit() {
    let mut world = World::new();
    world.settings.batch = 5;
    world.append(&["Fine", "Fine", "Permanent", "Fine", "Fine", "Fine", "Opaque", "Fine"]).await;
    world.run().await;
    assert_eq!(world.clerk.positions(), world.fine(), "each once, in order");
    assert_eq!(world.dead().len(), 2);
    assert_eq!(world.clerk.slices.lock().unwrap()[0], 5);
}

#[tokio::test(start_paused = true)]
async fn many_in_one_call_that_fails_for_nobody_knows_which_are_given_one_by_one() {
    let mut world = World::new();
    world.settings.batch = 4;
    world.hide_the_culprit();
    world.append(&["Fine", "Fine", "Permanent", "Fine", "Fine", "Fine", "Fine", "Fine"]).await;
    let report = world.run().await;
    let slices = world.clerk.slices.lock().unwrap().clone();
    assert_eq!(slices, [4, 1, 1, 1, 1, 4], "all of the call that failed, and then many again");
    let times = world.times();
    assert_eq!(times.values().filter(|times| **times == 2).count(), 2, "those before the culprit");
    assert_eq!((world.dead().len(), report.totals.processed), (1, 7));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_for_a_passing_reason_waits_and_blames_nobody() {
    let mut world = World::new();
    world.settings.batch = 4;
    world.hide_the_culprit();
    world.append(&["Fine"; 4]).await;
    world.clerk.told(|_| Does::Of(ErrorKind::Unavailable));
    let process = world.start();
    process.until(|status| status.totals.errors == 3).await;
    world.clerk.mend();
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.clerk.positions(), world.fine());
    assert!(world.dead().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_first_hundred_all_failing_fault_the_runner() {
    let world = World::new();
    world.append(&["Permanent"; 150]).await;
    let reason = world.start().fault().await;
    assert!(reason.contains("the first 100 events of this run all failed"), "{reason}");
    assert_eq!(world.dead().len(), 100);

    let world = World::new();
    world.append(&["Permanent"; 99]).await;
    world.append(&["Fine"]).await;
    world.append(&["Permanent"; 99]).await;
    world.run().await;
    assert_eq!(world.dead().len(), 198, "one that passed says that the handler works");
}

#[tokio::test(start_paused = true)]
async fn the_words_of_a_message_decide_only_where_that_was_asked_for() {
    let world = World::new();
    world.append(&["Worded"]).await;
    let machine = world.machine("first");
    let mut runner = world.runner(&machine);
    runner.environment.classifier = runner.environment.classifier.with_patterns();
    runner.handler = Arc::new(|_event: RecordedEvent| async { Err(Failure::new("against a business rule")) });
    let process = Process::start(runner, machine);
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!((world.letter().class, world.letter().attempts), (Class::Permanent, 1));
}
