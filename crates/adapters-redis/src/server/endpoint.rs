//! Which node is talked to.
//!
//! A cluster answers `MOVED` to whoever asks the wrong node. All our keys are in one slot, so there is one right node,
//! and going there is all that is needed. When that one cannot be reached, it is the address that the user has given
//! which is asked again: after a failover it knows the new one.

use std::sync::{Mutex, PoisonError};

use deadpool_redis::redis::{Client, ConnectionInfo, RedisResult};

use crate::address::{moved, shown};

/// The node to talk to.
pub(super) struct Endpoint {
    given: ConnectionInfo,
    /// Where a cluster has sent us, and how often the node has changed.
    there: Mutex<(Option<ConnectionInfo>, u64)>,
}

impl Endpoint {
    pub(super) fn new(given: ConnectionInfo) -> Self {
        Self { given, there: Mutex::new((None, 0)) }
    }

    /// The node, with a number that changes with it.
    pub(super) fn node(&self) -> (ConnectionInfo, u64) {
        let there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        (there.0.clone().unwrap_or_else(|| self.given.clone()), there.1)
    }

    pub(super) fn client(&self) -> RedisResult<Client> {
        Client::open(self.node().0)
    }

    /// Where it is, without secrets.
    pub(super) fn shown(&self) -> String {
        shown(&self.node().0)
    }

    /// Goes to the node that a cluster has named; says whether that can be done.
    pub(super) fn follow(&self, node: &str) -> bool {
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        let from = there.0.as_ref().unwrap_or(&self.given);
        let Some(to) = moved(from, node) else { return false };
        if to.addr() != from.addr() {
            *there = (Some(to), there.1 + 1);
        }
        true
    }

    /// Goes back to the address that was given, since the node that a cluster named cannot be reached.
    pub(super) fn go_home(&self) {
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        if there.0.take().is_some() {
            there.1 += 1;
        }
    }
}
