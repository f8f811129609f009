//! A target that does what it is told, an observer that remembers, and a worker between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::breaker::BreakerState;
use highwater_core::ports::{Clock, Jitter, Moment, PersistTarget, PersistenceObserver, PersistenceSeen};
use highwater_core::settings::PersistenceSettings;
use highwater_core::{Error, ErrorKind};
use highwater_runtime::Environment;
use highwater_runtime::persistence::Persistence;
use highwater_testkit::time::VirtualClock;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How the target behaves.
#[derive(Default)]
pub(crate) struct Script {
    /// How long a call takes.
    pub(crate) latency: Duration,
    /// Calls with one of these keys never come back.
    pub(crate) hanging: BTreeSet<String>,
    /// These keys are refused.
    pub(crate) bad: BTreeMap<String, ErrorKind>,
    /// Every call fails.
    pub(crate) outage: bool,
    /// Every call hangs, after it has written.
    pub(crate) mute: bool,
    /// Calls with this key panic.
    pub(crate) panics_at: Option<String>,
    /// Answers for one key too few.
    pub(crate) miscounts: bool,
    present: BTreeMap<String, u64>,
    written: BTreeMap<String, u64>,
    calls: Vec<(Moment, Vec<String>)>,
    flying: BTreeSet<String>,
}

#[derive(Clone)]
pub(crate) struct Target {
    script: Arc<Mutex<Script>>,
    clock: Arc<VirtualClock>,
}

impl Target {
    pub(crate) fn tell<T>(&self, change: impl FnOnce(&mut Script) -> T) {
        change(&mut self.script.lock().unwrap());
    }

    /// The present value of a key, which the next call writes.
    pub(crate) fn set(&self, key: &str, value: u64) {
        self.tell(|script| script.present.insert(key.to_owned(), value));
    }

    pub(crate) fn written(&self, key: &str) -> Option<u64> {
        self.script.lock().unwrap().written.get(key).copied()
    }

    pub(crate) fn calls(&self) -> Vec<Vec<String>> {
        self.script.lock().unwrap().calls.iter().map(|(_, keys)| keys.clone()).collect()
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.calls().iter().map(Vec::len).collect()
    }

    /// When the calls began.
    pub(crate) fn times(&self) -> Vec<Duration> {
        self.script.lock().unwrap().calls.iter().map(|(at, _)| at.since_origin()).collect()
    }

    pub(crate) fn forget_calls(&self) {
        self.tell(|script| script.calls.clear());
    }
}

/// Takes the keys off the list of those on their way, also when the call is dropped.
struct Flying<'t>(&'t Target, Vec<String>);

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.tell(|script| {
            self.1.iter().for_each(|key| {
                script.flying.remove(key);
            })
        });
    }
}

#[async_trait]
impl PersistTarget for Target {
    async fn persist(&self, keys: &[String]) -> Result<Vec<Result<(), Error>>, Error> {
        let now = self.clock.now();
        let (latency, hangs, values) = {
            let mut script = self.script.lock().unwrap();
            script.calls.push((now, keys.to_vec()));
            for key in keys {
                assert!(script.flying.insert(key.clone()), "C-2: {key} is in flight twice");
            }
            let values: Vec<u64> =
                keys.iter().map(|key| script.present.get(key).copied().unwrap_or(0)).collect();
            (script.latency, keys.iter().any(|key| script.hanging.contains(key)), values)
        };
        let _flying = Flying(self, keys.to_vec());
        self.clock.sleep(latency).await;
        if hangs {
            std::future::pending::<()>().await;
        }
        let (mut answers, mute, miscounts) = {
            let mut script = self.script.lock().unwrap();
            let panics = script.panics_at.as_ref().is_some_and(|key| keys.contains(key));
            let outage = script.outage;
            if panics {
                drop(script);
                panic!("a defect in the target");
            }
            if outage {
                return Err(Error::new(ErrorKind::Unavailable, "persist keys").because("the test cut it off"));
            }
            let mut answers = Vec::new();
            for (key, value) in keys.iter().zip(values) {
                answers.push(match script.bad.get(key) {
                    Some(kind) => Err(Error::new(*kind, "persist a key").with("key", key)),
                    None => {
                        script.written.insert(key.clone(), value);
                        Ok(())
                    }
                });
            }
            (answers, script.mute, script.miscounts)
        };
        if mute {
            std::future::pending::<()>().await;
        }
        if miscounts {
            answers.pop();
        }
        Ok(answers)
    }
}

/// Keeps what was seen as text, and panics where it is told to.
#[derive(Default)]
pub(crate) struct Diary {
    lines: Mutex<Vec<String>>,
    /// Panics at lines that begin so, after writing them down.
    panics_at: Mutex<Vec<&'static str>>,
}

impl Diary {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.lines().iter().filter(|line| line.starts_with(prefix)).count()
    }

    pub(crate) fn panic_at(&self, prefixes: &[&'static str]) {
        *self.panics_at.lock().unwrap() = prefixes.to_vec();
    }
}

impl PersistenceObserver for Diary {
    fn seen(&self, _target: &str, what: &PersistenceSeen<'_>) {
        let line = format!("{what:?}");
        self.lines.lock().unwrap().push(line.clone());
        let panics = self.panics_at.lock().unwrap().iter().any(|prefix| line.starts_with(prefix));
        assert!(!panics, "a defect in the observer");
    }
}

/// Chance that always picks the middle: jitter is zero.
#[derive(Debug)]
pub(crate) struct Middle;

impl Jitter for Middle {
    fn next_u64(&self) -> u64 {
        u64::MAX / 2
    }
}

pub(crate) struct World {
    pub(crate) target: Target,
    pub(crate) diary: Arc<Diary>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) settings: PersistenceSettings,
    pub(crate) environment: Environment,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(VirtualClock::new());
        let environment =
            Environment { clock: clock.clone(), jitter: Arc::new(Middle), ..Environment::new() };
        Self {
            target: Target { script: Arc::default(), clock: clock.clone() },
            diary: Arc::default(),
            clock,
            settings: PersistenceSettings::default(),
            environment,
        }
    }

    pub(crate) fn start(&self) -> Persistence {
        self.start_as("checkpoints").unwrap()
    }

    pub(crate) fn start_as(&self, name: &str) -> Result<Persistence, Error> {
        let target = Arc::new(self.target.clone());
        Persistence::start(name, target, self.settings.clone(), &self.environment, self.diary.clone())
    }

    /// Lets time go by.
    pub(crate) async fn pass(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.now().since_origin()
    }

    /// A worker whose breaker has just opened, with the key `a` dirty; the target is still cut off.
    pub(crate) async fn open(&self) -> Persistence {
        self.target.tell(|script| script.outage = true);
        let worker = self.start();
        worker.request_now("a").unwrap();
        while worker.stats().breaker.state != BreakerState::Open {
            self.pass(Duration::from_millis(10)).await;
            assert!(self.now() < Duration::from_secs(60), "it does not open: {:?}", worker.stats());
        }
        worker
    }
}

pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("key-{n:04}")).collect()
}

/// Owned texts, for comparisons.
pub(crate) fn texts(keys: &[&str]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}
