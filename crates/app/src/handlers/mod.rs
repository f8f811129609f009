//! At-least-once handlers in a running Highwater, beside its projections.
//!
//! All of a process share one [`CheckpointBoard`](highwater_runtime::catch_up::CheckpointBoard) and one persistence
//! worker for each checkpoint store, so a thousand of them cost one flight per write, and an outage of the store is
//! met in one place. What a handler does is the runtime's; here they are only put together, watched and stopped.

mod control;
mod options;
mod plan;
mod report;
mod running;
mod stores;

pub use control::CheckpointControl;
pub use options::HandlerOptions;
pub(crate) use plan::{HandlerPlan, PlannedHandler};
pub use report::HandlerReport;
pub(crate) use running::{RunningHandlers, all_done};
pub use stores::HandlerStores;
