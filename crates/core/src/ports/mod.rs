//! **The specification.** Each file is one port: a trait, its numbered laws, its errors, what a dropped future
//! leaves behind. An adapter is right when it passes the port's contract suite (crate `highwater-testkit`), which
//! has one test a law.
//!
//! Ports that are chosen at run time are object safe and are called once per *batch*, so a boxed future is free.
//! Where the transaction's type must reach the projection ([`ReadModelStore`], [`UnitOfWork`], [`Projection`])
//! they are generic with associated types, and their methods are written `-> impl Future + Send`: an
//! implementation may still say `async fn`.
//!
//! Cancellation is a dropped future. No port decides about retries, batches or order.

mod append_events;
mod checkpoint_store;
mod clock;
mod dead_letters;
mod event_log;
mod handler;
mod handler_observer;
mod observer;
mod owned_checkpoints;
mod persist_target;
mod persistence_observer;
mod persistent_subscription;
mod projection;
mod projection_control;
mod read_model_store;
mod rng;

pub use append_events::AppendEvents;
pub use checkpoint_store::{CheckpointPage, CheckpointStore};
pub use clock::{Clock, Moment};
pub use dead_letters::{DeadLetters, HandlerLetter};
pub use event_log::{EventBatch, EventLog, EventRange, EventReader, HeldBack, Limit};
pub use handler::{DynHandler, Handler};
pub use handler_observer::{HandlerAttempt, HandlerObserver, HandlerSeen, HandlerTotals};
pub use observer::{NoObserver, Observer, Seen};
pub use owned_checkpoints::{GroupClaim, GroupOwner, OwnedAdvance, OwnedCheckpoints, OwnedEntry};
pub use persist_target::PersistTarget;
pub use persistence_observer::{PersistenceObserver, PersistenceSeen};
pub use persistent_subscription::{Consumer, Delivery, GroupKey, Nack, Receipt, Subscriptions};
pub use projection::{ApplySlice, DynProjection, Projection, Until};
pub use projection_control::{FailedQuery, Owner, ProjectionControl};
pub use read_model_store::{Acquired, Claim, Locked, Membership, ReadModelStore, TableTaken, UnitOfWork};
pub use rng::Jitter;

#[expect(clippy::type_complexity, reason = "it is a list: proof that each can be held as `dyn`")]
const _: fn(
    &dyn EventLog,
    &mut dyn EventReader,
    &dyn AppendEvents,
    &dyn CheckpointStore,
    &dyn OwnedCheckpoints,
    &dyn DeadLetters,
    &dyn DynHandler,
    &dyn HandlerObserver,
    &dyn Subscriptions,
    &mut dyn Consumer,
    &dyn PersistTarget,
    &dyn PersistenceObserver,
    &dyn ProjectionControl,
    &dyn Membership,
    &dyn Clock,
    &dyn Jitter,
    &dyn Observer,
) = |_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _| ();
