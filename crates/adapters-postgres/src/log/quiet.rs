//! Whether anything can have been appended since a reader reached the end of the log.
//!
//! Hundreds of readers that wait at the end ask for events once a second each. The sequence that positions are drawn
//! from answers for all of them in one cheap statement: while nothing was drawn behind a number below which all
//! is decided, nothing is new. So a reader that finds nothing leaves a mark:
//!
//! 1. it reads the last number drawn;
//! 2. where it has not seen that number, it looks whether anybody who may have drawn it still holds the gate;
//! 3. then it reads, as ever. What was drawn before 1 is either there now or never will be.
//!
//! A crash may set the sequence back, so that the same number is drawn again. The control connection does not
//! survive one; when it is back it wakes all readers, and a mark counts only for as long as nothing has woken its
//! reader. Where there is no such connection marks are not used.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::Mutex;

use highwater_core::error::Error;

use super::rows::READ;
use crate::database::Database;
use crate::error::During;
use crate::options::Ownership;
use crate::schema::Statement;
use crate::stopwatch::Stopwatch;

/// For so long an answer does for all readers: a little more than the default poll interval, so that readers that
/// ask once a second each have one question between them.
const FRESH: Duration = Duration::from_millis(1_200);

/// All that was drawn up to here is decided and was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    drawn: i64,
    woken: u64,
}

/// What the readers of one log share.
#[derive(Debug)]
pub(super) struct Quiet {
    usable: bool,
    known: Mutex<Option<Known>>,
    drawn: Statement,
    held: Statement,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    drawn: i64,
    woken: u64,
    since: Stopwatch,
}

impl Quiet {
    pub(super) fn new(database: &Database) -> Self {
        let schema = database.names();
        let options = database.options();
        Self {
            usable: options.ownership == Ownership::Session && options.notify,
            known: Mutex::new(None),
            drawn: schema.sql("SELECT last_value - (NOT is_called)::int FROM highwater.position"),
            held: schema.sql(
                "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l \
                 WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.granted AND l.objsubid = 2 \
                   AND l.classid = to_regclass($1)::oid AND l.database = (SELECT d.oid \
                     FROM pg_catalog.pg_database d WHERE d.datname = current_database()))",
            ),
        }
    }

    /// Whether there can be anything behind this mark, for a reader that was woken so often.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(super) async fn nothing_behind(
        &self,
        mark: Mark,
        woken: u64,
        database: &Database,
    ) -> Result<bool, Error> {
        if mark.woken != woken {
            return Ok(false);
        }
        // Held while one asks: the others have its answer then.
        let mut known = self.known.lock().await;
        let fresh = known.filter(|known| known.woken == woken && known.since.elapsed() < FRESH);
        let drawn = match fresh {
            Some(known) => known.drawn,
            None => {
                let mut connection = database.connection(READ).await?;
                let drawn = self.ask(&mut connection).await?;
                *known = Some(Known { drawn, woken, since: Stopwatch::start() });
                drawn
            }
        };
        Ok(drawn == mark.drawn)
    }

    /// A mark for a reader that has seen everything up to `seen` and is about to look for more; it counts if nothing
    /// is found. `None` while somebody appends.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(super) async fn mark(
        &self,
        connection: &mut PgConnection,
        gate: &str,
        seen: i64,
        woken: u64,
    ) -> Result<Option<Mark>, Error> {
        if !self.usable {
            return Ok(None);
        }
        let drawn = self.ask(connection).await?;
        if drawn > seen {
            let held: bool = sqlx::query_scalar(self.held.safe())
                .bind(gate)
                .fetch_one(&mut *connection)
                .await
                .during(READ)?;
            if held {
                return Ok(None);
            }
        }
        Ok(Some(Mark { drawn, woken }))
    }

    async fn ask(&self, connection: &mut PgConnection) -> Result<i64, Error> {
        sqlx::query_scalar(self.drawn.safe()).fetch_one(connection).await.during(READ)
    }
}
