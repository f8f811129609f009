//! A projection's connection, between its transactions.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use highwater_core::error::Error;

use super::deferred::DeferredKeys;
use super::tx::SqliteTx;
use crate::database::Database;
use crate::open::Role;

/// A connection with what is known about it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) tx: SqliteTx,
    pub(super) deferred: DeferredKeys,
}

impl Session {
    fn open(database: &Database) -> Result<Self, Error> {
        Ok(Self { tx: SqliteTx::new(database.connect(Role::Write)?)?, deferred: DeferredKeys::default() })
    }
}

/// Where the connection lies while no transaction uses it. Empty at first, and after a connection that was in
/// doubt has been closed: the next transaction opens a new one.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<Option<Session>>);

impl Slot {
    pub(super) fn take(&self, database: &Database) -> Result<Session, Error> {
        let lying = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        lying.map_or_else(|| Session::open(database), Ok)
    }
}

/// Where a transaction's connection goes back to, and its right to write. The permit is given back last.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) slot: Arc<Slot>,
    pub(super) database: Arc<Database>,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Home {
    /// Takes a sound connection back.
    pub(super) fn put(self, session: Session) {
        *self.slot.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }
}
