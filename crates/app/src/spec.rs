//! A projection that is written in SQL: what a config file says of it.

use highwater_core::model::{Filter, ProjectionName};
use highwater_core::settings::ProjectionSettings;
use highwater_core::sql::{SqlProjectionDef, SqlText};

/// A projection written in SQL.
#[derive(Debug, Clone)]
pub struct ProjectionSpec {
    /// Its name.
    pub name: ProjectionName,
    /// The version of its definition, from 1.
    pub version: u32,
    /// `types` and `streams` as they are written.
    pub filter: Filter,
    /// The read model's DDL.
    pub schema: Option<SqlText>,
    /// Run once per batch over the relation `events`.
    pub apply: Option<SqlText>,
    /// Run once per event of a type.
    pub on: Vec<(String, SqlText)>,
    /// What a rebuild empties; `None` = the tables that `schema` creates.
    pub tables: Option<Vec<String>>,
    /// How it is run.
    pub settings: ProjectionSettings,
}

impl ProjectionSpec {
    /// As an adapter wants it.
    #[must_use]
    pub fn definition(&self, log_in_store: bool) -> SqlProjectionDef {
        SqlProjectionDef {
            name: self.name.clone(),
            schema: self.schema.clone(),
            apply: self.apply.clone(),
            on: self.on.clone(),
            filter: self.filter.clone(),
            tables: self.tables.clone(),
            log_in_store,
        }
    }
}
