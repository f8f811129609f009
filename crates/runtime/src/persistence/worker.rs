//! The task that flushes: one call at a time, and the next at once while keys are due.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use highwater_core::Failure;
use highwater_core::breaker::{BreakerState, HeldPermit};
use highwater_core::policy::Backoff;
use highwater_core::ports::{Moment, PersistenceSeen};

use crate::persistence::flight::{Flight, Landed, Outcome};
use crate::persistence::shared::Shared;
use crate::persistence::state::{Load, Next};

/// A worker that panicked is started again after at least this long.
const RESTART: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(30) };

/// Runs until a stop is asked for, then flushes once more. A panic loses nothing: the keys are in the shared
/// state, and the worker begins again.
pub(super) async fn run(shared: Arc<Shared>) {
    let end = End(&shared);
    let mut restarts = 0;
    while let Err(panic) = AssertUnwindSafe(live(&shared)).catch_unwind().await {
        let reason = Failure::panicked(&*panic).message();
        let last_pass = {
            let mut state = shared.lock();
            state.panic = Some(reason.clone());
            state.is_last_pass()
        };
        shared.tell(&PersistenceSeen::WorkerPanicked { reason: &reason });
        if last_pass {
            break;
        }
        let wait = RESTART.delay(restarts, shared.jitter.next_u64());
        restarts = restarts.saturating_add(1);
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => {}
            () = shared.clock.sleep(wait) => {}
        }
    }
    shared.stopped();
    drop(end);
}

/// However the task ends, those who wait for it learn it.
struct End<'s>(&'s Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.announce();
    }
}

async fn live(shared: &Shared) {
    shared.tell(&PersistenceSeen::Started);
    while !shared.stop.is_cancelled() {
        match next(shared) {
            Step::Call(flight, permit) => call(shared, flight, permit).await,
            Step::Wait(until) => wait(shared, until).await,
            Step::Done => break,
        }
    }
    if !shared.lock().begin_last_pass() {
        return;
    }
    while let Step::Call(flight, permit) = next(shared) {
        call(shared, flight, permit).await;
    }
}

enum Step<'s> {
    /// Without a permit where a forced flush ignores the open breaker.
    Call(Aboard<'s>, Option<HeldPermit>),
    Wait(Option<Moment>),
    Done,
}

fn next(shared: &Shared) -> Step<'_> {
    let now = shared.clock.now();
    let decided = shared.lock().next(now);
    match decided {
        Next::Wait(until) => return Step::Wait(until),
        Next::Done => return Step::Done,
        Next::Call => {}
    }
    let wall_micros = shared.clock.wall_micros();
    let take_off = |load| {
        let flight = shared.lock().take_off(load, now, wall_micros)?;
        Some(Aboard { shared, flight: Some(flight) })
    };
    match shared.breaker.admit(now) {
        Ok((permit, change)) => {
            shared.tell_change(change);
            let probes = shared.breaker.snapshot(now).state == BreakerState::HalfOpen;
            match take_off(if probes { Load::Probe } else { Load::Usual }) {
                Some(flight) => Step::Call(flight, Some(permit)),
                None => Step::Wait(Some(now)),
            }
        }
        Err(refused) => match take_off(Load::Insisting) {
            Some(flight) => Step::Call(flight, None),
            None if shared.stop.is_cancelled() => Step::Done,
            // The probe that it would wait for is a call of this very task, so the second case cannot be.
            None => Step::Wait(Some(now + refused.retry_in.unwrap_or(RESTART.cap))),
        },
    }
}

async fn wait(shared: &Shared, until: Option<Moment>) {
    let rest = async {
        match until {
            Some(until) => shared.clock.sleep(until.since(shared.clock.now())).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => {}
        () = shared.wake.notified() => {}
        () = rest => {}
    }
}

async fn call(shared: &Shared, aboard: Aboard<'_>, permit: Option<HeldPermit>) {
    let keys: Vec<String> = aboard.keys();
    let timeout = shared.lock().settings.operation_timeout;
    // What the target itself does in its panic is its own affair: each key is written or it is not.
    let persist = AssertUnwindSafe(async { shared.target.persist(&keys).await }).catch_unwind();
    let outcome = tokio::select! {
        biased;
        returned = persist => Outcome::of(returned, keys.len()),
        () = shared.clock.sleep(timeout) => Outcome::TimedOut { after: timeout },
        // A cancelled call says nothing about the target: the permit is dropped with this future's frame.
        () = out_of_time(shared) => return,
    };
    land(shared, aboard, outcome, permit);
}

/// Ends when a stop was asked for and its time is over.
async fn out_of_time(shared: &Shared) {
    shared.stop.cancelled().await;
    let rest = shared.lock().time_to_stop(shared.clock.now());
    shared.clock.sleep(rest).await;
}

fn land(shared: &Shared, mut aboard: Aboard<'_>, outcome: Outcome, permit: Option<HeldPermit>) {
    let Some(flight) = aboard.flight.take() else { return };
    let (now, wall_micros) = (shared.clock.now(), shared.clock.wall_micros());
    let answered = outcome.answered();
    let landed = shared.lock().land(flight, outcome, (now, wall_micros), || shared.jitter.next_u64());
    let change = permit.and_then(|permit| permit.settle(answered, now));
    shared.announce();
    match &landed {
        Landed::Answered { flushed, refused, took, pending } => {
            for (key, error, attempts) in refused {
                shared.tell(&PersistenceSeen::KeyFailed { key, error, attempts: *attempts });
            }
            let failed = refused.len();
            shared.tell(&PersistenceSeen::Flushed {
                flushed: *flushed,
                failed,
                took: *took,
                pending: *pending,
            });
        }
        Landed::Failed { keys, error, took } => {
            shared.tell(&PersistenceSeen::CallFailed { keys: *keys, error, took: *took });
        }
        Landed::TimedOut { keys, after } => {
            shared.tell(&PersistenceSeen::CallTimedOut { keys: *keys, after: *after });
        }
    }
    shared.tell_change(change);
}

/// A call on its way: if it does not land (its task panicked or was dropped), its keys are dirty as before.
struct Aboard<'s> {
    shared: &'s Shared,
    flight: Option<Flight>,
}

impl Aboard<'_> {
    fn keys(&self) -> Vec<String> {
        self.flight.iter().flat_map(|flight| &flight.keys).map(ToString::to_string).collect()
    }
}

impl Drop for Aboard<'_> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.shared.lock().give_up(&flight);
            self.shared.announce();
        }
    }
}
