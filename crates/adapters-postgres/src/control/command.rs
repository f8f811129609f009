//! What the handles ask of the task.

use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::sync::oneshot;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::ports::{Claim, Owner};

use super::lease::PgLease;
use super::members::{Joiner, RankReply};

/// One request.
#[derive(Debug)]
pub(super) enum Command {
    Claim {
        key: String,
        claimant: Claimant,
    },
    Release {
        key: String,
        token: u64,
    },
    /// This instance is to be counted for a projection.
    Join {
        projection: String,
        joiner: Joiner,
    },
    Leave {
        token: i64,
    },
    Rank {
        token: i64,
        reply: RankReply,
    },
    Owner {
        key: String,
        reply: oneshot::Sender<Result<Option<Owner>, Error>>,
    },
    /// Something is to be told to other processes.
    Announce,
    /// Ends the connection in order; answered when it has ended.
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// Somebody who waits for the answer to a claim.
#[derive(Debug)]
pub(super) struct Claimant {
    pub(super) reply: oneshot::Sender<Result<Claim<PgLease>, Error>>,
    /// What a lease is given up through. Weak, since who waits does not keep the task alive.
    pub(super) commands: WeakUnboundedSender<Command>,
}

/// An error that many are told of.
#[derive(Debug)]
pub(super) struct Failure {
    kind: ErrorKind,
    code: Option<String>,
    chain: String,
}

impl Failure {
    pub(super) fn new(error: &Error) -> Self {
        let kind = match error.kind() {
            // Nobody's statement here is too long or in the way of another for a reason of its own.
            ErrorKind::Timeout | ErrorKind::Contention | ErrorKind::Other => ErrorKind::Unavailable,
            kind => kind,
        };
        Self { kind, code: error.backend_code().map(str::to_owned), chain: error.chain() }
    }

    pub(super) fn error(&self, operation: &'static str, key: &str) -> Error {
        let error = Error::new(self.kind, operation).with("key", key).because(self.chain.clone());
        match &self.code {
            Some(code) => error.code(code.clone()),
            None => error,
        }
    }

    pub(super) fn chain(&self) -> &str {
        &self.chain
    }
}
