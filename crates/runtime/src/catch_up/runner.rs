//! A group and all that it runs on.

use std::fmt;
use std::sync::Arc;

use highwater_core::breaker::SharedBreaker;
use highwater_core::model::{Filter, Position};
use highwater_core::policy::Class;
use highwater_core::ports::{DeadLetters, DynHandler, EventLog, HandlerObserver, HandlerSeen, NoObserver};
use highwater_core::settings::CatchUpSettings;
use highwater_core::{Error, ErrorKind};

use super::checkpoints::CheckpointBoard;
use super::status::CatchUpStatusCell;
use super::writer::CheckpointWriter;
use crate::environment::Environment;

/// A group and all that it runs on. A clone is the same group, with the same status.
#[derive(Clone)]
pub struct CatchUpRunner {
    /// The group's name: the key of its checkpoint, unique in a store.
    pub group: Arc<str>,
    /// Where the events come from.
    pub log: Arc<dyn EventLog>,
    /// The events it is for.
    pub filter: Filter,
    /// The code.
    pub handler: Arc<dyn DynHandler>,
    /// Where its checkpoint is kept.
    pub board: CheckpointBoard,
    /// Who writes it.
    pub writer: Arc<dyn CheckpointWriter>,
    /// Where events go that are given up.
    pub dead_letters: Option<Arc<dyn DeadLetters>>,
    /// How it is run.
    pub settings: CatchUpSettings,
    /// Time, chance, classification.
    pub environment: Environment,
    /// Who is told what happens.
    pub observer: Arc<dyn HandlerObserver>,
    /// The breaker in front of the handler (B-14): one for each other side, so runners that call the same one
    /// share it.
    pub breaker: SharedBreaker,
    /// Go on although the stored checkpoint does not belong to this log (E-7).
    pub trust_checkpoint: bool,
    /// Where the runner says what it is doing.
    pub status: CatchUpStatusCell,
}

impl CatchUpRunner {
    /// A runner for all events of the log, without a place for dead letters, told to nobody, with a breaker
    /// of its own.
    #[must_use]
    pub fn new(
        group: impl Into<Arc<str>>,
        log: Arc<dyn EventLog>,
        handler: Arc<dyn DynHandler>,
        board: CheckpointBoard,
        writer: Arc<dyn CheckpointWriter>,
        settings: CatchUpSettings,
        environment: Environment,
    ) -> Self {
        let group = group.into();
        Self {
            log,
            filter: Filter::all(),
            handler,
            board,
            writer,
            dead_letters: None,
            breaker: SharedBreaker::new(settings.breaker()),
            settings,
            environment,
            observer: Arc::new(NoObserver),
            trust_checkpoint: false,
            status: CatchUpStatusCell::new(group.clone()),
            group,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// `Invalid`, with all violations.
    pub fn validate(&self) -> Result<(), Error> {
        let violations = match self.settings.validate() {
            Ok(()) if !self.group.is_empty() => return Ok(()),
            Ok(()) => vec!["the group's name is empty: give it one".to_owned()],
            Err(violations) => violations.iter().map(ToString::to_string).collect(),
        };
        let invalid = Error::new(ErrorKind::Invalid, "run a group").with("group", &self.group);
        Err(invalid.because(violations.join("; ")))
    }

    /// How many matching events are behind what is settled; `None` where the log cannot count. Asked of the
    /// log now, so that a runner that is stuck does not look healthy.
    ///
    /// # Errors
    /// When the log cannot be asked.
    pub async fn lag(&self) -> Result<Option<u64>, Error> {
        let position: Option<Position> = self.status.get().position;
        let head = self.log.head().await?;
        if head <= position {
            return Ok(Some(0));
        }
        self.log.count_between(position, head, &self.filter).await
    }

    pub(super) fn seen(&self, what: &HandlerSeen<'_>) {
        self.observer.seen(&self.group, what);
    }

    /// Whether waiting cannot heal it.
    pub(super) fn is_final(&self, error: &Error) -> bool {
        self.environment.classifier.error(error).class == Class::Fatal
    }
}

impl fmt::Debug for CatchUpRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchUpRunner").field("group", &self.group).finish_non_exhaustive()
    }
}
