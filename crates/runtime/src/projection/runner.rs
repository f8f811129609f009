//! A projection and all that it runs on.

use std::sync::Arc;

use highwater_core::Error;
use highwater_core::policy::Class;
use highwater_core::ports::{EventLog, ReadModelStore};

use super::definition::{ProjectionDefinition, StartOptions};
use super::spreading::Spreading;
use super::status::StatusCell;
use crate::environment::Environment;

/// A projection and all that it runs on.
pub struct Runner<S: ReadModelStore> {
    /// The read models' store.
    pub store: S,
    /// Where the events come from.
    pub log: Arc<dyn EventLog>,
    /// What is run: a projection, or one partition of it.
    pub definition: Arc<ProjectionDefinition<S::Tx>>,
    /// Time, chance, observation, classification.
    pub environment: Environment,
    /// What an operator allows at this start.
    pub options: StartOptions,
    /// Where the runner says what it is doing.
    pub status: StatusCell,
    /// What it shares with the runners of the other partitions; `None` where the projection is not divided.
    pub spreading: Option<Arc<Spreading<S>>>,
}

/// Whether waiting cannot heal it.
pub(super) fn is_final(error: &Error, environment: &Environment) -> bool {
    environment.classifier.error(error).class == Class::Fatal
}
