//! What a runner says, as log lines.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::policy::{Class, Decided};
use highwater_core::ports::{
    Clock, HandlerAttempt, HandlerLetter, HandlerObserver, HandlerSeen, HandlerTotals,
};
use highwater_core::{Error, ErrorKind};
use highwater_runtime::telemetry::{HandlerLog, HandlerMetrics};
use highwater_testkit::fixtures::event;
use highwater_testkit::time::VirtualClock;

use super::world::World;
use crate::log_lines::{Lines, check, documented_of};

#[tokio::test(start_paused = true)]
async fn every_line_names_its_group_and_a_failure_names_its_event() {
    let (lines, guard) = Lines::capture();
    let mut world = World::new();
    world.append(&["Fine", "Permanent", "Opaque", "Skip", "Fine"]).await;
    world.settings.progress_every = 1;
    let machine = world.machine("first");
    let mut runner = world.runner(&machine);
    runner.observer = Arc::new(HandlerLog::new(world.environment.clock.clone()));
    let process = super::world::Process::start(runner, machine);
    process.caught_up(&world).await;
    process.stop().await;
    drop(guard);
    let lines = lines.read();
    let of_the_group: Vec<_> = lines.iter().filter(|line| line["group"] == "mailer").collect();
    let said = |part: &str| {
        let lines: Vec<_> =
            of_the_group.iter().filter(|line| line["message"].as_str().unwrap().contains(part)).collect();
        assert!(!lines.is_empty(), "nobody said: {part}");
        lines
    };
    for part in ["handler started", "handler caught up", "handler stop requested", "event left out"] {
        assert_eq!(said(part).len(), 1, "{part}");
    }
    let failed = said("event failed: send a mail")[0];
    for (field, value) in [
        ("class", "permanent"),
        ("position", "2:0"),
        ("event_type", "Permanent"),
        ("stream", "s-1"),
        ("level", "WARN"),
    ] {
        assert_eq!(failed[field], value, "{failed}");
    }
    assert!(failed["event_id"].is_string() && failed["attempts"] == 1);
    let completed = said("handler completed")[0];
    assert_eq!((&completed["processed"], &completed["dead_lettered"]), (&2.into(), &2.into()));
    assert!(completed["per_second"].is_u64() && completed["millis"].is_u64());
    assert!(said("handler progress")[0]["per_second"].is_u64());
}

#[tokio::test(start_paused = true)]
async fn equal_failures_are_told_once_in_five_seconds_with_the_count_of_the_rest() {
    let (lines, guard) = Lines::capture();
    let clock = Arc::new(VirtualClock::new());
    let log = HandlerLog::new(clock.clone());
    let event = event(7, "Paid", "account-1");
    let decided = Decided { code: Some("23505".to_owned()), ..Decided::new(Class::Unclassified, "test") };
    let attempt = HandlerAttempt {
        event: &event,
        decided: &decided,
        message: "refused",
        attempts: 1,
        again_in: Some(Duration::from_secs(1)),
    };
    for _ in 0..100 {
        log.seen("a", &HandlerSeen::AttemptFailed(attempt));
    }
    log.seen("b", &HandlerSeen::AttemptFailed(attempt));
    clock.sleep(Duration::from_secs(5)).await;
    log.seen("a", &HandlerSeen::AttemptFailed(attempt));
    drop(guard);
    let lines = lines.read();
    let told: Vec<_> = lines.iter().map(|line| (line["group"].clone(), line["left_out"].clone())).collect();
    assert_eq!(told, [("a".into(), 0.into()), ("b".into(), 0.into()), ("a".into(), 99.into())]);
    assert_eq!((&lines[0]["code"], &lines[0]["again_in_millis"]), (&"23505".into(), &1000.into()));
}

#[test]
fn every_thing_seen_has_a_line_or_is_left_to_the_metrics() {
    let (lines, guard) = Lines::capture();
    let log = HandlerLog::new(Arc::new(highwater_runtime::TokioClock::new()));
    let event = event(7, "Paid", "account-1");
    let error = Error::new(ErrorKind::Unavailable, "read the log");
    let letter = HandlerLetter {
        group: "mailer".to_owned(),
        generation: 0,
        event: event.clone(),
        class: Class::Permanent,
        message: "refused".to_owned(),
        attempts: 1,
    };
    let totals = HandlerTotals::default();
    let after = Duration::from_secs(1);
    let decided = Decided { code: Some("23505".to_owned()), ..Decided::new(Class::Unclassified, "test") };
    let attempt = HandlerAttempt {
        event: &event,
        decided: &decided,
        message: "why",
        attempts: 1,
        again_in: Some(after),
    };
    let seen = [
        HandlerSeen::AttemptFailed(attempt),
        HandlerSeen::AlreadyRunning,
        HandlerSeen::StandingBy { owner: "other" },
        HandlerSeen::Started { epoch: 1, generation: 0, after: None },
        HandlerSeen::Flushed { position: event.position() },
        HandlerSeen::Progress { totals, position: None, per_second: 7 },
        HandlerSeen::CallFailed { events: 3, message: "no" },
        HandlerSeen::EventRecovered { event: &event, failed: 2 },
        HandlerSeen::DeadLettered(&letter),
        HandlerSeen::Skipped(&letter),
        HandlerSeen::LetterFailed { letter: &letter, error: &error, after, attempt: 1 },
        HandlerSeen::Retrying { error: &Error::new(ErrorKind::Timeout, "claim"), after, attempt: 1 },
        HandlerSeen::BreakerOpened { probe_in: after },
        HandlerSeen::BreakerClosed,
        HandlerSeen::Stalled { reason: "the disk is full" },
        HandlerSeen::Healed,
        HandlerSeen::CaughtUp { position: None },
        HandlerSeen::Paused,
        HandlerSeen::Resumed,
        HandlerSeen::LostOwnership,
        HandlerSeen::CheckpointMoved,
        HandlerSeen::StopRequested,
        HandlerSeen::Completed { totals, position: None, took: after, per_second: 0 },
        HandlerSeen::Faulted { reason: "no access" },
    ];
    for what in &seen {
        log.seen("mailer", what);
        HandlerMetrics.seen("mailer", what);
    }
    for quiet in [HandlerSeen::Settled(totals), HandlerSeen::Heartbeat] {
        log.seen("mailer", &quiet);
        HandlerMetrics.seen("mailer", &quiet);
    }
    drop(guard);
    let lines = lines.read();
    assert_eq!(lines.len(), seen.len());
    let documented = documented_of("group");
    let said: BTreeSet<String> = lines.iter().map(|line| check(line, &documented)).collect();
    // These are written where they happen.
    let elsewhere =
        ["a failure was classified by the words", "the last checkpoint of a runner was not taken"];
    let listed = documented.into_keys().filter(|message| !elsewhere.iter().any(|it| message.starts_with(it)));
    assert_eq!(said, listed.collect(), "the list has exactly what is said");
}
