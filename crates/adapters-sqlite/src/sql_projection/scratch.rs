//! A database that nobody keeps.

use std::path::{Path, PathBuf};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::RecordedEvent;
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::error::sqlite_error;
use crate::migrations;

use super::payload;

/// A scratch database; its files go with it.
#[derive(Debug)]
pub(super) struct Scratch {
    // Before the folder, so that it is closed when the folder is removed.
    pub(super) conn: Connection,
    _folder: Option<Folder>,
}

impl Scratch {
    /// In memory.
    pub(super) fn in_memory() -> Result<Self, Error> {
        let conn =
            Connection::open_in_memory().map_err(|error| sqlite_error("open a scratch database", error))?;
        Ok(Self { conn, _folder: None })
    }

    /// In a folder of its own beside `store`, where there is room for another read model, if anywhere.
    pub(super) fn beside(store: &Path) -> Result<Self, Error> {
        let folder = Folder::beside(store)?;
        let path = folder.0.join("scratch.db");
        let open = || {
            let conn = Connection::open(&path)?;
            // Nothing here need survive anything.
            conn.pragma_update(None, "synchronous", "OFF")?;
            conn.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
            Ok(conn)
        };
        let conn = open()
            .map_err(|error| sqlite_error("open a scratch database", error).with("file", path.display()))?;
        Ok(Self { conn, _folder: Some(folder) })
    }

    /// Makes a log of these events; not inside a transaction.
    pub(super) fn load_log(&self, events: &[RecordedEvent]) -> Result<(), Error> {
        let failed = |error| sqlite_error("load events into a scratch log", error);
        migrations::ensure(&self.conn, true)?;
        self.conn.execute_batch("BEGIN").map_err(failed)?;
        let mut insert = self
            .conn
            .prepare("INSERT INTO highwater_event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")
            .map_err(failed)?;
        for event in events {
            insert
                .execute(params![
                    payload::integer("position", event.position().commit())?,
                    payload::integer("offset", event.position().prepare())?,
                    event.id().as_bytes().as_slice(),
                    event.stream(),
                    event.category(),
                    payload::integer("sequence", event.sequence())?,
                    event.event_type(),
                    event.time_micros(),
                    payload::payload(event.content_type(), event.data()),
                    payload::payload(event.content_type(), event.metadata()),
                ])
                .map_err(|error| failed(error).with("position", event.position()))?;
        }
        self.conn.execute_batch("COMMIT").map_err(failed)
    }

    /// Runs `work` between `begin` and `end`; when it fails, `undo` is run instead of `end`.
    pub(super) fn bracketed<T, E: From<Error>>(
        &self,
        [begin, end, undo]: [&str; 3],
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let run = |sql| {
            self.conn.execute_batch(sql).map_err(|error| sqlite_error("work in a scratch database", error))
        };
        run(begin)?;
        let done = work(&self.conn);
        // A statement may have rolled back what it stood in; the caller learns that from its error.
        if !self.conn.is_autocommit() {
            run(if done.is_ok() { end } else { undo })?;
        }
        done
    }
}

/// A folder that is removed with everything in it.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn beside(store: &Path) -> Result<Self, Error> {
        let mut name = store.file_name().unwrap_or_default().to_owned();
        name.push(format!(".scratch-{}", Uuid::new_v4().simple()));
        let path = store.with_file_name(name);
        std::fs::create_dir(&path).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "make a folder for a scratch database")
                .with("folder", path.display())
                .because(error)
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            let folder = self.0.display();
            tracing::warn!(%folder, %error, "cannot remove a scratch folder: remove it by hand");
        }
    }
}
