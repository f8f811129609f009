//! Forcing a flush, and waiting for it.

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Retry};

use crate::persistence::shared::Shared;
use crate::persistence::state::State;
use crate::persistence::{ForceReport, Persistence};

impl Persistence {
    /// Flushes what is dirty now, all of it or those of `keys` that are, and waits for it, up to `deadline`
    /// (`None` = `force_persistence_timeout`). Keys that rest are tried, too. Dropping the future, or the end
    /// of its time, cancels neither the calls nor anybody else's wait.
    ///
    /// A key is tried once; only keys whose call timed out are tried again, in halves, while there is time.
    ///
    /// # Errors
    /// `CircuitOpen` while the circuit breaker is open; with `ignore_open_breaker` the keys are tried all the
    /// same, and the breaker learns nothing from it. `Closed` once a shutdown was asked for. What happens to
    /// single keys is in the report, also where the breaker opens on the way.
    pub async fn force(
        &self,
        deadline: Option<Duration>,
        keys: Option<&[String]>,
        ignore_open_breaker: bool,
    ) -> Result<ForceReport, Error> {
        let operation = "force the dirty keys to be written";
        let now = self.shared.clock.now();
        let refuses_for = || self.shared.breaker.snapshot(self.shared.clock.now()).refuses_for;
        let refused = if ignore_open_breaker { Duration::ZERO } else { refuses_for() };
        let mut progress = self.shared.progress.subscribe();
        let (ticket, deadline) = {
            let mut state = self.shared.lock();
            if state.is_closed() {
                drop(state);
                return Err(self.closed(operation));
            }
            let dirty = state.dirty(keys);
            if dirty.is_empty() {
                return Ok(ForceReport::default());
            }
            if !refused.is_zero() {
                drop(state);
                let why =
                    "the circuit breaker is open, since the target did not answer: wait, or reset it by hand";
                let error = Error::new(ErrorKind::CircuitOpen, operation).with("target", &self.shared.name);
                return Err(error.because(why).retry(Retry::After(refused)));
            }
            let number = state.force(dirty, ignore_open_breaker, now);
            let deadline = deadline.unwrap_or(state.settings.force_persistence_timeout);
            (Ticket { shared: &self.shared, number }, deadline)
        };
        self.shared.wake.notify_one();
        let mut expired = self.shared.clock.sleep(deadline);
        loop {
            if ticket.is_done() || (!ignore_open_breaker && !refuses_for().is_zero()) {
                return Ok(ticket.close());
            }
            tokio::select! {
                biased;
                _sender_is_ours = progress.changed() => {}
                () = &mut expired => return Ok(ticket.close()),
            }
        }
    }
}

/// A forced flush that is waited for; dropped, it is no longer.
struct Ticket<'s> {
    shared: &'s Shared,
    number: u64,
}

impl Ticket<'_> {
    /// All its keys are crossed off, or the worker has ended.
    fn is_done(&self) -> bool {
        let state = self.shared.lock();
        state.forces.is_done(self.number) || state.ended
    }

    fn close(&self) -> ForceReport {
        let mut state = self.shared.lock();
        let State { queue, forces, .. } = &mut *state;
        // It is closed once: dropping it afterwards finds nothing.
        forces.close(self.number, |key| queue.is_flying(key)).unwrap_or_default()
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.close();
    }
}
