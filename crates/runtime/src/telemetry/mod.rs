//! What happened, as log lines with stable field names and as metrics with stable names.

mod log_observer;
pub mod metric;
mod metrics_observer;

pub use log_observer::LogObserver;
pub use metrics_observer::MetricsObserver;
