//! Waiting for another process: by looking, with a bound, never by a time that is hoped to be long enough.

use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use highwater::TokioClock;

/// The clock of the tests.
pub static CLOCK: LazyLock<TokioClock> = LazyLock::new(TokioClock::new);

/// How long between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Looks until there is something to see.
///
/// # Panics
/// When there is nothing after `limit`; the message names `what` was waited for.
pub fn poll<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    use highwater::core::ports::Clock as _;
    let deadline = CLOCK.now() + limit;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(CLOCK.now() < deadline, "{what}: not within {limit:?}");
        pause(LOOK_EVERY);
    }
}

/// Lets other processes run on for a moment. Never to wait for something: that is what [`poll`] is for.
pub fn pause(moment: Duration) {
    thread::sleep(moment);
}
