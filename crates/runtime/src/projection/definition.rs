//! What is run: a projection with its name, version, filter and settings.

use std::fmt;
use std::sync::Arc;

use highwater_core::model::{Filter, Partition, ProjectionKey, ProjectionName};
use highwater_core::ports::DynProjection;
use highwater_core::settings::ProjectionSettings;

/// A projection, ready to be run on a store whose transaction is `Tx`.
pub struct ProjectionDefinition<Tx> {
    /// Its name: unique in a store.
    pub name: ProjectionName,
    /// Raised by its author when the read model is to be made anew.
    pub version: u32,
    /// The events it is for.
    pub filter: Filter,
    /// Changes with the projection's SQL; empty for a projection in Rust (E-6).
    pub sql_fingerprint: String,
    /// The code.
    pub projection: Arc<dyn DynProjection<Tx>>,
    /// How it is run.
    pub settings: ProjectionSettings,
}

impl<Tx> ProjectionDefinition<Tx> {
    /// Whose state it moves.
    #[must_use]
    pub fn key(&self) -> ProjectionKey {
        let partition = self.filter.partition.map_or(0, |partition| partition.index);
        ProjectionKey { name: self.name.clone(), version: self.version, partition }
    }

    /// Into how many partitions it is to be divided; at least 1.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.settings.partitions.max(1)
    }
}

impl<Tx: Send> ProjectionDefinition<Tx> {
    /// One of its partitions, as it is run: only that partition's streams pass the filter. A projection that is
    /// not divided is its only partition.
    #[must_use]
    pub fn part(&self, index: u32) -> Self {
        let partition = Partition { index, of: self.partitions() };
        let mut part = self.clone();
        if !partition.is_all() {
            part.filter.partition = Some(partition);
            if let Some(projection) = self.projection.for_partition(partition) {
                part.projection = projection;
            }
        }
        part
    }

    /// Whether the projection, where it reads the log by itself, finds what the filter lets through: not one that
    /// knows nothing of the partition that it is run for.
    pub(crate) fn may_read_the_log(&self) -> bool {
        self.projection.partition() == self.filter.partition
    }
}

impl<Tx> Clone for ProjectionDefinition<Tx> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            version: self.version,
            filter: self.filter.clone(),
            sql_fingerprint: self.sql_fingerprint.clone(),
            projection: self.projection.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<Tx> fmt::Debug for ProjectionDefinition<Tx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectionDefinition")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What an operator allows at this start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// Go on although the filter or the SQL has changed at the same version (E-6).
    pub accept_changes: bool,
    /// Go on although the stored checkpoint does not belong to this log (E-7).
    pub trust_checkpoint: bool,
}
