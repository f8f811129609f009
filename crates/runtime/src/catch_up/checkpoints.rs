//! The board: the newest mark of each runner of this process, and under which epoch it may be written (B-8).
//!
//! One board a checkpoint store. Runners put marks on it, and one persistence worker takes them off: however
//! fast events are settled, what travels is one position a key, and one flight for all keys. The board is the
//! worker's [`PersistTarget`].
//!
//! It also stands between the store's word on ownership and the runner: every answer renews a lease, says
//! that the key is another one's, or that an operator has moved it, and the runner hears of it through
//! [`Standing`]. A lease whose key has nothing to write is renewed by a task of the board.
//!
//! A row outlives its runner where the runner was dropped before its last mark was written: the mark is
//! written with the next flight, and then the key is given back.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::model::{Advance, Position};
use highwater_core::ports::{Clock, Moment, OwnedAdvance, OwnedCheckpoints, OwnedEntry, PersistTarget};
use highwater_core::{Error, ErrorKind};
use tokio::sync::watch;

use super::renewal::{Renewals, renew_for_ever};
use super::seat::Seat;
use super::writer::CheckpointWriter;
use crate::environment::Environment;

/// What the store last said about a key of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose the key is.
    pub held: Held,
    /// The checkpoint that is known to be stored.
    pub stored: Option<Position>,
    /// When the lease was begun or renewed last: it runs from here.
    pub renewed: Moment,
    /// Why the last try to write or renew failed; `None` after one that succeeded.
    pub trouble: Option<String>,
}

/// Whose a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nobody's of this process.
    Not,
    /// This process's, under an epoch.
    Ours {
        /// The epoch.
        epoch: u64,
    },
    /// It was ours, and another one has claimed it, or an operator has reset or deleted it.
    Lost,
    /// It is ours, but an operator has moved the checkpoint beyond our mark.
    Moved,
}

/// The marks of one store's runners in this process. Clones are the same board; when the last one goes, so
/// does the task that renews the leases.
#[derive(Clone)]
pub struct CheckpointBoard {
    pub(super) rows: Arc<Rows>,
    _renewals: Arc<Renewals>,
}

pub(super) struct Rows {
    pub(super) store: Arc<dyn OwnedCheckpoints>,
    pub(super) owner: String,
    pub(super) lease: Duration,
    pub(super) clock: Arc<dyn Clock>,
    by_key: Mutex<HashMap<String, Row>>,
}

pub(super) struct Row {
    /// A runner has its place here; without one the row waits to be written for the last time.
    pub(super) seated: bool,
    /// Under which epoch the key is ours.
    pub(super) epoch: Option<u64>,
    /// The newest mark.
    pub(super) newest: Option<Position>,
    pub(super) standing: watch::Sender<Standing>,
}

impl CheckpointBoard {
    /// How long a claim holds without being renewed, unless somebody knows better: after so long another
    /// process takes over from one that has died. It is renewed three times in that time.
    pub const LEASE: Duration = Duration::from_secs(10);

    /// A board over this store. `owner` is unique to this run of this process, for other processes and for
    /// people; `lease` is how long a claim holds without being renewed.
    ///
    /// Call it inside a tokio runtime: it starts the task that renews leases.
    #[must_use]
    pub fn start(
        store: Arc<dyn OwnedCheckpoints>,
        owner: impl Into<String>,
        lease: Duration,
        environment: &Environment,
    ) -> Self {
        let rows = Arc::new(Rows {
            store,
            owner: owner.into(),
            lease,
            clock: environment.clock.clone(),
            by_key: Mutex::default(),
        });
        let task = tokio::spawn(renew_for_ever(Arc::downgrade(&rows), environment.clone(), lease));
        Self { rows, _renewals: Arc::new(Renewals(task)) }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn OwnedCheckpoints> {
        &self.rows.store
    }

    /// As whom this process claims.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.rows.owner
    }

    /// What the store last said about a key; `None` where no runner of this process has it.
    #[must_use]
    pub fn standing(&self, key: &str) -> Option<Standing> {
        self.rows.lock().get(key).map(|row| row.standing.borrow().clone())
    }

    /// Takes a runner's place on the board.
    ///
    /// # Errors
    /// `Busy` when a runner of this process has it already.
    pub(super) fn enter(&self, key: &str, writer: Arc<dyn CheckpointWriter>) -> Result<Seat, Error> {
        let mut rows = self.rows.lock();
        let row = rows.entry(key.to_owned()).or_insert_with(Row::new);
        if row.seated {
            return Err(Error::new(
                ErrorKind::Busy,
                "run a group that is running in this process already: stop it first",
            )
            .with("group", key));
        }
        row.seated = true;
        let standing = row.standing.subscribe();
        Ok(Seat::new(self.rows.clone(), key.to_owned(), writer, standing))
    }
}

