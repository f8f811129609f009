//! One reader's place in the log, and its connection.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Filter, Interner, Position};
use highwater_core::ports::{EventBatch, EventRange, EventReader, Limit};

use super::event_log::head_of;
use super::rows::Events;
use super::scan::Scan;
use crate::cancel::{blocking, pair};
use crate::database::Database;
use crate::open::Role;

/// Reads behind `after`, with a connection of its own: readers do not wait for each other, nor for writers.
#[derive(Debug)]
pub(super) struct SqliteReader {
    database: Arc<Database>,
    scan: Arc<Scan>,
    after: Option<Position>,
    desk: Arc<Mutex<Option<Desk>>>,
}

/// What a read works with. It lies here between reads; one that was dropped brings it back when it has
/// noticed.
#[derive(Debug)]
struct Desk {
    conn: Connection,
    about: About,
}

/// What earlier reads have taught.
#[derive(Debug, Default)]
struct About {
    names: Interner,
    /// Events and bytes of the last batch: the next one will need about as much room.
    room: (usize, usize),
}

impl Desk {
    fn new(database: &Database) -> Result<Self, Error> {
        Ok(Self { conn: database.connect(Role::Read)?, about: About::default() })
    }
}

impl SqliteReader {
    pub(super) async fn open(
        database: &Arc<Database>,
        after: Option<Position>,
        filter: &Filter,
    ) -> Result<Self, Error> {
        let scan = Arc::new(Scan::new(filter));
        let desk = Arc::new(Mutex::new(None));
        let reader = Self { database: database.clone(), scan, after, desk };
        // What is wrong with the file should be known here, not at the first batch.
        reader.work(|_, _, _| Ok(())).await?;
        Ok(reader)
    }

    async fn work<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Scan, &Connection, &mut About) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (database, scan, desk) = (self.database.clone(), self.scan.clone(), self.desk.clone());
        let (_guard, cancelled) = pair();
        blocking(move || {
            let lying = desk.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Desk { conn, mut about } = lying.map_or_else(|| Desk::new(&database), Ok)?;
            let result = cancelled.interrupting(&conn, |conn| read(&scan, conn, &mut about));
            // A read transaction that could not be ended must not lie there and hold an old view of the file.
            if conn.is_autocommit() {
                *desk.lock().unwrap_or_else(PoisonError::into_inner) = Some(Desk { conn, about });
            }
            result
        })
        .await
    }
}

#[async_trait]
impl EventReader for SqliteReader {
    async fn next(&mut self, limit: Limit) -> Result<EventBatch, Error> {
        let after = self.after;
        let batch = self
            .work(move |scan, conn, about| {
                let events = Events::with_room(about.room.0.min(limit.events), about.room.1.min(limit.bytes));
                let (batch, bytes) = scan.events(conn, after, limit, &mut about.names, events)?;
                about.room = (batch.events.len(), bytes);
                Ok(batch)
            })
            .await?;
        self.after = batch.scanned;
        Ok(batch)
    }

    async fn next_range(&mut self, limit: Limit) -> Result<EventRange, Error> {
        let after = self.after;
        let range = self.work(move |scan, conn, _| scan.range(conn, after, limit)).await?;
        self.after = range.scanned;
        Ok(range)
    }

    async fn wait(&mut self) -> Result<(), Error> {
        let after = self.after;
        if !self.database.watch().await? {
            // Nobody looks at the file for us: what is there already would never be reported.
            let head = self.work(|_, conn, _| head_of(conn)).await?;
            self.database.file().reached(head);
        }
        let mut signal = self.database.file().signal();
        let ended = |error| Error::new(ErrorKind::Closed, "wait for events").because(error);
        signal.wait_for(|signal| signal.head > after).await.map_err(ended)?;
        Ok(())
    }
}
