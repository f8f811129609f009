//! Metrics in Prometheus' text form.

use highwater_core::Error;
use highwater_runtime::telemetry::metric;
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

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
    pub(super) async fn scrape(&self, probed: &Probed) -> Result<String, Error> {
        let head = Head::of(&*probed.log).await?;
        match probed.log.held_back().await? {
            None => gauge!(metric::LOG_HELD_BACK_SECONDS).set(0.0),
            // It is held back for some time, which is not known: any is better than none.
            Some(held) => {
                gauge!(metric::LOG_HELD_BACK_SECONDS).set(held.age.map_or(1.0, |age| age.as_secs_f64()));
            }
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
        self.0.run_upkeep();
        Ok(self.0.render())
    }
}

/// A number for a chart; positions themselves never pass through here.
fn approximate(number: u64) -> f64 {
    // Exact up to 2^32, which no chart tells apart from more.
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
