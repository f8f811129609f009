//! What happened, as log lines with stable field names and as metrics with stable names.

mod handler_log;
pub mod handler_metric;
mod handler_metrics;
mod log_observer;
pub mod metric;
mod metrics_observer;
pub mod persistence_metric;
mod persistence_observer;

pub use handler_log::HandlerLog;
pub use handler_metrics::HandlerMetrics;
pub use log_observer::LogObserver;
pub use metrics_observer::MetricsObserver;
pub use persistence_observer::{PersistenceLog, PersistenceMetrics};
