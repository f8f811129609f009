//! What users of a persistence worker hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::ports::{PersistTarget, PersistenceObserver, PersistenceSeen};
use highwater_core::settings::{PersistenceSettings, Violation};
use highwater_core::{Error, ErrorKind};

use crate::environment::Environment;
use crate::persistence::PersistenceStats;
use crate::persistence::queue::Key;
use crate::persistence::shared::Shared;
use crate::persistence::shutdown::LastHandle;
use crate::persistence::state::{NotMarked, State};
use crate::persistence::worker;

/// A handle of the worker of one target; clones are of the same worker.
///
/// Dropping the last handle asks the worker to stop, as [`Persistence::shutdown`] does, but nobody hears the
/// report except the observer.
#[derive(Clone)]
pub struct Persistence {
    pub(super) shared: Arc<Shared>,
    _last: Arc<LastHandle>,
}

impl Persistence {
    /// Starts a worker on the present tokio runtime. `target_name` is for people: logs, metrics, errors.
    ///
    /// Of the environment it takes time and chance.
    ///
    /// # Errors
    /// `Invalid`, naming all violations, if the settings do not pass [`PersistenceSettings::validate`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        target_name: impl Into<String>,
        target: Arc<dyn PersistTarget>,
        settings: PersistenceSettings,
        environment: &Environment,
        observer: Arc<dyn PersistenceObserver>,
    ) -> Result<Self, Error> {
        let name = target_name.into();
        settings.validate().map_err(|violations| invalid(&name, &violations))?;
        let (clock, jitter) = (environment.clock.clone(), environment.jitter.clone());
        let state = State::new(settings, clock.now(), jitter.next_u64());
        let shared = Arc::new(Shared::new(name, target, (clock, jitter), observer, state));
        tokio::spawn(worker::run(shared.clone()));
        Ok(Self { _last: Arc::new(LastHandle::new(shared.clone())), shared })
    }

    /// Marks a key as dirty: its value as of now is written in the next pass, at the latest
    /// `persistence_interval` after the end of the present one. Marks of one key coalesce. Returns at once.
    ///
    /// # Errors
    /// `Backpressure` if the key is not dirty yet and `max_pending` others are; nothing was marked then, and
    /// what waits is flushed at once. `Closed` once a shutdown was asked for.
    pub fn request(&self, key: &str) -> Result<(), Error> {
        self.mark(key, false)
    }

    /// As [`Persistence::request`], and the key goes out in the next call, without waiting for a pass.
    ///
    /// A key that rests after failures of its own goes on resting: else a bad key would be tried with every
    /// mark.
    ///
    /// # Errors
    /// As [`Persistence::request`].
    pub fn request_now(&self, key: &str) -> Result<(), Error> {
        self.mark(key, true)
    }

    /// As [`Persistence::request`], waiting up to `deadline` for a place. Dropping the future marks nothing.
    ///
    /// # Errors
    /// `Backpressure` if there was no place in time, `Closed` once a shutdown was asked for.
    pub async fn request_within(&self, key: &str, deadline: Duration) -> Result<(), Error> {
        let mut progress = self.shared.progress.subscribe();
        let mut expired = self.shared.clock.sleep(deadline);
        loop {
            match self.try_mark(key, false) {
                Err(NotMarked::Full) => {}
                Err(NotMarked::Closed) => return Err(self.closed("mark a key as dirty")),
                Ok(()) => return Ok(()),
            }
            tokio::select! {
                biased;
                _sender_is_ours = progress.changed() => {}
                () = &mut expired => return Err(self.refuse(key)),
            }
        }
    }

    /// Waits until the value that the key had at this call is durable; the mark must have been made before.
    /// It does not hurry anything: for that, mark with [`Persistence::request_now`]. A key that is not dirty
    /// is durable.
    ///
    /// # Errors
    /// `Closed` if the worker ends before: the key is in the residue then.
    pub fn flushed(&self, key: &str) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let mark = self.shared.lock().queue.mark_of(key);
        let (key, handle) = (Key::from(key), self.shared.clone());
        async move {
            let Some(mark) = mark else { return Ok(()) };
            let mut progress = handle.progress.subscribe();
            loop {
                {
                    let state = handle.lock();
                    if state.queue.is_durable(&key, mark) {
                        return Ok(());
                    }
                    if state.ended {
                        return Err(closed(&handle.name, "wait for a key to be durable").with("key", &key));
                    }
                }
                // The sender is a field of what this future holds, so it cannot have gone.
                if progress.changed().await.is_err() {
                    return Err(closed(&handle.name, "wait for a key to be durable").with("key", &key));
                }
            }
        }
    }

    /// What the worker has done so far. Never waits for a call of the target.
    #[must_use]
    pub fn stats(&self) -> PersistenceStats {
        let now = self.shared.clock.now();
        let breaker = self.shared.breaker.snapshot(now);
        let state = self.shared.lock();
        let dirty = (state.queue.len(), state.queue.oldest());
        state.tally.stats(&self.shared.name, breaker, dirty, (self.shared.began, now))
    }

    /// Closes the circuit breaker by hand, for whoever knows that the target is well again; its trips stay
    /// counted. Keys that are due, and those that rest, are tried at once.
    pub fn reset_circuit_breaker(&self) {
        let change = self.shared.breaker.reset();
        self.shared.lock().recover(self.shared.clock.now());
        self.shared.wake.notify_one();
        self.shared.announce();
        self.shared.tell_change(change);
    }

    /// Other settings, from now on and until the program is started again: for the next call, the next pass
    /// (which comes no later than under the old interval), and the breaker's present state. Dirty keys beyond
    /// a smaller `max_pending` stay.
    ///
    /// # Errors
    /// `Invalid`, naming all violations; the old settings go on then.
    pub fn reconfigure(&self, settings: PersistenceSettings) -> Result<(), Error> {
        settings.validate().map_err(|violations| invalid(&self.shared.name, &violations))?;
        let max_pending = settings.max_pending;
        self.shared.breaker.configure(settings.breaker());
        let nearly_full = self.shared.lock().configure(settings, self.shared.clock.now());
        self.shared.wake.notify_one();
        // There may be room now for those who wait for it.
        self.shared.announce();
        self.shared.tell(&PersistenceSeen::Reconfigured);
        self.tell_nearly_full(nearly_full, max_pending);
        Ok(())
    }

    /// The present settings.
    #[must_use]
    pub fn settings(&self) -> PersistenceSettings {
        self.shared.lock().settings.clone()
    }

    fn mark(&self, key: &str, due: bool) -> Result<(), Error> {
        self.try_mark(key, due).map_err(|refused| match refused {
            NotMarked::Full => self.refuse(key),
            NotMarked::Closed => self.closed("mark a key as dirty").with("key", key),
        })
    }

    fn try_mark(&self, key: &str, due: bool) -> Result<(), NotMarked> {
        let now = self.shared.clock.now();
        let (marked, max_pending) = {
            let mut state = self.shared.lock();
            (state.mark(key, due, now), state.settings.max_pending)
        };
        match marked {
            Ok(marked) => {
                if marked.wake {
                    self.shared.wake.notify_one();
                }
                self.tell_nearly_full(marked.nearly_full, max_pending);
                Ok(())
            }
            Err(refused) => {
                self.shared.wake.notify_one();
                Err(refused)
            }
        }
    }

    /// Nobody but the caller has a say in whether a key found no place for good, so it is counted here.
    fn refuse(&self, key: &str) -> Error {
        let max_pending = {
            let mut state = self.shared.lock();
            state.tally.refused += 1;
            state.settings.max_pending
        };
        self.shared.tell(&PersistenceSeen::Refused { max_pending });
        let why =
            format!("{max_pending} keys are dirty already: wait for some of them, or raise `max_pending`");
        Error::new(ErrorKind::Backpressure, "mark a key as dirty")
            .with("target", &self.shared.name)
            .with("key", key)
            .because(why)
    }

    fn tell_nearly_full(&self, pending: Option<usize>, max_pending: usize) {
        if let Some(pending) = pending {
            self.shared.tell(&PersistenceSeen::NearlyFull { pending, max_pending });
        }
    }

    pub(super) fn closed(&self, operation: &'static str) -> Error {
        closed(&self.shared.name, operation)
    }
}

impl fmt::Debug for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Persistence").field("target", &self.shared.name).finish_non_exhaustive()
    }
}

fn closed(target: &str, operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation)
        .with("target", target)
        .because("the persistence worker has stopped, or was asked to")
}

fn invalid(target: &str, violations: &[Violation]) -> Error {
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Error::new(ErrorKind::Invalid, "set up a persistence worker")
        .with("target", target)
        .because(all.join("; "))
}
