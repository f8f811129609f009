//! The texts of a projection, read.

use highwater_core::sql::{Dialect, SqlProblem, SqlProjectionDef, SqlScript, SqlText};

use super::on_function::OnEntry;
use super::table_name::TableName;

/// A definition whose texts can be read.
pub(super) struct Texts {
    pub(super) schema: Option<SqlScript>,
    pub(super) apply: Option<SqlScript>,
    pub(super) on: Vec<OnEntry>,
    pub(super) tables: Option<Vec<TableName>>,
}

impl Texts {
    /// Reads them; no server is needed.
    ///
    /// # Errors
    /// All that is wrong.
    pub(super) fn read(def: &SqlProjectionDef) -> Result<Self, Vec<SqlProblem>> {
        let mut problems = def.problems();
        let mut read = |text: &SqlText, parameters| match SqlScript::read(
            &def.name,
            text,
            Dialect::Postgres,
            parameters,
        ) {
            Ok(script) => Some(script),
            Err(found) => {
                problems.extend(found);
                None
            }
        };
        let schema = def.schema.as_ref().and_then(|text| read(text, false));
        let apply = def.apply.as_ref().and_then(|text| read(text, false));
        let entry =
            |(key, text): &(String, _)| Some(OnEntry { event_type: key.clone(), script: read(text, true)? });
        let on = def.on.iter().filter_map(entry).collect();
        let mut tables = def.tables.as_ref().map(|_| Vec::new());
        for name in def.tables.iter().flatten() {
            match (TableName::parse(name), &mut tables) {
                (Some(table), Some(tables)) => tables.push(table),
                _ => problems.push(SqlProblem::whole(
                    &def.name,
                    None,
                    format!(
                        "`{}` in `tables` is no name of a table: write `table` or `schema.table`",
                        name.escape_debug()
                    ),
                )),
            }
        }
        if problems.is_empty() { Ok(Self { schema, apply, on, tables }) } else { Err(problems) }
    }
}
