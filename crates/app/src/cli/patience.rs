//! Waiting for others who write at the same time.
//!
//! A running projection may hold SQLite's only write lock for as long as its batch takes. An operator's
//! command waits for that, instead of failing with advice to try again.

use std::time::Duration;

use highwater::TokioClock;
use highwater_core::ports::Clock as _;
use highwater_core::{Error, ErrorKind};

/// How often a call is tried. The call itself waits about a second, so this is more than a batch may take.
const TRIES: u32 = 90;
const PAUSE: Duration = Duration::from_millis(20);

/// Tries again while the only trouble is that others are writing. `call` must be harmless to repeat: one that
/// failed with `Contention` has changed nothing.
pub(crate) async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let clock = TokioClock::new();
    for _ in 1..TRIES {
        match call().await {
            Err(error) if error.kind() == ErrorKind::Contention => clock.sleep(PAUSE).await,
            ended => return ended,
        }
    }
    call().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn contention_is_waited_for_and_nothing_else_is() {
        let calls = Cell::new(0);
        let call = |kind: ErrorKind, until: u32| {
            calls.set(calls.get() + 1);
            let answer = if calls.get() < until { Err(Error::new(kind, "write")) } else { Ok(calls.get()) };
            std::future::ready(answer)
        };
        assert_eq!(patiently(|| call(ErrorKind::Contention, 5)).await.unwrap(), 5);
        calls.set(0);
        assert_eq!(
            patiently(|| call(ErrorKind::Contention, u32::MAX)).await.unwrap_err().kind(),
            ErrorKind::Contention
        );
        assert_eq!(calls.get(), TRIES);
        calls.set(0);
        assert!(patiently(|| call(ErrorKind::Unavailable, 5)).await.is_err());
        assert_eq!(calls.get(), 1);
    }
}
