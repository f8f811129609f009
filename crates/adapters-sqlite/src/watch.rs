//! Commits of other processes.
//!
//! Every commit writes to the `-wal` file, and the operating system says so to whoever watches its folder.
//! But a page reaches the file *before* the commit is visible: the writer still has to wait for the disk and
//! to move the end mark, and that is in shared memory, which nobody reports. So one thread a file and process
//! looks right after the report, and a few times more with growing pauses, before it believes that nothing
//! happened. That is a bounded number of looks a report, never a poll.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use rusqlite::Connection;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::Position;

use crate::error::During;
use crate::file::SharedFile;
use crate::log::head_of;
use crate::open::{Role, connect};
use crate::options::SqliteOptions;

const LOOK: &str = "look for commits of other processes";
/// When to look again after a report that showed nothing; together as long as a slow disk may take to sync.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(300),
];

/// Ends the watching when it is dropped: the watcher's channel closes, and the thread with it. The drop waits
/// for that, so that the thread's connection is closed when it returns: the last one to close moves the
/// write-ahead log into the file.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.watcher.take());
        let Some(thread) = self.thread.take() else { return };
        // The thread itself may have held the last handle to the file.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            tracing::debug!("the thread that watched the database panicked");
        }
    }
}

impl Watch {
    pub(crate) fn start(file: &Arc<SharedFile>, options: &SqliteOptions) -> Result<Self, Error> {
        let failed = |error: highwater_core::BoxError| {
            Error::new(ErrorKind::Unavailable, "watch the database")
                .with("file", file.path().display())
                .because(error)
        };
        // One report that waits is as good as many: the look behind it sees everything.
        let (report, reports) = sync_channel(1);
        let wal = wal_name(file.path());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if is_report(&event, &wal) {
                pass_on(&report);
            }
        })
        .map_err(|error| failed(error.into()))?;
        let folder = file.path().parent().unwrap_or(Path::new("/"));
        watcher.watch(folder, RecursiveMode::NonRecursive).map_err(|error| failed(error.into()))?;

        let conn = connect(file.path(), options, Role::Read)?;
        let seen = look(&conn)?;
        file.reached(seen.1);
        let weak = Arc::downgrade(file);
        let thread = std::thread::Builder::new()
            .name("highwater-watch".to_owned())
            .spawn(move || run(&conn, seen.0, &reports, &weak))
            .map_err(|error| failed(error.into()))?;
        Ok(Self { watcher: Some(watcher), thread: Some(thread) })
    }
}

fn wal_name(path: &Path) -> OsString {
    let mut name = path.file_name().map(OsStr::to_owned).unwrap_or_default();
    name.push("-wal");
    name
}

/// Whether the event may be a commit: a change of this database's log, or that events were missed.
fn is_report(event: &notify::Result<notify::Event>, wal: &OsStr) -> bool {
    match event {
        Ok(event) if event.need_rescan() => true,
        Ok(event) => !event.kind.is_access() && event.paths.iter().any(|path| path.file_name() == Some(wal)),
        Err(_) => true,
    }
}

fn pass_on(report: &SyncSender<()>) {
    match report.try_send(()) {
        // A full channel holds a report already; a closed one has nobody behind it any more.
        Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
    }
}

fn run(conn: &Connection, mut seen: i64, reports: &Receiver<()>, file: &Weak<SharedFile>) {
    while reports.recv().is_ok() {
        let mut pauses = PAUSES.iter();
        loop {
            match look(conn) {
                Ok((version, _)) if version == seen => {}
                Ok((version, head)) => {
                    seen = version;
                    let Some(file) = file.upgrade() else { return };
                    file.reached(head);
                    break;
                }
                Err(error) => tracing::debug!(error = error.chain(), "looking for commits failed"),
            }
            let Some(pause) = pauses.next() else { break };
            match reports.recv_timeout(*pause) {
                Ok(()) => pauses = PAUSES.iter(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// The number that changes with commits of other connections, and the log's head.
fn look(conn: &Connection) -> Result<(i64, Option<Position>), Error> {
    let version = conn
        .prepare_cached("PRAGMA data_version")
        .and_then(|mut pragma| pragma.query_row([], |row| row.get(0)))
        .during(LOOK)?;
    Ok((version, head_of(conn)?))
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, DataChange, ModifyKind};
    use notify::{Event, EventKind};

    use super::*;

    #[test]
    fn only_changes_of_this_databases_log_are_reports() {
        let wal = wal_name(Path::new("/data/a.db"));
        let event = |kind, path: &str| Ok(Event::new(kind).add_path(path.into()));
        let changed = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        assert!(is_report(&event(changed, "/data/a.db-wal"), &wal));
        assert!(is_report(&event(EventKind::Create(CreateKind::File), "/data/a.db-wal"), &wal));
        assert!(!is_report(&event(changed, "/data/a.db"), &wal));
        assert!(!is_report(&event(changed, "/data/b.db-wal"), &wal));
        assert!(!is_report(&event(EventKind::Access(AccessKind::Any), "/data/a.db-wal"), &wal));
        assert!(is_report(&Err(notify::Error::generic("lost")), &wal));
    }
}
