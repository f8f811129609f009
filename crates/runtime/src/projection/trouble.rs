//! Waiting for surroundings that are in trouble: by the backoff, told to whoever watches, ended by a stop.

use std::time::Duration;

use highwater_core::policy::{Ended, Next, next};
use highwater_core::ports::{ReadModelStore, Seen};
use highwater_core::{Error, ErrorKind};
use tokio_util::sync::CancellationToken;

use super::runner::Runner;
use super::status::Phase;

/// Waiting for surroundings that are in trouble.
pub(super) struct Trouble<'r, S: ReadModelStore> {
    pub(super) runner: &'r Runner<S>,
    pub(super) stop: &'r CancellationToken,
}

impl<S: ReadModelStore> Trouble<'_, S> {
    /// Waits by the backoff; false if it was asked to stop meanwhile.
    pub(super) async fn wait_out(&self, error: &Error, attempt: &mut u32) -> bool {
        let environment = &self.runner.environment;
        let settings = &self.runner.definition.settings;
        let name = &self.runner.definition.name;
        let ended = if error.kind() == ErrorKind::Contention {
            Ended::Contended
        } else {
            Ended::Failed { attempt: *attempt }
        };
        *attempt = attempt.saturating_add(1);
        let pause =
            match next(ended, settings.poll_interval, &settings.backoff(), environment.jitter.next_u64()) {
                Next::AtOnce => Duration::ZERO,
                Next::WaitForEvents(pause) | Next::Pause(pause) => pause,
            };
        let seen = Seen::Retrying { error, after: pause, attempt: *attempt };
        environment.observer.seen(name, &seen);
        let reason = error.chain();
        self.runner.status.update(|status| status.last_error = Some(reason.clone()));
        if *attempt > settings.max_failures {
            self.stalled(reason);
        }
        self.pause(pause).await
    }

    /// Says that it waits, with the position kept.
    pub(super) fn stalled(&self, reason: String) {
        let observer = &self.runner.environment.observer;
        if !matches!(self.runner.status.get().phase, Phase::Stalled { .. }) {
            observer.seen(&self.runner.definition.name, &Seen::Stalled { reason: &reason });
        }
        self.runner.status.phase(Phase::Stalled { reason });
    }

    /// Waits; false if it was asked to stop meanwhile.
    pub(super) async fn pause(&self, duration: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = self.runner.environment.clock.sleep(duration) => true,
        }
    }
}
