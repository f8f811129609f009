//! Processor time that we and the server have used, as Linux tells it; other systems do not.

use std::fs;
use std::time::Duration;

use crate::postgres::server::Server;

/// Since the processes began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// By this process.
    pub(crate) ours: Duration,
    /// By the processes of the server that run now.
    pub(crate) server: Duration,
}

impl Used {
    /// `None` where it cannot be told: on another system, or for a server that is not ours.
    pub(crate) fn now(server: &Server) -> Option<Self> {
        let first = server.pid()?;
        let mut used = Self { ours: of_threads("self")?, server: of_threads(&first.to_string())? };
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let name = entry.file_name();
            // A process may end while we look at it: then it is not one of those that run now.
            if let Some(pid) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
                && parent(pid) == Some(first)
            {
                used.server += of_threads(pid).unwrap_or_default();
            }
        }
        Some(used)
    }

    /// Both.
    pub(crate) fn all(self) -> Duration {
        self.ours + self.server
    }

    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            ours: self.ours.saturating_sub(earlier.ours),
            server: self.server.saturating_sub(earlier.server),
        }
    }
}

/// The first number of each thread's `schedstat`: nanoseconds on a processor.
fn of_threads(process: &str) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let nanos = threads
        .flatten()
        .filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    Some(Duration::from_nanos(nanos))
}

/// The fourth field of `stat`; the second, a name in brackets, may have anything in it.
fn parent(pid: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_parent_and_time_used() {
        assert_eq!(parent("self"), Some(std::os::unix::process::parent_id()));
        assert!(of_threads("self").expect("we run") > Duration::ZERO);
    }
}
