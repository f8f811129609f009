//! A connection to a database file, set up as everything here needs it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use highwater_core::error::{Error, ErrorKind};

use crate::error::{During, sqlite_error};
use crate::filter_sql::register;
use crate::options::SqliteOptions;

const OPEN: &str = "open the database";
/// How many pages the write-ahead log may have before a commit moves them into the file: 16 MiB. SQLite's own
/// 1,000 are fewer than one large batch writes, and the same index pages would be moved again and again.
const CHECKPOINT_PAGES: i64 = 4000;
/// Turning to the write-ahead log needs the file alone for a moment, and SQLite does not always wait for
/// that.
const WAL_TRIES: u32 = 50;
const WAL_PAUSE: Duration = Duration::from_millis(20);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads a page once and goes on.
    Read,
    /// Comes back to the same pages of indexes.
    Write,
}

/// Opens the file at `path`, which must be absolute: SQLite reads some relative names as something else.
///
/// # Errors
/// `Invalid` when there is no place for it, `NotFound` when it is not there and may not be created, `Corrupt`
/// when it is no database, `Unsupported` when it cannot be used so.
pub(crate) fn connect(path: &Path, options: &SqliteOptions, role: Role) -> Result<Connection, Error> {
    try_connect(path, options, role).map_err(|error| error.with("file", path.display()))
}

fn try_connect(path: &Path, options: &SqliteOptions, role: Role) -> Result<Connection, Error> {
    check_place(path, options)?;
    // Each connection is used by one thread at a time, so SQLite need not lock at each call.
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, options.create);
    let conn = Connection::open_with_flags(path, flags).map_err(|cause| explain(path, cause))?;
    conn.busy_timeout(options.busy_timeout).during(OPEN)?;
    turn_to_wal(path, &conn)?;
    let encoding: String = conn.pragma_query_value(None, "encoding", |row| row.get(0)).during(OPEN)?;
    if encoding != "UTF-8" {
        return Err(Error::new(ErrorKind::Unsupported, OPEN)
            .because(format!("its text is {encoding}, and names are compared as UTF-8; use a new file")));
    }
    let cache_kib = match role {
        Role::Read => String::new(),
        Role::Write => format!("PRAGMA cache_size = -{};", options.cache_kib),
    };
    conn.execute_batch(&format!(
        "PRAGMA synchronous = {}; PRAGMA foreign_keys = ON; \
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; {cache_kib}",
        options.synchronous.as_sql()
    ))
    .during(OPEN)?;
    if let Some(pages) = options.max_pages {
        conn.execute_batch(&format!("PRAGMA max_page_count = {pages}")).during(OPEN)?;
    }
    register(&conn).during(OPEN)?;
    conn.set_prepared_statement_cache_capacity(options.statement_cache);
    Ok(conn)
}

/// What SQLite would only call "unable to open database file".
fn check_place(path: &Path, options: &SqliteOptions) -> Result<(), Error> {
    let refuse = |kind, why: String| Err(Error::new(kind, OPEN).because(why));
    if path.is_dir() {
        return refuse(ErrorKind::Invalid, "it is a folder; name a file in it".to_owned());
    }
    let Some(folder) = path.parent() else {
        return refuse(ErrorKind::Invalid, "it names no file".to_owned());
    };
    if !folder.exists() {
        return refuse(
            ErrorKind::Invalid,
            format!("the folder {} does not exist; create it first", folder.display()),
        );
    }
    if !folder.is_dir() {
        return refuse(ErrorKind::Invalid, format!("{} is not a folder", folder.display()));
    }
    if !options.create && !path.exists() {
        return refuse(ErrorKind::NotFound, "there is no such file".to_owned());
    }
    Ok(())
}

fn explain(path: &Path, cause: rusqlite::Error) -> Error {
    let extended = cause.sqlite_error().map(|error| error.extended_code);
    let (kind, hint) = match cause.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            ErrorKind::Invalid,
            "file and folder must be writable: SQLite keeps a -wal and a -shm file beside the database",
        ),
        Some(ErrorCode::NotADatabase) => {
            (ErrorKind::Corrupt, "the file is not a SQLite database; is the path right?")
        }
        _ if extended == Some(ffi::SQLITE_IOERR_SHMSIZE) => {
            return Error::new(ErrorKind::Unavailable, OPEN)
                .code("SQLITE_FULL")
                .because("the disk is full: there is no room for the -shm file that SQLite keeps beside it");
        }
        _ => return sqlite_error(OPEN, cause),
    };
    let folder = path.parent().unwrap_or(path).display().to_string();
    let code = crate::fault::code_of(&cause);
    let error = Error::new(kind, OPEN).with("folder", folder).because(format!("{cause}; {hint}"));
    code.into_iter().fold(error, Error::code)
}

fn turn_to_wal(path: &Path, conn: &Connection) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => {
                return Err(Error::new(ErrorKind::Unsupported, OPEN).because(format!(
                    "it cannot have a write-ahead log (its journal mode stays {mode}): \
                     it needs a local file system that can be written"
                )));
            }
            Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && tries < WAL_TRIES => {
                std::thread::sleep(WAL_PAUSE);
            }
            Err(cause) => return Err(explain(path, cause)),
        }
    }
}
