//! Log lines as a machine reads them, held against the list of them in `docs/logs.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_core::model::{FailedEvent, FailedState, Position};
use highwater_core::policy::Class;
use highwater_core::ports::{Observer as _, Seen};
use highwater_core::{Error, ErrorKind};
use highwater_runtime::telemetry::LogObserver;
use highwater_testkit::fixtures::event;
use highwater_testkit::time::VirtualClock;
use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::world::World;

/// Keeps what is logged on this thread while `guard` lives.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn capture() -> (Self, impl Drop) {
        let lines = Self::default();
        let json = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false);
        let subscriber =
            json.with_span_list(false).with_max_level(LevelFilter::TRACE).with_writer(lines.clone()).finish();
        (lines, tracing_subscriber::util::SubscriberInitExt::set_default(subscriber))
    }

    pub(crate) fn read(&self) -> Vec<Value> {
        let written = self.0.lock().unwrap();
        let lines = written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let all = lines.map(|line| serde_json::from_slice(line).unwrap());
        all.filter(|line: &Value| line["target"] == "highwater").collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// A line of the list: the message, its level, the fields that it must have and those that it may have.
#[derive(Debug)]
pub(crate) struct Documented {
    level: String,
    always: BTreeSet<String>,
    sometimes: BTreeSet<String>,
}

/// The list of what happens to a projection, by the beginning of the message.
fn documented() -> BTreeMap<String, Documented> {
    documented_of("projection")
}

/// The list of what happens to a projection, or to a handler's group, by the beginning of the message.
pub(crate) fn documented_of(subject: &str) -> BTreeMap<String, Documented> {
    documented_under(subject, subject)
}

/// The list of what happens to such a thing, whose name stands in this field.
pub(crate) fn documented_under(subject: &str, field: &str) -> BTreeMap<String, Documented> {
    let page = include_str!("../../../../docs/logs.md");
    let title = format!("What happens to a {subject}\n");
    let table = page.split("\n## ").find(|part| part.starts_with(&title)).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [message, level, fields] = cells[..] else { panic!("three cells a row: {row}") };
        let (mut always, mut sometimes) = (BTreeSet::from([field.to_owned()]), BTreeSet::new());
        for field in fields.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            match field.strip_prefix('[').and_then(|field| field.strip_suffix(']')) {
                Some(field) => sometimes.insert(field.to_owned()),
                None => always.insert(field.to_owned()),
            };
        }
        let message = message.trim_matches('`').trim_end_matches('…').to_owned();
        (message, Documented { level: level.to_owned(), always, sometimes })
    })
    .collect()
}

/// Which line of the list this is; that it has exactly the fields that the list says.
pub(crate) fn check(line: &Value, documented: &BTreeMap<String, Documented>) -> String {
    let said = line["message"].as_str().unwrap();
    let found = documented.iter().filter(|(message, _)| said.starts_with(message.as_str()));
    let (message, entry) =
        found.max_by_key(|(message, _)| message.len()).unwrap_or_else(|| panic!("not in the list: {line}"));
    assert_eq!(line["level"], entry.level.as_str(), "{line}");
    let mut fields: BTreeSet<String> = line.as_object().unwrap().keys().cloned().collect();
    for common in ["timestamp", "level", "target", "message"] {
        assert!(fields.remove(common), "no {common}: {line}");
    }
    assert!(entry.always.is_subset(&fields), "{:?} are missing: {line}", &entry.always - &fields);
    let allowed = &entry.always | &entry.sometimes;
    assert!(fields.is_subset(&allowed), "{:?} are not in the list: {line}", &fields - &allowed);
    message.clone()
}

