//! Is the read model what the log says?

use std::collections::BTreeSet;

use highwater_core::model::{Position, ProjectionState};
use highwater_core::ports::FailedQuery;
use highwater_core::settings::StartFrom;
use highwater_core::sql::NotApplied;
use highwater_core::{Error, ErrorKind};

use super::adapter::Stretch;
use super::backends::Backends;
use crate::spec::ProjectionSpec;

/// What computing a read model again came to.
#[derive(Debug, Clone)]
pub struct VerifyReport {
    /// Up to here the events were applied again.
    pub through: Option<Position>,
    /// How many.
    pub events: u64,
    /// Events that cannot be applied, with the reason: set aside by the projection, too, and discarded since, or
    /// a difference that the tables show.
    pub not_applied: Vec<NotApplied>,
    /// Each table of the read model.
    pub tables: Vec<VerifiedTable>,
}

/// A table of the read model, held against the recomputed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTable {
    /// Its name.
    pub name: String,
    /// What differs, in words; empty = equal.
    pub differences: Vec<String>,
}

impl Backends {
    /// Computes a projection's read model again, beside it, and compares (E-26). What is not applied there is not
    /// applied here either: events that are parked, held or recorded.
    ///
    /// # Errors
    /// `NotFound` if it never ran, `Busy` while somebody runs it and it is not paused, or why it could not be
    /// computed.
    pub async fn verify(&self, spec: &ProjectionSpec, ignore: &[String]) -> Result<VerifyReport, Error> {
        let states = self.states_of(spec).await?;
        // Kept until the end: nobody begins to run it meanwhile.
        let parts: Vec<_> = states.iter().map(|state| state.key.part()).collect();
        let held = self.read_models.hold(&parts).await?;
        if held.is_none() && !states.iter().all(|state| state.paused) {
            return Err(Error::new(
                ErrorKind::Busy,
                "verify a projection that is running: pause it first, and resume it afterwards",
            )
            .with("projection", &spec.name));
        }
        // As they stand now that nobody moves them.
        let states = self.states_of(spec).await?;
        let through = states.iter().map(|state| state.scanned).min().flatten();
        if states.iter().any(|state| state.scanned != through) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "verify a projection whose partitions stand at different positions: let it catch up first",
            )
            .with("projection", &spec.name));
        }
        let after = match spec.settings.start_from {
            StartFrom::Beginning => None,
            StartFrom::Position(position) => Some(position),
            StartFrom::End => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "verify a projection that began at the end of the log: nobody knows where that was",
                )
                .with("projection", &spec.name));
            }
        };
        let mut skip = BTreeSet::new();
        let mut query = FailedQuery { projection: Some(spec.name.clone()), ..FailedQuery::default() };
        loop {
            let page = self.control.failed_events(&query, 1_000).await?;
            skip.extend(
                page.iter()
                    .filter(|row| states.iter().any(|state| state.key == row.key))
                    .map(|row| row.position),
            );
            match page.last() {
                Some(last) if page.len() == 1_000 => query.after = Some(last.position),
                _ => break,
            }
        }
        let stretch = Stretch { after, through, skip };
        let found = self.read_models.recompute(spec, &*self.log, stretch, ignore).await?;
        drop(held);
        let mut tables: Vec<_> =
            found.tables.into_iter().map(|name| VerifiedTable { name, differences: Vec::new() }).collect();
        for difference in found.differences {
            let text = difference.to_string();
            if let Some(table) = tables.iter_mut().find(|table| table.name == difference.table()) {
                table.differences.push(text);
            }
        }
        Ok(VerifyReport { through, events: found.events, not_applied: found.not_applied, tables })
    }

    /// The states of its partitions at this version.
    async fn states_of(&self, spec: &ProjectionSpec) -> Result<Vec<ProjectionState>, Error> {
        let mut states = self.control.states().await?;
        states.retain(|state| state.key.name == spec.name && state.key.version == spec.version);
        if states.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                "verify a projection that never ran at this version",
            )
            .with("projection", &spec.name));
        }
        Ok(states)
    }
}
