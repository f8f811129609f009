//! The endpoints.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use highwater::{ProjectionName, ProjectionSpec, ProjectionStatus, StatusWatch};
use highwater_core::Error;
use highwater_core::model::{Filter, ProjectionKey};
use highwater_core::ports::{EventLog, ProjectionControl};

use super::health::{self, Health};
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
    pub(crate) recorder: Recorder,
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
        deadlines.max().unwrap_or_default() + GRACE
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
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/lag", get(lags))
        .with_state(Arc::new(probed));
    tokio::spawn(async move {
        let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "metrics and health are no longer served");
        }
    });
    tracing::info!(address = %bound, "serving metrics and health");
    Ok(bound)
}

async fn metrics(State(probed): State<Arc<Probed>>) -> Response {
    match probed.recorder.scrape(&probed).await {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn live(State(probed): State<Arc<Probed>>) -> Response {
    let beats: HashMap<ProjectionName, Duration> = probed.watcher.silences();
    let beat = |status: &ProjectionStatus| beats.get(&status.name).copied();
    answer(health::live(&probed.watch.get(), beat, probed.patience()))
}

#[derive(Debug, Deserialize)]
struct Limits {
    max_lag_seconds: Option<u64>,
}

async fn ready(State(probed): State<Arc<Probed>>, Query(limits): Query<Limits>) -> Response {
    let lags = match limits.max_lag_seconds {
        Some(_) => probed.lags().await,
        // Not to depend on the databases, which the runners watch already.
        None => Ok(probed.watch.get().into_iter().map(|status| (status, None)).collect()),
    };
    match lags {
        Ok(lags) => answer(health::ready(&lags, limits.max_lag_seconds)),
        Err(error) => unavailable(&error),
    }
}

async fn lags(State(probed): State<Arc<Probed>>) -> Response {
    match probed.lags().await {
        Ok(lags) => Json(health::ready(&lags, None)).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn answer(health: Health) -> Response {
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

fn unavailable(error: &Error) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ok": false, "error": error.chain()}))).into_response()
}
