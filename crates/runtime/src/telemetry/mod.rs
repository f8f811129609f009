//! What happened, as log lines with stable field names.

mod log_observer;

pub use log_observer::LogObserver;
