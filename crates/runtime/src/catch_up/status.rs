//! What a catch-up runner is doing, for whoever asks, and the switch that pauses it.

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

/// A runner's status, written by the runner alone, and its pause switch.
#[derive(Debug, Clone)]
pub struct CatchUpStatusCell(Arc<Cell>);

#[derive(Debug)]
struct Cell {
    status: watch::Sender<CatchUpStatus>,
    paused: watch::Sender<bool>,
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
        Self(Arc::new(Cell { status: watch::Sender::new(status), paused: watch::Sender::new(false) }))
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
