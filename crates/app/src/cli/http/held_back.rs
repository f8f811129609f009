//! For how long something has kept readers of the log from going on, as this process has seen it.
//!
//! Lag and readiness are measured against what may be read, so that behind an appender that does not end all seems to
//! be well. And how long its transaction has been open a server tells only those who may know. So a process that is
//! probed looks for itself, now and then: what it has seen standing in the same place for some time is worth a line.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use highwater_core::model::Position;
use highwater_core::ports::{Clock, EventLog, HeldBack, Moment};

/// How often it is looked for. Whoever probes asks only what was seen then, and never waits for a database.
const EVERY: Duration = Duration::from_secs(5);
/// What is over sooner is the ordinary course of things: an import that commits.
const WORTH_SAYING: Duration = Duration::from_secs(5);
/// What is seen for the first time has lasted for some time: any is better than none.
const AT_LEAST: Duration = Duration::from_millis(1);

/// What was seen last.
pub(super) struct HeldBackWatch {
    clock: Arc<dyn Clock>,
    seen: Mutex<Option<Seen>>,
}

struct Seen {
    held: HeldBack,
    since: Moment,
}

/// What a prober is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Held {
    /// The position behind which readers wait.
    position: Position,
    seconds: u64,
    /// Who keeps them there, for a person.
    holder: String,
}

impl HeldBackWatch {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, seen: Mutex::new(None) }
    }

    /// Looks until `stop`. A log that cannot be asked leaves what was known: its runners say that it is away.
    pub(super) async fn look(&self, log: &dyn EventLog, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                found = log.held_back() => match found {
                    Ok(found) => drop(self.note(found)),
                    Err(error) => {
                        tracing::debug!(error = error.chain(), "it is not known whether readers are held back");
                    }
                },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(EVERY) => {}
            }
        }
    }

    /// Notes what the log has answered; for how long it has been so, `None` where nobody is held back.
    pub(super) fn note(&self, found: Option<HeldBack>) -> Option<Duration> {
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.take();
        *seen = found.map(|held| {
            // In another place it is another one: those who end let readers go on.
            let same = before.filter(|before| before.held.position == held.position);
            Seen { since: same.map_or(now, |before| before.since), held }
        });
        seen.as_ref().map(|seen| seen.age(now))
    }

    /// What is worth saying.
    pub(super) fn for_long(&self) -> Option<Held> {
        let now = self.clock.now();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let long = seen.as_ref().filter(|seen| seen.age(now) >= WORTH_SAYING)?;
        Some(Held {
            position: long.held.position,
            seconds: long.age(now).as_secs(),
            holder: long.held.holder.clone(),
        })
    }
}

impl Seen {
    /// As the log says, and at least as it was seen.
    fn age(&self, now: Moment) -> Duration {
        self.held.age.unwrap_or_default().max(now.since(self.since)).max(AT_LEAST)
    }
}

#[cfg(test)]
mod tests {
    use highwater::TokioClock;

    use super::*;

    fn held(position: u64, age: Option<u64>) -> Option<HeldBack> {
        Some(HeldBack {
            position: Position::new(position, 0),
            age: age.map(Duration::from_secs),
            holder: "server process 7".to_owned(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn e_25_what_holds_readers_back_ages_by_what_was_seen_where_the_log_is_not_told() {
        let clock = Arc::new(TokioClock::new());
        let seen = HeldBackWatch::new(clock.clone());
        assert_eq!(seen.note(None), None);
        assert_eq!(seen.note(held(4, None)), Some(AT_LEAST));
        assert_eq!(seen.for_long(), None);
        clock.sleep(Duration::from_secs(7)).await;
        let long = Held { position: Position::new(4, 0), seconds: 7, holder: "server process 7".to_owned() };
        assert_eq!(seen.for_long(), Some(long), "without another look");
        assert_eq!(seen.note(held(4, None)), Some(Duration::from_secs(7)));
        assert_eq!(seen.note(held(5, None)), Some(AT_LEAST), "another one");
        assert_eq!(seen.for_long(), None);
        assert_eq!(seen.note(held(5, Some(60))), Some(Duration::from_secs(60)), "the log knows better");
        assert_eq!(seen.for_long().map(|held| held.seconds), Some(60));
        assert_eq!(seen.note(None), None);
        assert_eq!(seen.for_long(), None);
    }
}
