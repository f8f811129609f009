//! Ctrl-C and SIGTERM: the first drains, the second ends at once.

use tokio_util::sync::CancellationToken;

use super::error::CliError;
use super::exit::INTERRUPTED;

/// A token that the first signal cancels; a second signal ends the process with code 130, whatever it does.
///
/// # Errors
/// When signals cannot be listened to.
pub(crate) fn listen() -> Result<CancellationToken, CliError> {
    let mut signals =
        Signals::new().map_err(|error| CliError::failed("listen for signals").because(&error))?;
    let token = CancellationToken::new();
    let first = token.clone();
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stop requested: committing what is running; a second signal ends at once");
        first.cancel();
        signals.next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(token)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // A console that cannot be listened to never signals.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
