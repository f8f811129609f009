//! Decisions driven through the mocks of the ports: the laws as code above the ports uses them.

mod classify;
mod object_safety;
mod unit_of_work;

/// Runs a future that is never pending for long: mocks answer at once.
fn run<T>(future: impl Future<Output = T>) -> T {
    futures_executor::block_on(future)
}