fn failed(code: Option<&str>, next: Option<i64>) -> FailedEvent {
    let event = event(7, "Paid", "account-1");
    FailedEvent {
        key: World::key(),
        generation: 1,
        position: event.position(),
        id: event.id(),
        stream: "account-1".into(),
        sequence: 3,
        event_type: "Paid".into(),
        state: FailedState::Retrying,
        class: Class::Unclassified,
        code: code.map(str::to_owned),
        message: format!("refused, code {code:?}"),
        attempts: 2,
        first_failed_micros: 0,
        last_failed_micros: 0,
        next_attempt_micros: next,
        replay_requested: false,
    }
}

#[tokio::test(start_paused = true)]
async fn g_every_line_of_a_projection_has_the_fields_that_the_documentation_lists() {
    let (lines, guard) = Lines::capture();
    let observer = LogObserver::new(Arc::new(VirtualClock::new()));
    let at = Position::new(12, 0);
    let error = Error::new(ErrorKind::Unavailable, "read the log");
    let (whole, bare) = (failed(Some("SQLITE_CONSTRAINT"), Some(1_000_000)), failed(None, None));
    let committed = |scanned| {
        let took = Duration::from_millis(3);
        Seen::Committed { applied: 2, failed: 1, duplicates: 0, scanned, took }
    };
    for seen in [
        Seen::StandingBy,
        Seen::Started { epoch: 3, after: None },
        committed(Some(at)),
        committed(None),
        Seen::EventFailed(&whole),
        Seen::EventFailed(&bare),
        Seen::EventRecovered { position: at },
        Seen::WholeBatchOnly { events: 5 },
        Seen::Retrying { error: &error, after: Duration::from_secs(1), attempt: 4 },
        Seen::Stalled { reason: "the disk is full" },
        Seen::Healed,
        Seen::CaughtUp { scanned: Some(at) },
        Seen::Paused,
        Seen::Resumed,
        Seen::LostOwnership,
        Seen::OutcomeUnknown,
        Seen::Faulted { reason: "no such table" },
        Seen::CheckpointEventAbsent { position: at },
        Seen::Stopped,
        Seen::Heartbeat,
    ] {
        observer.seen(&World::key().name, &seen);
    }
    drop(guard);
    let documented = documented();
    let said: BTreeSet<String> = lines.read().iter().map(|line| check(line, &documented)).collect();
    let by_words = "a failure was classified by the words of its message: ".to_owned();
    let listed: BTreeSet<String> = documented.into_keys().filter(|message| *message != by_words).collect();
    assert_eq!(said, listed, "the list has exactly what is said");

    let started = lines.read().into_iter().find(|line| line["message"] == "started").unwrap();
    assert_eq!(
        (&started["projection"], &started["epoch"], &started["after"]),
        (&"ledger".into(), &3.into(), &"-".into())
    );
    let event_failed = lines.read().into_iter().find(|line| !line["code"].is_null()).unwrap();
    assert_eq!(event_failed["position"], whole.position.to_string());
    assert_eq!(event_failed["event_id"], whole.id.to_string());
    assert_eq!(event_failed["next_attempt"], "1970-01-01T00:00:01Z");
    assert_eq!(event_failed["attempts"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_decision_by_the_words_of_a_message_is_logged() {
    let (lines, guard) = Lines::capture();
    let mut world = World::new();
    world.append(&["Worded", "Opaque", "Fine"]).await;
    world.settings.max_failures = 1;
    world.run().await;
    assert!(lines.read().is_empty(), "nobody asked for the words to decide: {:?}", lines.read());

    let mut world = World::new();
    world.environment.classifier = world.environment.classifier.with_patterns();
    world.append(&["Worded", "Permanent", "Fine"]).await;
    world.run().await;
    drop(guard);
    let lines = lines.read();
    let documented = documented();
    let said: Vec<_> = lines.iter().map(|line| check(line, &documented)).collect();
    assert_eq!(
        said,
        ["a failure was classified by the words of its message: "],
        "once, for the one so decided"
    );
    assert_eq!((&lines[0]["class"], &lines[0]["position"]), (&"permanent".into(), &"1:0".into()));
    assert!(lines[0]["message"].as_str().unwrap().ends_with("business rule"), "{}", lines[0]);
}
