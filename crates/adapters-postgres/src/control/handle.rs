//! What the rest of the adapter holds.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::ProjectionKey;
use highwater_core::ports::{Claim, Membership, Owner};

use crate::options::PgOptions;
use crate::schema::Schema;

use super::command::{Claimant, Command};
use super::lease::PgLease;
use super::link::{ASK, CONNECT};
use super::members::{JOIN, Joiner};
use super::names::News;
use super::setup::Setup;
use super::signals::Signals;
use super::task::Task;

/// The control connection of one `Database`; it is made when it is first needed.
pub struct Control {
    setup: Arc<Setup>,
    signals: Arc<Signals>,
    /// The way to the task, once there is one.
    task: Mutex<Option<UnboundedSender<Command>>>,
}

impl Control {
    pub(crate) fn new(connect: PgConnectOptions, schema: &Schema, options: &PgOptions) -> Self {
        let signals = Arc::new(Signals::new());
        let setup = Arc::new(Setup::new(connect, schema, options, signals.clone()));
        Self { setup, signals, task: Mutex::new(None) }
    }

    /// Changes when something was appended, here or elsewhere. A hint; also after a reconnect.
    pub fn appended(&self) -> watch::Receiver<u64> {
        self.listen();
        self.signals.appended.subscribe()
    }

    /// Changes when a state, a failed event or a pause was committed, here or elsewhere. A hint.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.listen();
        self.signals.committed.subscribe()
    }

    /// Tells this process at once, and others soon, that an append was committed. Never blocks.
    pub fn announce_append(&self) {
        self.announce(News::Appended);
    }

    /// Tells this process at once, and others soon, that something was committed to the store. Never blocks.
    pub fn announce_commit(&self) {
        self.announce(News::Committed);
    }

    /// Tries to become the owner of what `key` names; does not wait for the present one to give it up. A key
    /// that is claimed for the first time is asked for at once; one that stands by is answered with the next
    /// of the questions that are asked once a second for all of them.
    ///
    /// # Errors `Unavailable` without a server, within the time that a connection may take; else what the
    /// server refuses with.
    pub async fn claim(&self, key: &str) -> Result<Claim<PgLease>, Error> {
        const CLAIM: &str = "claim a projection";
        let task = self.task()?;
        let (reply, answer) = oneshot::channel();
        let claimant = Claimant { reply, commands: task.downgrade() };
        send(&task, Command::Claim { key: key.to_owned(), claimant }, CLAIM)?;
        answer.await.unwrap_or_else(|_gone| Err(closed(CLAIM)))
    }

    /// Counts this process among those that run a projection, from the return of this on. Its rank is as fresh as
    /// the question about it; such questions are taken together, and asked at most twice a second.
    ///
    /// # Errors
    /// As [`Control::claim`].
    pub async fn join(&self, projection: &str) -> Result<Box<dyn Membership>, Error> {
        let task = self.task()?;
        let (reply, answer) = oneshot::channel();
        let joiner = Joiner { reply, commands: task.downgrade() };
        send(&task, Command::Join { projection: projection.to_owned(), joiner }, JOIN)?;
        Ok(Box::new(answer.await.unwrap_or_else(|_gone| Err(closed(JOIN)))?))
    }

    /// Who owns what `key` names. Takes no part in ownership itself.
    ///
    /// # Errors
    /// As [`Control::claim`].
    pub async fn owner(&self, key: &str) -> Result<Option<Owner>, Error> {
        let task = self.task()?;
        let (reply, answer) = oneshot::channel();
        send(&task, Command::Owner { key: key.to_owned(), reply }, ASK)?;
        answer.await.unwrap_or_else(|_gone| Err(closed(ASK)))
    }

    /// Gives up what is owned, says what is still to be said, and ends the connection; the next use makes
    /// another one. Leases that are still there are void. Without it the same happens by itself when the last
    /// handle is dropped, unless the runtime ends first: then the server notices that the connection is gone,
    /// and those who stand by learn it from their next question.
    pub async fn close(&self) {
        let Some(task) = self.slot().take() else { return };
        let (reply, ended) = oneshot::channel();
        if task.send(Command::Close { reply }).is_ok() && ended.await.is_err() {
            tracing::debug!("the task of the control connection has ended by itself");
        }
    }

    /// How many statements were sent to the server so far.
    pub fn statements(&self) -> u64 {
        self.signals.statements()
    }

    /// A batch has won its state row, and somebody else holds the advisory key of that row: another text has the
    /// same hash, or somebody's own locks meet ours. The row decides, so the batch goes on; it is counted, and the
    /// first one is said aloud.
    pub(crate) fn note_collision(&self, key: &ProjectionKey) {
        const SAID: &str = "a batch has its state row, and another session the advisory lock that goes with it: a \
                            collision of keys, which is counted and changes nothing";
        match self.signals.collided() {
            0 => tracing::warn!(projection = %key, "{SAID}"),
            _ => tracing::debug!(projection = %key, "{SAID}"),
        }
    }

    /// How many batches have met a key of theirs in somebody else's hands, see `note_collision`.
    pub fn collisions(&self) -> u64 {
        self.signals.collisions()
    }

    fn announce(&self, news: News) {
        self.signals.bump(news);
        if !self.setup.notify {
            return;
        }
        let new = self.signals.mark(news);
        match self.task() {
            // What is marked already is on its way.
            Ok(task) if new => {
                if task.send(Command::Announce).is_err() {
                    tracing::debug!("the control connection is being closed; others learn it by polling");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(error = error.chain(), "others learn it by polling"),
        }
    }

    fn listen(&self) {
        if self.setup.notify
            && let Err(error) = self.task()
        {
            tracing::debug!(error = error.chain(), "nothing is heard of other processes; polling remains");
        }
    }

    /// The way to the task. It is started where there is none, also where the runtime that it ran in has
    /// ended.
    fn task(&self) -> Result<UnboundedSender<Command>, Error> {
        let mut slot = self.slot();
        if let Some(task) = &*slot
            && !task.is_closed()
        {
            return Ok(task.clone());
        }
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(ErrorKind::Unavailable, CONNECT).because(error))?;
        let (task, commands) = unbounded_channel();
        // Detached: it ends when the last sender is gone.
        runtime.spawn(Task::new(self.setup.clone(), commands).run());
        *slot = Some(task.clone());
        Ok(task)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<UnboundedSender<Command>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(task: &UnboundedSender<Command>, command: Command, operation: &'static str) -> Result<(), Error> {
    task.send(command).map_err(|_gone| closed(operation))
}

fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, operation)
        .because("the control connection was closed meanwhile; ask again")
}
