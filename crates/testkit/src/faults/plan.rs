//! Which point fails, and how.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use highwater_core::{Error, ErrorKind};

use crate::sync::lock;

/// All calls that have points.
const CALLS: [&str; 55] = [
    "checkpoints.advance_owned",
    "checkpoints.claim",
    "checkpoints.clear",
    "checkpoints.delete",
    "checkpoints.get",
    "checkpoints.owner",
    "checkpoints.release",
    "checkpoints.remembers",
    "checkpoints.reset",
    "checkpoints.scan",
    "checkpoints.set_if_newer",
    "checkpoints.set_many_if_newer",
    "control.changed",
    "control.dead_letter",
    "control.discard",
    "control.failed_events",
    "control.owner",
    "control.request_replay",
    "control.set_paused",
    "control.states",
    "dead_letters.list",
    "dead_letters.publish",
    "dead_letters.remove",
    "log.append",
    "log.count_between",
    "log.held_back",
    "log.event_at",
    "log.head",
    "log.open",
    "membership.rank",
    "reader.next",
    "reader.next_range",
    "reader.wait",
    "store.claim",
    "store.join",
    "store.transact",
    "unit.clear_failed",
    "unit.commit",
    "unit.create_state",
    "unit.dead_letter",
    "unit.first_of_stream",
    "unit.lock",
    "unit.note_tables",
    "unit.open_failures",
    "unit.own_tables",
    "unit.parked_streams",
    "unit.record_failed",
    "unit.release",
    "unit.remove_state",
    "unit.resolve_failed",
    "unit.rollback",
    "unit.rollback_to",
    "unit.savepoint",
    "unit.statement_timeout",
    "unit.states",
];

/// On which side of a call a point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The call has not been made.
    Before,
    /// The call was made and succeeded; its answer is not yet given.
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    call: &'static str,
    side: Side,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(f, "{}:{side}", self.call)
    }
}

/// Faults at numbered or named points; shared by the ports that it is given to. Points are numbered from 0 in
/// the order in which they are passed, and named `call:before` and `call:after`, such as `unit.commit:after`.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    crashed: watch::Sender<bool>,
    hanging: watch::Sender<usize>,
    let_go: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    passed: Vec<Point>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    at: At,
    /// Passes that are let through first.
    skip: u64,
    /// Passes that it acts on after that.
    times: u64,
    act: Act,
}

#[derive(Debug)]
enum At {
    Number(usize),
    Name(Point),
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Fail(ErrorKind),
    Hang,
    Crash,
}

