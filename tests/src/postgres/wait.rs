//! Waiting for a future, wherever we are.

use std::future::Future;
use std::panic;
use std::sync::LazyLock;
use std::thread;

use tokio::runtime::{Builder, Runtime};

/// The runtime of the helpers: connections and proxies live as long as it does, whatever runtime a test has.
pub(super) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be built")
});

/// Runs a future to its end, while this thread waits. A panic in it is one here.
pub(super) fn wait_for<T: Send>(future: impl Future<Output = T> + Send) -> T {
    // A thread that runs tasks must not block in a runtime, so another one does.
    thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(future)).join())
        .unwrap_or_else(|panicked| panic::resume_unwind(panicked))
}
