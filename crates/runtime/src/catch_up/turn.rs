//! What a lane does at a time: events go to the handler one call after the other, or a letter to the dead
//! letters.
//!
//! A turn is one future for many events, so that what it costs to begin and to end one is shared; it ends
//! early when a call fails, when it has taken long enough for its result to be wanted, or when the runner is
//! in a hurry. A time-out costs nothing where the handler answers at once: the timer is begun only when it
//! does not.
//!
//! With one lane turns run inside the runner's own task. Several lanes run as tasks of their own, so that
//! handlers that compute share the processors, too. Either way they end with the runner.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use highwater_core::breaker::HeldPermit;
use highwater_core::model::RecordedEvent;
use highwater_core::ports::{Clock, DynHandler};
use highwater_core::{Error, ErrorKind, Failure};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::letters::{Kept, LetterBox, Pending};

/// A turn that has taken so long ends with the call that is under way, for its result to be written down.
const LONG_ENOUGH: Duration = Duration::from_millis(2);

/// Events for the handler.
pub(super) struct Handling {
    pub(super) lane: usize,
    pub(super) events: Vec<RecordedEvent>,
    /// Where the first of them stood in its lane: at its head, but for a probe.
    pub(super) place: usize,
    /// The most events in one call.
    pub(super) batch: usize,
    pub(super) handler: Arc<dyn DynHandler>,
    pub(super) clock: Arc<dyn Clock>,
    /// How long a call may take.
    pub(super) limit: Duration,
    pub(super) permit: HeldPermit,
}

/// How a turn ended.
pub(super) enum TurnEnd {
    Handled(Handled),
    /// The dead letters have taken a letter, or have not.
    Kept {
        lane: usize,
        pending: Box<Pending>,
        kept: Result<Kept, Error>,
    },
}

/// What the handler did.
pub(super) struct Handled {
    pub(super) lane: usize,
    /// The turn's number, from 1, in the order in which they were begun.
    pub(super) number: u64,
    /// All events of the turn.
    pub(super) events: Vec<RecordedEvent>,
    /// Where the first of them stood in its lane.
    pub(super) place: usize,
    /// How many of them were handled, from the first.
    pub(super) settled: usize,
    pub(super) failed: Option<Failed>,
    pub(super) permit: HeldPermit,
}

/// A call that failed.
pub(super) struct Failed {
    pub(super) failure: Failure,
    /// Of how many events, from the first unsettled one, nobody knows which is to blame; 1 = it is that one.
    pub(super) suspects: usize,
    pub(super) timed_out: bool,
}

impl Handling {
    async fn run(self, number: u64, hurry: Arc<AtomicBool>) -> TurnEnd {
        let begun = self.clock.now();
        let mut settled = 0;
        let mut failed = None;
        while let Some(call) = next_call(&self.events, settled, self.batch) {
            let answer = tokio::select! {
                biased;
                answer = self.handler.handle_slice(call) => Some(answer),
                () = async { self.clock.sleep(self.limit).await } => None,
            };
            match answer {
                Some(Ok(())) => settled += call.len(),
                Some(Err(failure)) => {
                    let index = failure.index().filter(|index| *index < call.len());
                    settled += index.unwrap_or(0);
                    let suspects = if index.is_some() { 1 } else { call.len() };
                    failed = Some(Failed { failure, suspects, timed_out: false });
                    break;
                }
                None => {
                    let failure = timed_out(self.limit, call.len());
                    failed = Some(Failed { failure, suspects: call.len(), timed_out: true });
                    break;
                }
            }
            if hurry.load(Ordering::Relaxed) || self.clock.now().since(begun) >= LONG_ENOUGH {
                break;
            }
        }
        let Self { lane, events, place, permit, .. } = self;
        TurnEnd::Handled(Handled { lane, number, events, place, settled, failed, permit })
    }
}

fn next_call(events: &[RecordedEvent], settled: usize, batch: usize) -> Option<&[RecordedEvent]> {
    let end = events.len().min(settled.saturating_add(batch.max(1)));
    events.get(settled..end).filter(|call| !call.is_empty())
}

fn timed_out(limit: Duration, events: usize) -> Failure {
    Failure::new(
        Error::new(ErrorKind::Timeout, "handle events")
            .with("events", events)
            .with("limit", format_args!("{} ms", limit.as_millis())),
    )
}

/// The turns that are under way. Dropped, they end where they are.
pub(super) struct Turns {
    running: FuturesUnordered<BoxFuture<'static, TurnEnd>>,
    hurry: Arc<AtomicBool>,
    in_tasks: bool,
    begun: u64,
    in_flight: usize,
}

impl Turns {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            running: FuturesUnordered::new(),
            hurry: Arc::default(),
            in_tasks: lanes > 1,
            begun: 0,
            in_flight: 0,
        }
    }

    /// The number of the last turn that was begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// How many events are with the handler.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn handle(&mut self, handling: Handling) {
        self.begun += 1;
        self.in_flight += handling.events.len();
        let turn = handling.run(self.begun, self.hurry.clone());
        self.begin(turn);
    }

    /// Hands a letter over, for as long as `limit`.
    pub(super) fn keep(
        &mut self,
        lane: usize,
        pending: Pending,
        letters: Arc<LetterBox>,
        clock: Arc<dyn Clock>,
        limit: Duration,
    ) {
        self.begin(async move {
            let kept = tokio::select! {
                biased;
                kept = letters.keep(&pending.letter) => kept,
                () = async { clock.sleep(limit).await } => Err(
                    Error::new(ErrorKind::Timeout, "publish a dead letter")
                        .with("limit", format_args!("{} ms", limit.as_millis()))
                ),
            };
            TurnEnd::Kept { lane, pending: Box::new(pending), kept }
        });
    }

    /// The next one that ends. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> TurnEnd {
        let Some(end) = self.running.next().await else { return std::future::pending().await };
        if let TurnEnd::Handled(handled) = &end {
            self.in_flight -= handled.events.len();
        }
        end
    }

    /// Each turn ends with the call that is under way.
    pub(super) fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// Drops all of them; answers how many events were with the handler.
    pub(super) fn abandon(&mut self) -> usize {
        self.running.clear();
        std::mem::take(&mut self.in_flight)
    }

    fn begin(&mut self, turn: impl Future<Output = TurnEnd> + Send + 'static) {
        if self.in_tasks {
            self.running.push(Box::pin(Task(tokio::spawn(turn.in_current_span()))));
        } else {
            self.running.push(Box::pin(turn));
        }
    }
}

/// A turn in a task of its own, which ends with it.
struct Task(JoinHandle<TurnEnd>);

impl Future for Task {
    type Output = TurnEnd;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TurnEnd> {
        match Pin::new(&mut self.0).poll(context) {
            Poll::Ready(Ok(end)) => Poll::Ready(end),
            // What the handler panics of is caught with the call. This one came out of it as it was dropped:
            // the runner goes with it, and begins again behind its checkpoint.
            Poll::Ready(Err(died)) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
            // The process is being shut down, and the runner with it.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
