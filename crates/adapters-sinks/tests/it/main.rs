//! The handlers against receivers and programs that are real, and misbehave.

#[cfg(all(unix, feature = "exec"))]
mod exec;
#[cfg(all(unix, feature = "exec"))]
mod exec_faults;
#[cfg(feature = "http")]
mod http_batch;
#[cfg(feature = "http")]
mod http_delivery;
#[cfg(feature = "http")]
mod http_envelope;
#[cfg(feature = "http")]
mod http_faults;
mod kit;
#[cfg(feature = "http")]
mod receiver;
#[cfg(feature = "http")]
mod rude;
#[cfg(all(unix, feature = "exec"))]
mod script;
mod stdout;
