//! Metrics in Prometheus' text form.

use highwater_core::Error;
use highwater_runtime::telemetry::{handler_metric, metric};
use metrics::{counter, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::held_back::HeldBackWatch;
use super::server::Probed;
use crate::cli::error::CliError;
use crate::cli::lag::{Head, failed, lag};

/// How long batches take, in seconds: from one flight to the default deadline.
const BATCH_SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// Where this process counts.
pub(crate) struct Recorder(PrometheusHandle);

impl Recorder {
    /// Installs it; before that, nothing is counted.
    ///
    /// # Errors
    /// When one is installed already.
    pub(crate) fn install() -> Result<Self, CliError> {
        let of_batches = Matcher::Full(metric::BATCH_SECONDS.to_owned());
        let installed = PrometheusBuilder::new()
            .set_buckets_for_metric(of_batches, &BATCH_SECONDS)
            .and_then(PrometheusBuilder::install_recorder);
        installed
            .map(Self)
            .map_err(|error| CliError::failed("install the recorder of metrics".to_owned()).because(&error))
    }

    /// All metrics, with what has to be asked for at the moment.
    pub(super) async fn scrape(&self, probed: &Probed, held_back: &HeldBackWatch) -> Result<String, Error> {
        let head = Head::of(&*probed.log).await?;
        let held_for = held_back.note(probed.log.held_back().await?).unwrap_or_default();
        gauge!(metric::LOG_HELD_BACK_SECONDS).set(held_for.as_secs_f64());
        if let Some(collisions) = (probed.key_collisions)() {
            counter!(metric::KEY_COLLISIONS).absolute(collisions);
        }
        for state in probed.control.states().await? {
            let Some(filter) = probed.filter_of(&state.key) else { continue };
            let labels =
                [("projection", state.key.name.to_string()), ("partition", state.key.partition.to_string())];
            let last_time = state.last.as_ref().map(|last| last.time_micros);
            let lag = lag(&*probed.log, &head, state.scanned, last_time, Some(&filter)).await?;
            for (name, value) in [
                (metric::LAG_EVENTS, lag.lag_events),
                (metric::LAG_POSITIONS, lag.lag_positions),
                (metric::LAG_SECONDS, lag.lag_seconds),
            ] {
                if let Some(value) = value {
                    gauge!(name, &labels).set(approximate(value));
                }
            }
            let failed = failed(&*probed.control, &state.key).await?;
            for (name, value) in [
                ("retrying", failed.retrying),
                ("parked", failed.parked),
                ("held", failed.held),
                ("recorded", failed.recorded),
            ] {
                let [projection, partition] = labels.clone();
                gauge!(metric::FAILED_EVENTS, &[projection, partition, ("state", name.to_owned())])
                    .set(approximate(value));
            }
        }
        for (status, lag) in probed.handler_lags().await? {
            let label = [("group", status.group.to_string())];
            let Some(lag) = lag else { continue };
            for (name, value) in [
                (handler_metric::LAG_EVENTS, lag.lag_events),
                (handler_metric::LAG_POSITIONS, lag.lag_positions),
                (handler_metric::LAG_SECONDS, lag.lag_seconds),
            ] {
                if let Some(value) = value {
                    gauge!(name, &label).set(approximate(value));
                }
            }
        }
        self.0.run_upkeep();
        Ok(self.0.render())
    }
}

/// A number for a chart; positions themselves never pass through here.
fn approximate(number: u64) -> f64 {
    // Exact up to 2^32, which no chart tells apart from more.
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
