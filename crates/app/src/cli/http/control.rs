//! What an operator does to the checkpoints of a process that runs, over HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use highwater::CheckpointControl;

use super::server::Served;
use super::wire::{Breaker, BreakerReset, NO_HANDLERS, PersistQuery, Persisted, Refusal};

/// Nobody waits longer for an answer.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// `GET /breaker`.
pub(super) async fn breaker(State(served): State<Arc<Served>>) -> Response {
    match checkpoints(&served) {
        Some(checkpoints) => Json(Breaker::from(&checkpoints.stats())).into_response(),
        None => no_handlers(),
    }
}

/// `POST /breaker/reset`.
pub(super) async fn reset_breaker(State(served): State<Arc<Served>>) -> Response {
    let Some(checkpoints) = checkpoints(&served) else { return no_handlers() };
    let before = Breaker::from(&checkpoints.stats());
    checkpoints.reset_circuit_breaker();
    let after = Breaker::from(&checkpoints.stats());
    tracing::info!(
        target_name = before.target,
        before = before.state,
        "the circuit breaker was closed by hand"
    );
    Json(BreakerReset { before, after }).into_response()
}

/// `POST /persist`.
pub(super) async fn persist(State(served): State<Arc<Served>>, Query(how): Query<PersistQuery>) -> Response {
    let Some(checkpoints) = checkpoints(&served) else { return no_handlers() };
    let deadline = how.deadline_ms.map(|millis| Duration::from_millis(millis).min(LONGEST));
    match checkpoints.persist_now(deadline, how.override_breaker).await {
        Ok(report) => Json(Persisted::from(report)).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(Refusal::from(&error))).into_response(),
    }
}

fn checkpoints(served: &Served) -> Option<&CheckpointControl> {
    served.probed.checkpoints.as_ref()
}

fn no_handlers() -> Response {
    let error = "this process runs no handlers, so it writes no checkpoints and has no circuit breaker";
    let refusal = Refusal { kind: NO_HANDLERS.to_owned(), error: error.to_owned() };
    (StatusCode::CONFLICT, Json(refusal)).into_response()
}
