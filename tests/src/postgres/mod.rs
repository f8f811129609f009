//! PostgreSQL for the suites: places on the server that all tests share, servers of a test's own that it may crash,
//! and a network that it may break.
//!
//! All of it can be used in tests with and without an async runtime: whatever waits for a server does so on a
//! runtime of its own.

mod account;
mod own_cluster;
mod place;
mod port;
mod proxy;
mod session;
mod wait;

pub use own_cluster::OwnCluster;
pub use place::Place;
pub use proxy::Proxy;
pub use session::Session;

/// What to do for a test that needs something of this machine: the variable's value, or `None`, said aloud.
///
/// # Panics
/// When backends are required, and the variable is not set.
fn needed(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        assert!(
            std::env::var_os("REQUIRE_BACKENDS").is_none(),
            "backends are required and {variable} is not set: run `cargo xtask test`"
        );
        println!("skipped: {variable} is not set; `cargo xtask test` sets it");
    }
    value
}
