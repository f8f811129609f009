//! The endpoints.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use highwater::compose::HandlerSpec;
use highwater::{CatchUpStatus, CheckpointControl, ProjectionSpec, ProjectionStatus, StatusWatch};
use highwater_core::Error;
use highwater_core::model::{Filter, ProjectionKey};
use highwater_core::ports::{EventLog, ProjectionControl};

use super::control;
use super::health::{self, Health};
use super::held_back::HeldBackWatch;
use super::scrape::Recorder;
use crate::cli::error::CliError;
use crate::cli::lag::{Head, Lag, lag};
use crate::cli::watcher::Watcher;

/// Beyond its batch deadline, a loop that has not come round for so long is dead.
const GRACE: Duration = Duration::from_secs(60);

/// What is asked about.
pub(crate) struct Probed {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) control: Arc<dyn ProjectionControl>,
    pub(crate) watch: StatusWatch,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) specs: Vec<ProjectionSpec>,
    pub(crate) handlers: Vec<HandlerSpec>,
    /// The checkpoints of the handlers, where there are any.
    pub(crate) checkpoints: Option<CheckpointControl>,
    /// How many batches have met a lock key of theirs in somebody else's hands.
    pub(crate) key_collisions: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    pub(crate) recorder: Recorder,
}

/// What the endpoints share.
pub(super) struct Served {
    pub(super) probed: Probed,
    held_back: HeldBackWatch,
}

impl Probed {
    /// The filter of a state row of the config; `None` for others.
    pub(super) fn filter_of(&self, key: &ProjectionKey) -> Option<Filter> {
        let spec = self.specs.iter().find(|spec| spec.name == key.name && spec.version == key.version)?;
        Some(spec.filter.clone())
    }

    /// How long a loop may take to come round.
    fn patience(&self) -> Duration {
        let deadlines = self.specs.iter().map(|spec| spec.settings.batch_deadline);
        let polls = self.handlers.iter().map(|spec| spec.settings.poll_interval);
        deadlines.chain(polls).max().unwrap_or_default() + GRACE
    }

    /// Each handler of this process with its lag, where it owns its checkpoint: another's is not known here.
    pub(super) async fn handler_lags(&self) -> Result<Vec<(CatchUpStatus, Option<Lag>)>, Error> {
        let head = Head::of(&*self.log).await?;
        let mut found = Vec::new();
        for status in self.watch.handlers() {
            let spec = self.handlers.iter().find(|spec| spec.name.as_str() == &*status.group);
            let lag = match spec.filter(|_| status.epoch > 0) {
                Some(spec) => Some(lag(&*self.log, &head, status.position, None, Some(&spec.filter)).await?),
                None => None,
            };
            found.push((status, lag));
        }
        Ok(found)
    }

    /// Each handler of this process.
    fn handlers(&self) -> Vec<(CatchUpStatus, Option<Lag>)> {
        self.watch.handlers().into_iter().map(|status| (status, None)).collect()
    }

    async fn lags(&self) -> Result<Vec<(ProjectionStatus, Option<Lag>)>, Error> {
        let head = Head::of(&*self.log).await?;
        let states = self.control.states().await?;
        let mut found = Vec::new();
        for status in self.watch.get() {
            let state = states.iter().find(|state| {
                state.key.name == status.name
                    && state.key.partition == status.partition
                    && self
                        .specs
                        .iter()
                        .any(|spec| spec.name == state.key.name && spec.version == state.key.version)
            });
            let filter = state.and_then(|state| self.filter_of(&state.key));
            let lag = match (state, filter) {
                (Some(state), Some(filter)) => {
                    let last_time = state.last.as_ref().map(|last| last.time_micros);
                    Some(lag(&*self.log, &head, state.scanned, last_time, Some(&filter)).await?)
                }
                _ => None,
            };
            found.push((status, lag));
        }
        Ok(found)
    }
}

/// Listens, and answers until `stop`.
///
/// # Errors
/// When nobody can listen at this address.
pub(crate) async fn serve(
    at: SocketAddr,
    probed: Probed,
    stop: CancellationToken,
) -> Result<SocketAddr, CliError> {
    let listener = TcpListener::bind(at)
        .await
        .map_err(|error| CliError::usage(format!("listen at {at} for metrics and health")).because(&error))?;
    let bound = listener.local_addr().unwrap_or(at);
    let served = Arc::new(Served { held_back: HeldBackWatch::new(probed.watcher.clock()), probed });
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/lag", get(lags))
        .route("/breaker", get(control::breaker))
        .route("/breaker/reset", post(control::reset_breaker))
        .route("/persist", post(control::persist))
        .with_state(served.clone());
    let until = stop.clone();
    tokio::spawn(async move { served.held_back.look(&*served.probed.log, until).await });
    tokio::spawn(async move {
        let ended = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = ended {
            tracing::error!(%error, "metrics and health are no longer served");
        }
    });
    tracing::info!(address = %bound, "serving metrics and health");
    Ok(bound)
}

async fn metrics(State(served): State<Arc<Served>>) -> Response {
    match served.probed.recorder.scrape(&served.probed, &served.held_back).await {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn live(State(served): State<Arc<Served>>) -> Response {
    let probed = &served.probed;
    let beats: HashMap<String, Duration> = probed.watcher.silences();
    let beat = |status: &ProjectionStatus| beats.get(status.name.as_str()).copied();
    let of_handler = |status: &CatchUpStatus| beats.get(&*status.group).copied();
    let patience = probed.patience();
    let health = health::live(&probed.watch.get(), beat, patience);
    answer(health.and_live(&probed.watch.handlers(), of_handler, patience))
}

#[derive(Debug, Deserialize)]
struct Limits {
    max_lag_seconds: Option<u64>,
}

async fn ready(State(served): State<Arc<Served>>, Query(limits): Query<Limits>) -> Response {
    let probed = &served.probed;
    let limit = limits.max_lag_seconds;
    if limit.is_none() {
        // Not to depend on the databases, which the runners watch already.
        let projections: Vec<_> = probed.watch.get().into_iter().map(|status| (status, None)).collect();
        let health = health::ready(&projections, None).and_ready(&probed.handlers(), None);
        return answer(health.and_log(served.held_back.for_long()));
    }
    match measured(&served, limit).await {
        Ok(health) => answer(health),
        Err(error) => unavailable(&error),
    }
}

async fn lags(State(served): State<Arc<Served>>) -> Response {
    match measured(&served, None).await {
        Ok(health) => Json(health).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn measured(served: &Served, max_lag: Option<u64>) -> Result<Health, Error> {
    let Served { probed, held_back } = served;
    let health = health::ready(&probed.lags().await?, max_lag);
    Ok(health.and_ready(&probed.handler_lags().await?, max_lag).and_log(held_back.for_long()))
}

fn answer(health: Health) -> Response {
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

fn unavailable(error: &Error) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ok": false, "error": error.chain()}))).into_response()
}
