//! What a user writes where no transaction can be shared: an event goes out, to a mailer, a search index, a service.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures_util::FutureExt;

use crate::failure::Failure;
use crate::model::RecordedEvent;

/// Takes events at least once: there is no transaction in the arguments, so an event that was handled just before
/// a crash is handled again after it.
///
/// A closure is one: `|event: RecordedEvent| async move { … }`.
///
/// # Laws of an implementation
/// 1. An event that it is given twice ends as one that it is given once: the event's id tells which it is.
/// 2. `Ok` means that the effect is durable. What it only queues is lost with the process.
/// 3. The future may be dropped at any await, at a stop or a time-out; the event is then given again.
///
/// A panic is caught and counts as an unclassified failure; that needs `panic = "unwind"`, the default, in the
/// profile of the program.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "needs `impl Handler for {Self}`, or an async closure that takes a `RecordedEvent`",
    note = "a read model that moves in one transaction with its checkpoint is an `impl Projection<Tx>` instead"
)]
pub trait Handler: Send + Sync + 'static {
    /// Handles one event.
    ///
    /// # Errors
    /// Any error; its type decides what happens (see `Failure`).
    fn handle(&self, event: &RecordedEvent) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Handles several events, in order. The default handles one after the other and says which one failed;
    /// override it where the other side takes many at once.
    ///
    /// # Errors
    /// As [`Handler::handle`]. With [`Failure::at`] the events before that index count as handled; without, none
    /// does, and they are given again, one by one.
    fn handle_batch(&self, events: &[RecordedEvent]) -> impl Future<Output = Result<(), Failure>> + Send {
        async move {
            for (index, event) in events.iter().enumerate() {
                self.handle(event).await.map_err(|failure| failure.at(index))?;
            }
            Ok(())
        }
    }
}

impl<F, Fut> Handler for F
where
    F: Fn(RecordedEvent) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    fn handle(&self, event: &RecordedEvent) -> impl Future<Output = Result<(), Failure>> + Send {
        self(event.clone())
    }
}

/// A handler behind a pointer, called once per batch: what the runtime drives.
#[async_trait]
pub trait DynHandler: Send + Sync {
    /// Handles events, in order. Never panics: a panic is a failure.
    ///
    /// # Errors
    /// The failure, with the culprit's index where it is known.
    async fn handle_slice(&self, events: &[RecordedEvent]) -> Result<(), Failure>;
}

#[async_trait]
impl<H: Handler> DynHandler for H {
    async fn handle_slice(&self, events: &[RecordedEvent]) -> Result<(), Failure> {
        AssertUnwindSafe(self.handle_batch(events))
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| Err(Failure::panicked(&*panic)))
    }
}
