//! What a worker says, as log lines and as metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_core::breaker::{BreakerChange, BreakerState};
use highwater_core::ports::{Clock, PersistenceObserver, PersistenceSeen};
use highwater_core::{Error, ErrorKind};
use highwater_runtime::telemetry::{PersistenceLog, PersistenceMetrics, persistence_metric};
use highwater_testkit::time::VirtualClock;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

use crate::log_lines::{Lines, check, documented_under};

fn everything(residue: &[String]) -> Vec<PersistenceSeen<'_>> {
    let opened = BreakerChange { from: BreakerState::Closed, to: BreakerState::Open, trips: 1 };
    let took = Duration::from_millis(30);
    vec![
        PersistenceSeen::Started,
        PersistenceSeen::Flushed { flushed: 3, failed: 1, took, pending: 4 },
        PersistenceSeen::CallTimedOut { keys: 2, after: took },
        PersistenceSeen::NearlyFull { pending: 8, max_pending: 10 },
        PersistenceSeen::Refused { max_pending: 10 },
        PersistenceSeen::BreakerChanged(opened),
        PersistenceSeen::Reconfigured,
        PersistenceSeen::WorkerPanicked { reason: "a defect" },
        PersistenceSeen::Stopped { flushed: 3, residue },
    ]
}

#[tokio::test(start_paused = true)]
async fn g_every_line_has_the_fields_that_the_documentation_lists_and_trouble_is_rate_limited() {
    let clock = Arc::new(VirtualClock::new());
    let (lines, guard) = Lines::capture();
    let log = PersistenceLog::new(clock.clone());
    let residue = ["a".to_owned(), "b\n".to_owned()];
    for what in everything(&residue) {
        log.seen("redis", &what);
    }
    let error = Error::new(ErrorKind::Unavailable, "persist keys").because("connection refused");
    for n in 0..100 {
        let key = format!("key-{n}");
        log.seen("redis", &PersistenceSeen::KeyFailed { key: &key, error: &error, attempts: 2 });
        log.seen("redis", &PersistenceSeen::CallFailed { keys: 5, error: &error, took: Duration::ZERO });
    }
    log.seen("other", &PersistenceSeen::CallFailed { keys: 5, error: &error, took: Duration::ZERO });
    clock.sleep(Duration::from_secs(5)).await;
    log.seen("redis", &PersistenceSeen::CallFailed { keys: 5, error: &error, took: Duration::ZERO });
    let closed = BreakerChange { from: BreakerState::HalfOpen, to: BreakerState::Closed, trips: 1 };
    log.seen("redis", &PersistenceSeen::BreakerChanged(closed));
    log.seen("redis", &PersistenceSeen::Stopped { flushed: 3, residue: &[] });
    drop(guard);
    let lines = lines.read();
    let documented = documented_under("persistence worker", "target_name");
    let listed: BTreeSet<String> = documented.keys().cloned().collect();
    let said: BTreeSet<String> = lines.iter().map(|line| check(line, &documented)).collect();
    assert_eq!(said, listed, "the list has exactly what is said");
    assert!(lines.iter().all(|line| line["target_name"].is_string()), "{lines:?}");
    let said = |part: &str| {
        let has =
            |line: &&serde_json::Value| line["message"].as_str().is_some_and(|said| said.contains(part));
        lines.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    assert_eq!(said("a key was not written").len(), 1);
    let calls = said("dirty keys were not written: persist keys: connection refused");
    let left_out: Vec<_> =
        calls.iter().map(|line| (line["target_name"].clone(), line["left_out"].clone())).collect();
    assert_eq!(
        left_out,
        [("redis".into(), 0.into()), ("other".into(), 0.into()), ("redis".into(), 99.into())]
    );
    let opened = &said("circuit breaker opened")[0];
    assert_eq!(
        (&opened["level"], &opened["state"], &opened["trips"]),
        (&"ERROR".into(), &"open".into(), &1.into())
    );
    let stopped = &said("stopped with dirty keys")[0];
    assert_eq!((&stopped["residue"], &stopped["keys"]), (&2.into(), &r#""a", "b\n""#.into()));
    assert_eq!(lines.len(), 9 + 1 + 3 + 2, "one a thing seen, and those of trouble that were let through");
}

/// Sums of counters, last values of gauges, counts of histograms.
#[derive(Debug, Default)]
struct Kept(Mutex<BTreeMap<String, f64>>);

struct Slot(Arc<Kept>, String);

impl Slot {
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut kept = self.0.0.lock().unwrap();
        let value = kept.entry(self.1.clone()).or_default();
        *value = change(*value);
    }
}

impl CounterFn for Slot {
    fn increment(&self, value: u64) {
        self.change(|sum| sum + f64::from(u32::try_from(value).unwrap()));
    }

    fn absolute(&self, value: u64) {
        self.change(|_| f64::from(u32::try_from(value).unwrap()));
    }
}

impl GaugeFn for Slot {
    fn increment(&self, value: f64) {
        self.change(|sum| sum + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|sum| sum - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

impl HistogramFn for Slot {
    fn record(&self, _value: f64) {
        self.change(|count| count + 1.0);
    }
}

struct Keeper(Arc<Kept>);

impl Keeper {
    fn slot(&self, key: &Key) -> Arc<Slot> {
        let labels: Vec<String> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Slot(self.0.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
    }
}

impl Recorder for Keeper {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.slot(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.slot(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.slot(key))
    }
}

#[test]
fn every_metric_is_kept_under_its_name_and_target() {
    let kept = Arc::new(Kept::default());
    let residue = ["a".to_owned(), "b".to_owned()];
    metrics::with_local_recorder(&Keeper(kept.clone()), || {
        for what in everything(&residue) {
            PersistenceMetrics.seen("redis", &what);
        }
        let error = Error::new(ErrorKind::Unavailable, "persist keys");
        let failed = PersistenceSeen::CallFailed { keys: 5, error: &error, took: Duration::ZERO };
        PersistenceMetrics.seen("redis", &failed);
    });
    let kept = kept.0.lock().unwrap();
    let expected = [
        (persistence_metric::KEYS_FLUSHED, "", 3.0),
        (persistence_metric::KEYS_FAILED, "", 1.0 + 2.0 + 5.0),
        (persistence_metric::CALLS, ",outcome=answered", 1.0),
        (persistence_metric::CALLS, ",outcome=timed-out", 1.0),
        (persistence_metric::CALLS, ",outcome=failed", 1.0),
        (persistence_metric::CALL_SECONDS, "", 2.0),
        (persistence_metric::PENDING, "", 4.0),
        (persistence_metric::REFUSED, "", 1.0),
        (persistence_metric::NEARLY_FULL, "", 1.0),
        (persistence_metric::BREAKER_STATE, "", 2.0),
        (persistence_metric::BREAKER_TRIPS, "", 1.0),
        (persistence_metric::PANICS, "", 1.0),
        (persistence_metric::RESIDUE, "", 2.0),
    ];
    let expected: BTreeMap<String, f64> = expected
        .into_iter()
        .map(|(name, more, value)| (format!("{name}{{target=redis{more}}}"), value))
        .collect();
    assert_eq!(*kept, expected);
}
