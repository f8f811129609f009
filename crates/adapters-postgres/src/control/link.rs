//! The one connection, of either kind.

use std::time::Duration;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::InstanceRank;
use highwater_core::ports::Owner;

use crate::options::Ownership;

use super::members::Roll;
use super::names::News;
use super::rows::Rows;
use super::session::Session;
use super::setup::Setup;
use super::timer::Timer;

pub(super) const CONNECT: &str = "keep the control connection";
pub(super) const BEATING: &str = "claim what is wanted and keep what is owned";
pub(super) const GIVE_UP: &str = "give up ownership";
pub(super) const ASK: &str = "find out who owns a projection";
pub(super) const NOTIFY: &str = "notify other processes";

/// What one tick is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    /// What is ours.
    pub(super) held: Vec<String>,
    /// What is to be ours.
    pub(super) wanted: Vec<String>,
    /// What this process is counted for.
    pub(super) roll: Roll,
}

/// What one tick has brought.
pub(super) struct Tick {
    pub(super) won: Vec<String>,
    /// For each of the roll.
    pub(super) ranks: Vec<InstanceRank>,
    /// Was ours, and is another's.
    pub(super) lost: Vec<String>,
    /// When the next one is due.
    pub(super) next: Duration,
}

/// The connection. After an error of any call it is not used again.
pub(super) enum Link {
    Session(Box<Session>),
    Rows(Rows),
}

impl Link {
    pub(super) async fn open(setup: &Setup, previous: Option<i32>) -> Result<Self, Error> {
        Ok(match setup.ownership {
            Ownership::Session => Self::Session(Box::new(Session::open(setup, previous).await?)),
            Ownership::Lease => Self::Rows(Rows::open(setup).await?),
        })
    }

    /// The process of the server that must be gone before another connection of ours can own anything.
    pub(super) fn pid(&self) -> Option<i32> {
        match self {
            Self::Session(session) => Some(session.pid()),
            Self::Rows(_) => None,
        }
    }

    pub(super) async fn tick(&mut self, setup: &Setup, timer: Timer, wishes: &Wishes) -> Result<Tick, Error> {
        match self {
            Self::Session(session) => session.tick(setup, timer, wishes).await,
            Self::Rows(rows) => rows.tick(setup, wishes).await,
        }
    }

    pub(super) async fn release(&mut self, setup: &Setup, keys: &[String]) -> Result<(), Error> {
        match self {
            Self::Session(session) => session.release(setup, keys).await,
            Self::Rows(rows) => rows.release(setup, Some(keys)).await,
        }
    }

    pub(super) async fn owner(&mut self, setup: &Setup, key: &str) -> Result<Option<Owner>, Error> {
        match self {
            Self::Session(session) => session.owner(setup, key).await,
            Self::Rows(rows) => rows.owner(setup, key).await,
        }
    }

    /// Tells other processes; nothing where there are no notifications.
    pub(super) async fn tell(&mut self, setup: &Setup, news: &[News]) -> Result<(), Error> {
        match self {
            Self::Session(session) if setup.notify => session.tell(setup, news).await,
            Self::Session(_) | Self::Rows(_) => Ok(()),
        }
    }

    /// Finds out whether the server is still there.
    pub(super) async fn ping(&mut self, setup: &Setup) -> Result<(), Error> {
        match self {
            Self::Session(session) => session.ping(setup).await,
            Self::Rows(_) => Ok(()),
        }
    }

    /// Waits for news of others; may be dropped at any time.
    pub(super) async fn hear(&mut self, setup: &Setup) -> Result<Option<News>, Error> {
        match self {
            Self::Session(session) => session.hear(setup).await,
            Self::Rows(_) => std::future::pending().await,
        }
    }

    /// Gives everything up, tells those who stand by, and ends the connection.
    pub(super) async fn close(self, setup: &Setup, news: &[News], owned: bool) -> Result<(), Error> {
        match self {
            Self::Session(mut session) => {
                session.leave(setup).await?;
                if setup.notify && !news.is_empty() {
                    session.tell(setup, news).await?;
                }
                session.close(setup).await;
                Ok(())
            }
            Self::Rows(mut rows) => {
                if owned {
                    rows.release(setup, None).await?;
                }
                rows.close().await
            }
        }
    }
}

/// The ranks as the server has counted them.
pub(super) fn ranks(ranks: Vec<i32>, sizes: Vec<i32>) -> Result<Vec<InstanceRank>, Error> {
    let both = ranks.into_iter().zip(sizes);
    both.map(|(rank, size)| Ok(InstanceRank { rank: u32::try_from(rank)?, instances: u32::try_from(size)? }))
        .collect::<Result<_, std::num::TryFromIntError>>()
        .map_err(|error| Error::new(ErrorKind::Corrupt, BEATING).because(error))
}
