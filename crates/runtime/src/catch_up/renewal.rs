//! Renews the leases of runners that have nothing to write.
//!
//! A runner that has caught up may settle nothing for hours; its claim must hold all the same. So a board
//! looks three times in a lease, and renews what no write has renewed in the meantime. A store that does not
//! answer is asked again in the next round: a lease that has run out is still its owner's until somebody else
//! claims the key.
//!
//! What is renewed says how far the key is known to be, so that an operator who moves it forward, past an
//! event that holds everything up, is heard by a runner that has nothing to write.
//!
//! A row whose runner is gone is not kept alive: its last mark is written, and the key given back. Usually
//! the persistence worker has done so long before.

use std::sync::{Arc, Weak};
use std::time::Duration;

use highwater_core::policy::jittered;
use highwater_core::ports::OwnedEntry;
use tokio::task::JoinHandle;

use super::checkpoints::{Row, Rows};
use crate::environment::Environment;

/// Keys in one flight.
const FLIGHT: usize = 100;

/// The task; it ends with the board.
pub(super) struct Renewals(pub(super) JoinHandle<()>);

impl Drop for Renewals {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn renew_for_ever(board: Weak<Rows>, environment: Environment, lease: Duration) {
    loop {
        environment.clock.sleep(jittered(lease / 3, environment.jitter.next_u64())).await;
        let Some(rows) = board.upgrade() else { return };
        renew(rows, &environment).await;
    }
}

async fn renew(rows: Arc<Rows>, environment: &Environment) {
    let now = environment.clock.now();
    let idle: Vec<OwnedEntry> = {
        let table = rows.lock();
        let due = |row: &Row| !row.seated || now.since(row.standing.borrow().renewed) >= rows.lease / 4;
        let idle = table.iter().filter(|(_, row)| due(row));
        let known = |row: &Row| row.newest.max(row.standing.borrow().stored);
        idle.filter_map(|(key, row)| row.entry(key, known(row))).collect()
    };
    for flight in idle.chunks(FLIGHT) {
        let renewed = async {
            // The runners are told why; there is nobody else to tell, and the next round tries again.
            let Ok(told) = rows.send(flight.to_vec()).await else { return false };
            rows.release_left(&told).await.is_empty()
        };
        tokio::select! {
            biased;
            went_well = renewed => if !went_well { return },
            () = environment.clock.sleep(rows.lease) => return,
        }
    }
}
