//! A runner's place on the board: from its first claim to the last mark it leaves.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::{Checkpoint, Position};
use highwater_core::ports::GroupClaim;
use highwater_core::{Error, ErrorKind, Retry};
use tokio::sync::watch;

use super::checkpoints::{Held, Rows, Standing};
use super::writer::CheckpointWriter;

/// What a claim found.
#[derive(Debug)]
pub(super) enum Claimed {
    Won { epoch: u64, generation: u64, checkpoint: Option<Checkpoint> },
    Held { owner: String, remaining: Duration },
}

/// A runner's place on the board. Dropped, it leaves its last mark behind, marked as due (B-5).
pub(super) struct Seat {
    rows: Arc<Rows>,
    key: String,
    writer: Arc<dyn CheckpointWriter>,
    standing: watch::Receiver<Standing>,
    epoch: Option<u64>,
    /// The newest mark, whether or not it is on the board.
    mark: Option<Position>,
}

impl Seat {
    pub(super) fn new(
        rows: Arc<Rows>,
        key: String,
        writer: Arc<dyn CheckpointWriter>,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        Self { rows, key, writer, standing, epoch: None, mark: None }
    }

    /// How long a claim holds.
    pub(super) fn lease(&self) -> Duration {
        self.rows.lease
    }

    /// Follows what the store says.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Tries to become the owner. What a runner before this one has left is written first, so that this one
    /// resumes where it stopped.
    ///
    /// # Errors
    /// When the store cannot be asked, or has lost the checkpoint.
    pub(super) async fn claim(&mut self) -> Result<Claimed, Error> {
        (self.epoch, self.mark) = (None, None);
        let left = {
            let rows = self.rows.lock();
            rows.get(&self.key).and_then(|row| row.entry(&self.key, row.newest))
        };
        if let Some(left) = left {
            self.rows.send(vec![left]).await?;
        }
        let begun = self.rows.clock.now();
        match self.rows.store.claim(&self.key, &self.rows.owner, self.rows.lease).await? {
            GroupClaim::Won { epoch, generation, checkpoint } => {
                self.epoch = Some(epoch);
                let stored = checkpoint.map(|checkpoint| checkpoint.position);
                let mut rows = self.rows.lock();
                if let Some(row) = rows.get_mut(&self.key) {
                    (row.epoch, row.newest) = (Some(epoch), None);
                    row.standing.send_replace(Standing {
                        held: Held::Ours { epoch },
                        stored,
                        renewed: begun,
                        trouble: None,
                    });
                }
                // Under the lock: what the store says from here on is news.
                self.standing.mark_unchanged();
                drop(rows);
                Ok(Claimed::Won { epoch, generation, checkpoint })
            }
            GroupClaim::Held { owner, remaining } => Ok(Claimed::Held { owner, remaining }),
        }
    }

    /// Everything up to here is settled. Costs nothing: it is not written before it is asked for.
    pub(super) fn reached(&mut self, mark: Option<Position>) {
        self.mark = self.mark.max(mark);
    }

    /// Asks that the newest mark be written now.
    ///
    /// # Errors
    /// When too many keys wait to be written; ask again.
    pub(super) fn request(&mut self) -> Result<(), Error> {
        self.post();
        self.writer.mark_due(&self.key)
    }

    /// Writes the last mark and gives the key back; an owner no more, it has nothing to give.
    ///
    /// # Errors
    /// When the mark could not be written in this time, or the key could not be given back. What was not
    /// written stays marked, and the writer goes on trying.
    pub(super) async fn leave(&mut self, within: Duration) -> Result<(), Error> {
        let Some(epoch) = self.epoch else { return Ok(()) };
        self.post();
        let written = self.standing.borrow().stored >= self.mark;
        if !written {
            self.writer.flush(&self.key, within).await?;
        }
        if self.standing.borrow().held == Held::Lost {
            self.epoch = None;
            return Err(Error::new(ErrorKind::LostOwnership, "write the last checkpoint of a group")
                .with("group", &self.key));
        }
        let released = tokio::select! {
            biased;
            released = self.rows.store.release(&self.key, &self.rows.owner, epoch) => released?,
            () = self.rows.clock.sleep(within) => {
                return Err(Error::new(ErrorKind::Timeout, "give a group back")
                    .with("group", &self.key)
                    .retry(Retry::Unknown));
            }
        };
        self.epoch = None;
        let mut rows = self.rows.lock();
        if let Some(row) = rows.get_mut(&self.key) {
            row.epoch = None;
            let held = if released { Held::Not } else { Held::Lost };
            row.standing.send_modify(|standing| standing.held = held);
        }
        Ok(())
    }

    /// Puts the mark on the board.
    fn post(&mut self) {
        let mut rows = self.rows.lock();
        if let Some(row) = rows.get_mut(&self.key)
            && row.epoch.is_some()
            && row.epoch == self.epoch
        {
            row.newest = row.newest.max(self.mark);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.post();
        let mut rows = self.rows.lock();
        let Some(row) = rows.get_mut(&self.key) else { return };
        row.seated = false;
        if row.epoch.is_none() {
            rows.remove(&self.key);
            return;
        }
        drop(rows);
        if let Err(error) = self.writer.mark_due(&self.key) {
            tracing::warn!(
                target: "highwater",
                group = self.key.as_str(),
                "the last checkpoint of a runner was not taken, and the events behind the one before it will be handled \
                 again: {}",
                error.chain()
            );
        }
    }
}