impl FaultPlan {
    /// A plan without faults: it counts.
    #[must_use]
    pub fn new() -> Self {
        let shared = Shared {
            state: Mutex::default(),
            crashed: watch::Sender::new(false),
            hanging: watch::Sender::new(0),
            let_go: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A plan that crashes at the point of this number.
    #[must_use]
    pub fn crash_at(number: usize) -> Self {
        let plan = Self::new();
        plan.rule(At::Number(number), 0, 1, Act::Crash);
        plan
    }

    /// Crashes at the named point, after it was passed `skip` times.
    ///
    /// # Panics
    /// When there is no such point; so for all named points.
    pub fn crash_on(&self, point: &str, skip: u64) {
        self.rule(At::Name(named(point)), skip, 1, Act::Crash);
    }

    /// Fails the point of this number, once.
    pub fn fail_nth(&self, number: usize, kind: ErrorKind) {
        self.rule(At::Number(number), 0, 1, Act::Fail(kind));
    }

    /// Fails the named point, `times` times from now on. A failure *after* a call means that the call has
    /// taken effect and its answer is lost; for `unit.commit:after` say `OutcomeUnknown`.
    pub fn fail(&self, point: &str, times: u64, kind: ErrorKind) {
        self.rule(At::Name(named(point)), 0, times, Act::Fail(kind));
    }

    /// As [`FaultPlan::fail`], after the point was passed `skip` times.
    pub fn fail_after(&self, point: &str, skip: u64, times: u64, kind: ErrorKind) {
        self.rule(At::Name(named(point)), skip, times, Act::Fail(kind));
    }

    /// Makes the named point hang, the next time that it is reached, until [`FaultPlan::let_go`]. Dropping the call
    /// ends it, too.
    pub fn hang(&self, point: &str) {
        self.rule(At::Name(named(point)), 0, 1, Act::Hang);
    }

    /// Lets everything go on that hangs.
    pub fn let_go(&self) {
        self.shared.let_go.send_modify(|times| *times += 1);
    }

    /// Takes back all faults that have not acted yet. A crash stays a crash.
    pub fn heal(&self) {
        lock(&self.shared.state).rules.clear();
    }

    /// How many points were passed.
    #[must_use]
    pub fn points(&self) -> usize {
        lock(&self.shared.state).passed.len()
    }

    /// The names of the points that were passed, in order.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        lock(&self.shared.state).passed.iter().map(ToString::to_string).collect()
    }

    /// How often the named point was passed.
    #[must_use]
    pub fn passed(&self, point: &str) -> usize {
        let point = named(point);
        lock(&self.shared.state).passed.iter().filter(|passed| **passed == point).count()
    }

    /// Whether it has crashed.
    #[must_use]
    pub fn crashed(&self) -> bool {
        *self.shared.crashed.borrow()
    }

    /// Waits for the crash. Without an end of its own.
    pub async fn wait_crashed(&self) {
        let mut crashed = self.shared.crashed.subscribe();
        crashed.wait_for(|crashed| *crashed).await.expect("the sender is a field of self");
    }

    /// Waits until `count` calls hang or have hung. Without an end of its own.
    pub async fn wait_hanging(&self, count: usize) {
        let mut hanging = self.shared.hanging.subscribe();
        hanging.wait_for(|hanging| *hanging >= count).await.expect("the sender is a field of self");
    }

    fn rule(&self, at: At, skip: u64, times: u64, act: Act) {
        lock(&self.shared.state).rules.push(Rule { at, skip, times, act });
    }

    /// Makes a call between its two points.
    pub(super) async fn around<T>(
        &self,
        call: &'static str,
        run: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.pass(call, Side::Before).await?;
        let answer = run.await?;
        self.pass(call, Side::After).await?;
        Ok(answer)
    }

    /// Passes a point, or fails there.
    pub(super) async fn pass(&self, call: &'static str, side: Side) -> Result<(), Error> {
        let point = Point { call, side };
        match self.decide(point) {
            None => Ok(()),
            Some(Act::Fail(kind)) => Err(Error::new(kind, call).because(format!("the test failed {point}"))),
            Some(Act::Hang) => {
                let mut let_go = self.shared.let_go.subscribe();
                self.shared.hanging.send_modify(|hanging| *hanging += 1);
                let_go.changed().await.expect("the sender is a field of self");
                Ok(())
            }
            Some(Act::Crash) => {
                let lost = point == Point { call: "unit.commit", side: Side::After };
                let kind = if lost { ErrorKind::OutcomeUnknown } else { ErrorKind::Closed };
                Err(Error::new(kind, call).because(format!("the test crashed at {point}")))
            }
        }
    }

    fn decide(&self, point: Point) -> Option<Act> {
        if self.crashed() {
            return Some(Act::Fail(ErrorKind::Closed));
        }
        let mut state = lock(&self.shared.state);
        let number = state.passed.len();
        state.passed.push(point);
        let mut act = None;
        for rule in &mut state.rules {
            let meant = match rule.at {
                At::Number(meant) => meant == number,
                At::Name(meant) => meant == point,
            };
            if !meant {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 && act.is_none() {
                rule.times -= 1;
                act = Some(rule.act);
            }
        }
        if matches!(act, Some(Act::Crash)) {
            self.shared.crashed.send_replace(true);
        }
        act
    }
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::new()
    }
}

/// A misspelled point would never fail, and neither would its test.
fn named(point: &str) -> Point {
    let found = point.rsplit_once(':').and_then(|(call, side)| {
        let side = match side {
            "before" => Side::Before,
            "after" => Side::After,
            _ => return None,
        };
        CALLS.into_iter().find(|known| *known == call).map(|call| Point { call, side })
    });
    found.unwrap_or_else(|| {
        panic!("`{point}` is no point: write call:before or call:after, with a call of {CALLS:?}")
    })
}
