//! Is the read model what the log says?

use std::collections::BTreeSet;

use highwater_core::model::Position;
use highwater_core::ports::{Claim, FailedQuery, ReadModelStore};
use highwater_core::settings::StartFrom;
use highwater_core::{Error, ErrorKind};
use highwater_sqlite::sql_projection::{NotApplied, verify};

use super::Backends;
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
        let state = self
            .control
            .states()
            .await?
            .into_iter()
            .find(|state| state.key.name == spec.name && state.key.version == spec.version);
        let Some(state) = state else {
            return Err(Error::new(
                ErrorKind::NotFound,
                "verify a projection that never ran at this version",
            )
            .with("projection", &spec.name));
        };
        // Kept until the end: nobody begins to run it meanwhile.
        let lease = match self.store.claim(&spec.name).await? {
            Claim::Owned(lease) => Some(lease),
            Claim::Busy if state.paused => None,
            Claim::Busy => {
                return Err(Error::new(
                    ErrorKind::Busy,
                    "verify a projection that is running: pause it first, and resume it afterwards",
                )
                .with("projection", &spec.name));
            }
        };
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
            skip.extend(page.iter().filter(|row| row.key == state.key).map(|row| row.position));
            match page.last() {
                Some(last) if page.len() == 1_000 => query.after = Some(last.position),
                _ => break,
            }
        }
        let definition = spec.definition(self.log_in_store);
        let report =
            verify(&definition, &self.store_path, &*self.log, after, state.scanned, &skip, ignore).await?;
        drop(lease);
        let mut tables: Vec<_> =
            report.tables.into_iter().map(|name| VerifiedTable { name, differences: Vec::new() }).collect();
        for difference in report.differences {
            let text = difference.to_string();
            if let Some(table) = tables.iter_mut().find(|table| table.name == difference.table()) {
                table.differences.push(text);
            }
        }
        let not_applied = report.not_applied;
        Ok(VerifyReport { through: state.scanned, events: report.events, not_applied, tables })
    }
}
