//! What all handles to one file share within a process.
//!
//! SQLite has one writer at a time and finds out by trying: writers of one process would poll for the file
//! against each other, in no order. So they pass a fair gate first, and only a writer in another process can
//! make one wait inside SQLite. Beside the gate stands the signal of what was committed, which the log's
//! readers and the operators' side wait for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::Position;

use crate::options::SqliteOptions;
use crate::turn::{Turn, Turns};
use crate::watch::Watch;

/// What is known to be committed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signal {
    /// Rises with commits; several may count as one.
    pub(crate) commits: u64,
    /// The last event of the log, as far as anybody has looked.
    pub(crate) head: Option<Position>,
}

/// One file, as one process uses it.
pub(crate) struct SharedFile {
    path: PathBuf,
    gate: Arc<Semaphore>,
    signal: watch::Sender<Signal>,
    watch: OnceLock<Option<Watch>>,
    turns: Turns,
}

static FILES: LazyLock<Mutex<HashMap<PathBuf, Weak<SharedFile>>>> = LazyLock::new(Mutex::default);

impl SharedFile {
    /// The file at this canonical path.
    pub(crate) fn of(path: &Path, options: &SqliteOptions) -> Arc<Self> {
        if options.isolated {
            return Arc::new(Self::new(path));
        }
        let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(path).and_then(Weak::upgrade) {
            return file;
        }
        files.retain(|_, file| file.strong_count() > 0);
        let file = Arc::new(Self::new(path));
        files.insert(path.to_owned(), Arc::downgrade(&file));
        file
    }

    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            gate: Arc::new(Semaphore::new(1)),
            signal: watch::Sender::default(),
            watch: OnceLock::new(),
            turns: Turns::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits, in the order of arrival, until no other writer of this process is at work. The permit goes with
    /// the work, since the work outlives a future that is dropped.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Error> {
        let closed = |error| Error::new(ErrorKind::Closed, "wait for the database").because(error);
        self.gate.clone().acquire_owned().await.map_err(closed)
    }

    /// Waits for the turn among the writers of all processes. Blocks.
    pub(crate) fn turn(&self) -> Turn<'_> {
        self.turns.take(&self.path)
    }

    /// Something was committed.
    pub(crate) fn committed(&self) {
        self.signal.send_modify(|signal| signal.commits = signal.commits.wrapping_add(1));
    }

    /// The log was seen to reach up to `head`.
    pub(crate) fn reached(&self, head: Option<Position>) {
        self.signal.send_modify(|signal| {
            signal.commits = signal.commits.wrapping_add(1);
            signal.head = signal.head.max(head);
        });
    }

    pub(crate) fn signal(&self) -> watch::Receiver<Signal> {
        self.signal.subscribe()
    }

    /// Whether somebody watches the file already.
    pub(crate) fn is_watched(&self) -> Option<bool> {
        self.watch.get().map(Option::is_some)
    }

    /// Begins to watch for commits of other processes, if nobody does yet; says whether anybody does. Blocks
    /// until the signal shows at least what is committed now.
    pub(crate) fn watch(self: &Arc<Self>, options: &SqliteOptions) -> bool {
        let start = || match Watch::start(self, options) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!(
                    file = %self.path.display(),
                    error = error.chain(),
                    "cannot watch the database file: commits of other processes are seen at the next poll"
                );
                None
            }
        };
        self.watch.get_or_init(start).is_some()
    }
}

impl std::fmt::Debug for SharedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_one_gate_unless_it_plays_another_process() {
        let path = Path::new("/nowhere/one.db");
        let first = SharedFile::of(path, &SqliteOptions::default());
        assert!(Arc::ptr_eq(&first, &SharedFile::of(path, &SqliteOptions::default())));
        let other = SharedFile::of(path, &SqliteOptions::default().as_another_process());
        assert!(!Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn the_head_never_goes_back() {
        let file = SharedFile::new(Path::new("/nowhere/two.db"));
        file.reached(Some(Position::new(5, 0)));
        file.reached(Some(Position::new(4, 9)));
        file.reached(None);
        assert_eq!(file.signal().borrow().head, Some(Position::new(5, 0)));
    }
}
