//! What one would write without the product: plain loops over the same tables.
//!
//! They are written with care, since a slow baseline proves nothing: statements are prepared once, a batch is
//! one transaction, the log is read by the whole key, and the connection is set up as the product sets up its
//! own. What they leave out is what the product is for: no owner, no failed events, no retry, no status.

mod bare;
mod import;
mod set_based;
mod sqlx_loop;

use std::path::Path;

use rusqlite::{CachedStatement, Connection};

pub(crate) use bare::{BARE_SQL, Guard, SAVEPOINT_SQL, bare};
pub(crate) use import::{INSERT, Line, import};
pub(crate) use set_based::{SET_BASED_SQL, set_based};
pub(crate) use sqlx_loop::sqlx_loop;

/// As the product's own connections, so that loops are compared and not settings.
const SETTINGS: [(&str, &str); 4] = [
    ("synchronous", "FULL"),
    ("foreign_keys", "ON"),
    ("wal_autocheckpoint", "4000"),
    ("cache_size", "-16384"),
];

const CHECKPOINT_TABLE: &str =
    "CREATE TABLE checkpoint (name TEXT PRIMARY KEY, position INTEGER NOT NULL, \"offset\" INTEGER NOT NULL)";
const CHECKPOINT_ROW: &str = "INSERT INTO checkpoint VALUES ('bench', -1, -1)";
const MOVE_CHECKPOINT: &str = "UPDATE checkpoint SET position = ?1, \"offset\" = ?2 WHERE name = 'bench'";
/// Events behind a place, in order.
const READ: &str = "SELECT position, \"offset\", data FROM highwater_event \
     WHERE (position, \"offset\") > (?1, ?2) ORDER BY position, \"offset\" LIMIT ?3";

/// A place in the log; nothing stands at or before the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    position: i64,
    offset: i64,
}

const START: Place = Place { position: -1, offset: -1 };

/// Opens a database for a loop.
fn open(database: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(database)?;
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    for (name, value) in SETTINGS {
        conn.execute_batch(&format!("PRAGMA {name} = {value}"))?;
    }
    Ok(conn)
}

/// Opens a database for a loop with a read model and a checkpoint.
fn open_with(database: &Path, schema: &str) -> rusqlite::Result<Connection> {
    let conn = open(database)?;
    conn.execute_batch(&format!("BEGIN; {schema}; {CHECKPOINT_TABLE}; {CHECKPOINT_ROW}; COMMIT"))?;
    Ok(conn)
}

/// The statements around a batch.
struct Transaction<'c> {
    begin: CachedStatement<'c>,
    move_checkpoint: CachedStatement<'c>,
    commit: CachedStatement<'c>,
}

impl<'c> Transaction<'c> {
    fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: conn.prepare_cached("BEGIN IMMEDIATE")?,
            move_checkpoint: conn.prepare_cached(MOVE_CHECKPOINT)?,
            commit: conn.prepare_cached("COMMIT")?,
        })
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        self.begin.execute([]).map(|_| ())
    }

    fn commit(&mut self, at: Place) -> rusqlite::Result<()> {
        self.move_checkpoint.execute([at.position, at.offset])?;
        self.commit.execute([]).map(|_| ())
    }
}
