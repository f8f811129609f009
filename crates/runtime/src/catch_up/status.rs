//! What a catch-up runner is doing, for whoever asks, the switch that pauses it, and the bell that has its checkpoint
//! written.

use std::sync::Arc;

use highwater_core::model::Position;
use highwater_core::ports::HandlerTotals;
use tokio::sync::watch;

use crate::projection::Phase;

/// A runner's state and counters. The counters are of this process, from the first start of the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatchUpStatus {
    /// The group.
    pub group: Arc<str>,
    /// What it is doing.
    pub phase: Phase,
    /// Everything up to here is settled.
    pub position: Option<Position>,
    /// The checkpoint that is known to be stored; at or below `position`.
    pub stored: Option<Position>,
    /// Under which epoch it runs; 0 while it does not own the group.
    pub epoch: u64,
    /// How often an operator has reset the checkpoint.
    pub generation: u64,
    /// Events that are being handled.
    pub in_flight: usize,
    /// Events that are held, those in flight included.
    pub held: usize,
    /// How many attempts have counted for the event that is retried, of several the most; 0 where none is.
    pub attempts: u32,
    /// What was done.
    pub totals: HandlerTotals,
    /// The last trouble, kept after it healed.
    pub last_error: Option<String>,
}

/// A runner's status, written by the runner alone, its pause switch, and its bell.
#[derive(Debug, Clone)]
pub struct CatchUpStatusCell(Arc<Cell>);

#[derive(Debug)]
struct Cell {
    status: watch::Sender<CatchUpStatus>,
    paused: watch::Sender<bool>,
    /// How often it was asked to have its checkpoint written, and up to which request it has.
    asked: watch::Sender<u64>,
    handed_over: watch::Sender<u64>,
}

impl CatchUpStatusCell {
    /// The status of a runner that has not begun.
    #[must_use]
    pub fn new(group: impl Into<Arc<str>>) -> Self {
        let status = CatchUpStatus {
            group: group.into(),
            phase: Phase::Starting,
            position: None,
            stored: None,
            epoch: 0,
            generation: 0,
            in_flight: 0,
            held: 0,
            attempts: 0,
            totals: HandlerTotals::default(),
            last_error: None,
        };
        Self(Arc::new(Cell {
            status: watch::Sender::new(status),
            paused: watch::Sender::new(false),
            asked: watch::Sender::new(0),
            handed_over: watch::Sender::new(0),
        }))
    }

    /// The present status.
    #[must_use]
    pub fn get(&self) -> CatchUpStatus {
        self.0.status.borrow().clone()
    }

    /// Follows the status.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<CatchUpStatus> {
        self.0.status.subscribe()
    }

    /// Begins no event any more, until [`CatchUpStatusCell::resume`]; what is being handled is finished. For
    /// this process only: another one that takes over is not paused.
    pub fn pause(&self) {
        self.0.paused.send_replace(true);
    }

    /// Goes on.
    pub fn resume(&self) {
        self.0.paused.send_replace(false);
    }

    /// Has the runner hand over its present mark to be written, without waiting for `checkpoint_batch_size` or
    /// `checkpoint_interval`; returns when it has, which is not yet when it is written, or at once where the runner
    /// does not own its group. Dropping the future takes nothing back.
    pub async fn hand_over(&self) {
        let mut wanted = 0;
        self.0.asked.send_modify(|asked| {
            *asked += 1;
            wanted = *asked;
        });
        let (mut handed_over, mut status) = (self.0.handed_over.subscribe(), self.0.status.subscribe());
        tokio::select! {
            // The senders are in the cell that this holds.
            _done = handed_over.wait_for(|done| *done >= wanted) => {}
            _no_owner = status.wait_for(|status| status.epoch == 0) => {}
        }
    }

    pub(super) fn asked(&self) -> watch::Receiver<u64> {
        self.0.asked.subscribe()
    }

    /// Up to this request the mark was handed over.
    pub(super) fn handed_over(&self, request: u64) {
        self.0.handed_over.send_if_modified(|done| {
            let news = *done < request;
            *done = request.max(*done);
            news
        });
    }

    pub(super) fn paused(&self) -> watch::Receiver<bool> {
        self.0.paused.subscribe()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut CatchUpStatus)) {
        self.0.status.send_modify(change);
    }

    /// Tells those who follow only where something changed.
    pub(super) fn revise(&self, change: impl FnOnce(&mut CatchUpStatus) -> bool) {
        self.0.status.send_if_modified(change);
    }

    pub(super) fn totals(&self) -> HandlerTotals {
        self.0.status.borrow().totals
    }

    pub(super) fn phase(&self, phase: Phase) {
        self.revise(|status| {
            let changed = status.phase != phase;
            status.phase = phase;
            changed
        });
    }

    pub(super) fn is_stalled(&self) -> bool {
        matches!(self.0.status.borrow().phase, Phase::Stalled { .. })
    }
}