impl Row {
    fn new() -> Self {
        let nothing = Standing { held: Held::Not, stored: None, renewed: Moment::default(), trouble: None };
        Self { seated: false, epoch: None, newest: None, standing: watch::Sender::new(nothing) }
    }
}

/// The answers to one flight.
pub(super) struct Told {
    pub(super) entries: Vec<OwnedEntry>,
    pub(super) answers: Vec<OwnedAdvance>,
}

impl Rows {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Row>> {
        // Nothing foreign runs under the lock, so a poisoned one is as good as new.
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what stands on the board for these keys, and tells the runners what the store answers. Keys that
    /// are not ours are left out: there is nothing to write for them.
    pub(super) async fn send(&self, entries: Vec<OwnedEntry>) -> Result<Told, Error> {
        if entries.is_empty() {
            return Ok(Told { entries, answers: Vec::new() });
        }
        let begun = self.clock.now();
        let answered =
            self.store.advance_owned(&self.owner, self.lease, &entries).await.and_then(|answers| {
                if answers.len() == entries.len() {
                    return Ok(answers);
                }
                let what = format!("{} answers to {} entries", answers.len(), entries.len());
                Err(Error::new(ErrorKind::Corrupt, "write checkpoints").because(what))
            });
        let mut rows = self.lock();
        match answered {
            Ok(answers) => {
                for (entry, answer) in entries.iter().zip(&answers) {
                    if let Some(row) = rows.get_mut(&entry.key).filter(|row| row.epoch == Some(entry.epoch)) {
                        row.answered(entry.to, *answer, begun);
                    }
                }
                Ok(Told { entries, answers })
            }
            Err(error) => {
                let why = error.chain();
                for row in entries.iter().filter_map(|entry| rows.get(&entry.key)) {
                    row.standing.send_modify(|standing| standing.trouble = Some(why.clone()));
                }
                Err(error)
            }
        }
    }

    /// Gives back the keys of runners that are gone, once their last mark is written.
    pub(super) async fn release_left(&self, told: &Told) -> HashMap<String, Error> {
        let is_left = |rows: &HashMap<String, Row>, entry: &OwnedEntry| {
            rows.get(&entry.key)
                .is_some_and(|row| !row.seated && row.epoch.is_none_or(|it| it == entry.epoch))
        };
        let left: Vec<_> = {
            let rows = self.lock();
            told.entries.iter().zip(&told.answers).filter(|(entry, _)| is_left(&rows, entry)).collect()
        };
        let mut refused = HashMap::new();
        for (entry, answer) in left {
            // A runner may have taken the place meanwhile.
            if !is_left(&self.lock(), entry) {
                continue;
            }
            if let OwnedAdvance::Owned(_) = answer
                && let Err(error) = self.store.release(&entry.key, &self.owner, entry.epoch).await
            {
                refused.insert(entry.key.clone(), error);
                continue;
            }
            let mut rows = self.lock();
            if is_left(&rows, entry) {
                rows.remove(&entry.key);
            }
        }
        refused
    }
}

impl Row {
    pub(super) fn entry(&self, key: &str, to: Option<Position>) -> Option<OwnedEntry> {
        self.epoch.map(|epoch| OwnedEntry { key: key.to_owned(), epoch, to })
    }

    fn answered(&mut self, to: Option<Position>, answer: OwnedAdvance, begun: Moment) {
        let lost = answer == OwnedAdvance::Lost;
        if lost {
            self.epoch = None;
        }
        self.standing.send_modify(|standing| {
            standing.trouble = None;
            if lost {
                standing.held = Held::Lost;
                return;
            }
            standing.renewed = begun.max(standing.renewed);
            match answer {
                OwnedAdvance::Owned(Some(Advance::Stale { current })) => {
                    // An answer that was overtaken by a later one of our own tells nothing.
                    if Some(current) > standing.stored && Some(current) > self.newest {
                        standing.held = Held::Moved;
                    }
                    standing.stored = standing.stored.max(Some(current));
                }
                OwnedAdvance::Owned(_) => standing.stored = standing.stored.max(to),
                OwnedAdvance::Lost => {}
            }
        });
    }
}

#[async_trait]
impl PersistTarget for CheckpointBoard {
    async fn persist(&self, keys: &[String]) -> Result<Vec<Result<(), Error>>, Error> {
        let entries: Vec<OwnedEntry> = {
            let rows = self.rows.lock();
            keys.iter().filter_map(|key| rows.get(key).and_then(|row| row.entry(key, row.newest))).collect()
        };
        let told = self.rows.send(entries).await?;
        let mut refused = self.rows.release_left(&told).await;
        // For a key that is not on the board there is nothing to write; nor for one that is no longer ours,
        // which its runner has just heard.
        Ok(keys.iter().map(|key| refused.remove(key).map_or(Ok(()), Err)).collect())
    }
}

impl fmt::Debug for CheckpointBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointBoard").field("owner", &self.rows.owner).finish_non_exhaustive()
    }
}
