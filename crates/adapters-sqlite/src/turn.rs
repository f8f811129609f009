//! Turns among the writers of all processes.
//!
//! SQLite lets a writer try again and again until the file is free. A projection that catches up writes one batch
//! behind the other, and is free for some microseconds between two: a `pause` or an append of another process would
//! find that moment by luck only, seconds later. So whoever wants to write first takes the turn, a lock on a file
//! beside the database, and gives it back when its transaction has begun. The next batch of the projection then
//! stands behind the writer that waits, as it does within a process behind the gate.
//!
//! The turn is a courtesy: a process that is frozen while it has it must not stop the others, so they go on
//! without after a while, and where the lock file cannot be had nobody waits at all.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use crate::location::locks_folder;

/// How often the turn is asked for, and with what pause: about a second.
const TRIES: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(1);

/// The lock file, opened when it is first wanted.
#[derive(Debug, Default)]
pub(crate) struct Turns(OnceLock<Option<File>>);

/// Given back when it is dropped.
pub(crate) struct Turn<'t>(Option<&'t File>);

impl Turns {
    /// Waits for the turn. Blocks.
    pub(crate) fn take(&self, database: &Path) -> Turn<'_> {
        let Some(file) = self.0.get_or_init(|| open(database)) else { return Turn(None) };
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Turn(Some(file)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => {
                    tracing::debug!(%error, "the turn to write cannot be asked for");
                    return Turn(None);
                }
            }
        }
        tracing::debug!(file = %database.display(), "another process keeps the turn to write; going on without it");
        Turn(None)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(File::unlock) {
            tracing::warn!(%error, "the turn to write could not be given back; others wait a second for each write");
        }
    }
}

fn open(database: &Path) -> Option<File> {
    let folder = locks_folder(database);
    let opened = std::fs::create_dir_all(&folder).and_then(|()| {
        OpenOptions::new().write(true).create(true).truncate(false).open(folder.join("writers.turn"))
    });
    opened.inspect_err(|error| tracing::debug!(%error, "writers of several processes take no turns")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_the_turn_and_the_next_gets_it_when_it_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let (one, other) = (Turns::default(), Turns::default());
        let turn = one.take(&database);
        assert!(turn.0.is_some());
        let waiting = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| other.take(&database).0.is_some());
            drop(turn);
            waiting.join().unwrap()
        });
        assert!(waiting);
    }

    #[test]
    fn a_turn_that_is_kept_for_ever_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let (one, other) = (Turns::default(), Turns::default());
        let kept = one.take(&database);
        assert!(other.take(&database).0.is_none(), "it goes on without");
        drop(kept);
        assert!(other.take(&database).0.is_some());
    }

    #[test]
    fn without_a_place_for_the_lock_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(Turns::default().take(&file.join("a.db")).0.is_none());
    }
}
