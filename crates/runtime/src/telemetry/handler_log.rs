//! What happens to at-least-once runners, as log lines.
//!
//! Repetition is kept down: equal failures of a group are logged at most once in five seconds, with the
//! number of times that they were left out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use highwater_core::model::{Position, correlation_id};
use highwater_core::ports::{
    Clock, HandlerAttempt, HandlerLetter, HandlerObserver, HandlerSeen, HandlerTotals, Moment,
};
use tracing::{debug, error, info, warn};

/// The target of all lines.
const TARGET: &str = "highwater";
/// Equal lines are logged at most this often for one group.
const REPEATED_EVERY: Duration = Duration::from_secs(5);

/// Logs with `tracing`, under the target `highwater`; each line has the field `group`.
pub struct HandlerLog {
    clock: Arc<dyn Clock>,
    quiet: Mutex<HashMap<String, Quiet>>,
}

/// The last trouble of a group, and how often it was left out since it was logged.
struct Quiet {
    text: String,
    at: Moment,
    left_out: u64,
}

impl HandlerLog {
    /// Logs; `clock` limits the rate.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, quiet: Mutex::default() }
    }

    /// How many equal lines were left out, if this one is to be logged.
    fn admit(&self, group: &str, text: &str) -> Option<u64> {
        let now = self.clock.now();
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        match quiet.get_mut(group) {
            Some(last) if last.text == text && now.since(last.at) < REPEATED_EVERY => {
                last.left_out += 1;
                None
            }
            Some(last) => {
                (last.text, last.at) = (text.to_owned(), now);
                Some(std::mem::take(&mut last.left_out))
            }
            None => {
                let fresh = Quiet { text: text.to_owned(), at: now, left_out: 0 };
                quiet.insert(group.to_owned(), fresh);
                Some(0)
            }
        }
    }

    fn failed(&self, group: &str, attempt: &HandlerAttempt<'_>) {
        let Some(left_out) = self.admit(group, attempt.message) else { return };
        let event = attempt.event;
        warn!(
            target: TARGET,
            group,
            class = attempt.decided.class.as_str(),
            attempts = attempt.attempts,
            position = %event.position(),
            event_type = event.event_type(),
            event_id = %event.id(),
            stream = event.stream(),
            code = attempt.decided.code.as_deref(),
            correlation_id = correlation_id(event.metadata()),
            again_in_millis = attempt.again_in.map(millis),
            left_out,
            "event failed: {}",
            attempt.message
        );
    }
}

/// An event that is set aside: not once in a while but each.
fn set_aside(group: &str, letter: &HandlerLetter, what: &str) {
    let event = &letter.event;
    warn!(
        target: TARGET,
        group,
        class = letter.class.as_str(),
        attempts = letter.attempts,
        position = %event.position(),
        event_type = event.event_type(),
        event_id = %event.id(),
        stream = event.stream(),
        correlation_id = correlation_id(event.metadata()),
        "{what}: {}",
        letter.message
    );
}

impl HandlerObserver for HandlerLog {
    fn seen(&self, group: &str, what: &HandlerSeen<'_>) {
        match what {
            HandlerSeen::AlreadyRunning => {
                warn!(target: TARGET, group, "this group runs in this process already; a second start was refused")
            }
            HandlerSeen::StandingBy { owner } => {
                info!(target: TARGET, group, owner, "another process runs this group; standing by")
            }
            HandlerSeen::Started { epoch, generation, after } => {
                info!(target: TARGET, group, epoch, generation, after = text(*after), "handler started");
            }
            HandlerSeen::Flushed { position } => {
                debug!(target: TARGET, group, %position, "checkpoint stored")
            }
            HandlerSeen::Progress { totals, position, per_second } => {
                let HandlerTotals { processed, errors, dead_lettered, skipped, duplicates } = *totals;
                info!(
                    target: TARGET,
                    group,
                    processed,
                    errors,
                    dead_lettered,
                    skipped,
                    duplicates,
                    position = text(*position),
                    per_second,
                    "handler progress"
                );
            }
            HandlerSeen::AttemptFailed(attempt) => self.failed(group, attempt),
            HandlerSeen::CallFailed { events, message } => {
                if let Some(left_out) = self.admit(group, message) {
                    warn!(
                        target: TARGET,
                        group,
                        events,
                        left_out,
                        "a call with several events failed; they are given again one by one: {message}"
                    );
                }
            }
            HandlerSeen::EventRecovered { event, failed } => {
                let position = event.position();
                info!(target: TARGET, group, %position, failed, "an event that had failed was handled");
            }
            HandlerSeen::DeadLettered(letter) => set_aside(group, letter, "event dead-lettered"),
            HandlerSeen::Skipped(letter) => set_aside(group, letter, "event left out"),
            HandlerSeen::LetterFailed { letter, error, after, attempt } => {
                let why = error.chain();
                if let Some(left_out) = self.admit(group, &why) {
                    let (position, millis) = (letter.event.position(), millis(*after));
                    warn!(
                        target: TARGET,
                        group,
                        %position,
                        attempt,
                        millis,
                        left_out,
                        "a dead letter was not taken, and its event is not settled: {why}"
                    );
                }
            }
            HandlerSeen::Retrying { error, after, attempt } => {
                let why = error.chain();
                if let Some(left_out) = self.admit(group, &why) {
                    let millis = millis(*after);
                    warn!(target: TARGET, group, attempt, millis, left_out, "handler will try again: {why}");
                }
            }
            HandlerSeen::BreakerOpened { probe_in } => {
                let millis = millis(*probe_in);
                error!(
                    target: TARGET,
                    group,
                    millis,
                    "circuit breaker opened: the other side does not answer the handler and is left alone for a while"
                );
            }
            HandlerSeen::BreakerClosed => info!(target: TARGET, group, "circuit breaker closed"),
            HandlerSeen::Stalled { reason } => {
                error!(target: TARGET, group, "handler stalled, position kept: {reason}")
            }
            HandlerSeen::Healed => info!(target: TARGET, group, "handler healed"),
            HandlerSeen::CaughtUp { position } => {
                info!(target: TARGET, group, position = text(*position), "handler caught up")
            }
            HandlerSeen::Paused => info!(target: TARGET, group, "handler paused"),
            HandlerSeen::Resumed => info!(target: TARGET, group, "handler resumed"),
            HandlerSeen::LostOwnership => {
                warn!(target: TARGET, group, "another process has taken over, or the checkpoint was reset; claiming again")
            }
            HandlerSeen::CheckpointMoved => {
                warn!(target: TARGET, group, "an operator has moved the checkpoint forward; going on from there")
            }
            HandlerSeen::StopRequested => info!(target: TARGET, group, "handler stop requested"),
            HandlerSeen::Completed { totals, position, took, per_second } => {
                let HandlerTotals { processed, errors, dead_lettered, skipped, duplicates } = *totals;
                let millis = millis(*took);
                info!(
                    target: TARGET,
                    group,
                    processed,
                    errors,
                    dead_lettered,
                    skipped,
                    duplicates,
                    position = text(*position),
                    millis,
                    per_second,
                    "handler completed"
                );
            }
            HandlerSeen::Faulted { reason } => error!(target: TARGET, group, "handler faulted: {reason}"),
            HandlerSeen::Settled(_) | HandlerSeen::Heartbeat => {}
            other => debug!(target: TARGET, group, ?other, "seen"),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn text(position: Option<Position>) -> String {
    position.map_or_else(|| "-".to_owned(), |position| position.to_string())
}
