//! What the server has against a projection's SQL, asked before the first event (F-5).
//!
//! Every statement is prepared, with the relation `events` in place; so missing tables, unknown columns and wrong
//! types are found, and where. What stands for a path into a payload is text until the server says which type it
//! needs there, and that is what it will be cast to. Then the statement's plan is looked at: it shows what may not
//! be touched. Nothing is run, and no error leaves the transaction unusable.

use sqlx::postgres::PgErrorPosition;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};
use uuid::Uuid;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::sql::{Rendered, Root, SqlProblem, SqlProblems, SqlScript, StatementKind};

use crate::error::{During, failed};
use crate::fault::{Fault, by_sqlstate, code_of, fault_of};

use super::on_function::{Casts, OnEntry};
use super::run_error::{place_in, server_error, server_problem};
use super::source::Source;

const CHECK: &str = "check SQL";
/// What can be prepared: what reads and writes rows. `WITH` stands for a statement whose own verb is not known.
pub(super) const PREPARABLE: [&str; 8] =
    ["SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE"];
/// An occurrence whose type nobody can tell.
const INDETERMINATE: &str = "42P18";

/// Collects what is wrong.
pub(super) struct Check<'c> {
    connection: &'c mut PgConnection,
    /// The schema of our own tables.
    ours: &'c str,
    problems: Vec<SqlProblem>,
}

impl<'c> Check<'c> {
    pub(super) fn new(connection: &'c mut PgConnection, ours: &'c str) -> Self {
        Self { connection, ours, problems: Vec::new() }
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection
    }

    /// Looks at a script without parameters. What stands behind a statement that changes the schema can only be
    /// judged when that one has run.
    pub(super) async fn script(&mut self, script: &SqlScript) -> Result<(), Error> {
        for (index, statement) in script.statements().iter().enumerate() {
            if statement.kind() == StatementKind::Ddl {
                break;
            }
            self.statement(script, index, None).await?;
        }
        Ok(())
    }

    /// Looks at the entries of `on`, and says which types their parameters take.
    pub(super) async fn entries(&mut self, entries: &[OnEntry], source: Source) -> Result<Casts, Error> {
        let mut casts = Vec::with_capacity(entries.len());
        for entry in entries {
            let mut of_entry = Vec::new();
            let mut changed = false;
            for (index, statement) in entry.script.statements().iter().enumerate() {
                changed |= statement.kind() == StatementKind::Ddl;
                let judged =
                    if changed { None } else { self.statement(&entry.script, index, Some(source)).await? };
                of_entry.push(judged.unwrap_or_else(|| vec![None; statement.parameters().len()]));
            }
            casts.push(of_entry);
        }
        Ok(casts)
    }

    /// Everything that was found.
    ///
    /// # Errors
    /// `Schema` if it was something.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Schema, CHECK).because(SqlProblems(self.problems)))
    }

    /// The type of each occurrence that is to be cast; `None` where the statement cannot be judged.
    async fn statement(
        &mut self,
        script: &SqlScript,
        index: usize,
        source: Option<Source>,
    ) -> Result<Option<Vec<Option<String>>>, Error> {
        let statement = &script.statements()[index];
        if !PREPARABLE.contains(&statement.verb()) {
            return Ok(None);
        }
        let rendered = statement.render_occurrences(|n| format!("${}", n + 1));
        let is_path = |n: usize| !statement.parameters()[n].path.is_empty();
        let root = |n: usize| statement.parameters()[n].root;
        let mut types: Vec<&str> = (0..statement.parameters().len())
            .map(|n| if is_path(n) { "unknown" } else { natural(source, root(n)) })
            .collect();
        let name = format!("hw_{}", Uuid::new_v4().simple());
        let inferred = loop {
            match self.prepared(&name, script, &rendered, &types).await? {
                Prepared::Fine(inferred) => break inferred,
                Prepared::Indeterminate(n) if types.get(n) == Some(&"unknown") => types[n] = "text",
                Prepared::Indeterminate(_) | Prepared::Wrong => return Ok(None),
            }
        };
        let casts = inferred
            .into_iter()
            .enumerate()
            .map(|(n, of_type)| (is_path(n) && of_type != "text").then_some(of_type))
            .collect();
        Ok(Some(casts))
    }

    /// Prepares a statement, looks at its plan, and forgets it.
    async fn prepared(
        &mut self,
        name: &str,
        script: &SqlScript,
        rendered: &Rendered,
        types: &[&str],
    ) -> Result<Prepared, Error> {
        let list = if types.is_empty() { String::new() } else { format!(" ({})", types.join(", ")) };
        let prefix = format!("PREPARE {name}{list} AS ");
        self.run("SAVEPOINT hw_check").await.during(CHECK)?;
        let prepared = self.run(&format!("{prefix}{}", rendered.sql())).await;
        if let Err(error) = prepared {
            self.run("ROLLBACK TO hw_check; RELEASE hw_check").await.during(CHECK)?;
            return self.refused(script, rendered, &prefix, error);
        }
        let inferred: Vec<String> =
            sqlx::query_scalar("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = $1")
                .persistent(false)
                .bind(name)
                .fetch_one(&mut *self.connection)
                .await
                .during(CHECK)?;
        let nulls = vec!["NULL"; types.len()].join(", ");
        let values = if types.is_empty() { String::new() } else { format!(" ({nulls})") };
        let explain = format!("EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) EXECUTE {name}{values}");
        let plan = self.connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(explain))).await;
        // Also takes back what planning may have begun.
        self.run("ROLLBACK TO hw_check; RELEASE hw_check").await.during(CHECK)?;
        self.run(&format!("DEALLOCATE {name}")).await.during(CHECK)?;
        match plan {
            Ok(row) => {
                let plan: String = row.try_get_unchecked(0).during(CHECK)?;
                self.look_at(script, rendered, &plan)?;
            }
            // Planned without values: of its errors only those count that no value can mend, such as a view that
            // cannot be written to.
            Err(error)
                if matches!(fault_of(&error), Fault::Access | Fault::Schema | Fault::Unsupported)
                    || code_of(&error).as_deref() == Some("55000") =>
            {
                return self.refused(script, rendered, "", error);
            }
            Err(error) => tracing::debug!(%error, "a statement was prepared and could not be explained"),
        }
        Ok(Prepared::Fine(inferred))
    }

    fn refused(
        &mut self,
        script: &SqlScript,
        rendered: &Rendered,
        prefix: &str,
        error: sqlx::Error,
    ) -> Result<Prepared, Error> {
        let Some(server) = server_error(&error) else { return Err(failed(CHECK, error)) };
        match by_sqlstate(server.code()) {
            Fault::Unavailable
            | Fault::Contention
            | Fault::Cancelled
            | Fault::TransactionEnded
            | Fault::TransactionBroken => return Err(failed(CHECK, error)),
            _ => {}
        }
        if server.code() == INDETERMINATE
            && let Some(n) = parameter_number(server.message())
        {
            return Ok(Prepared::Indeterminate(n));
        }
        let offset = match server.position() {
            Some(PgErrorPosition::Original(position)) if !prefix.is_empty() => {
                place_in(rendered, prefix, position)
            }
            _ => rendered.original_offset(0),
        };
        self.problems.push(server_problem(script, offset, server));
        Ok(Prepared::Wrong)
    }

    /// Refuses a statement that writes to our own tables (E-9), or to the events.
    fn look_at(&mut self, script: &SqlScript, rendered: &Rendered, plan: &str) -> Result<(), Error> {
        let plan: serde_json::Value = serde_json::from_str(plan)
            .map_err(|error| Error::new(ErrorKind::Corrupt, "read the plan of SQL").because(error))?;
        let at = rendered.original_offset(0);
        if writes_to(&plan, ("Relation Name", "hw_slice")) {
            let advice = Some("it stands for the events of a batch, which nobody changes");
            self.problems.push(script.problem(at, "cannot write to the relation events", advice));
        }
        if writes_to(&plan, ("Schema", self.ours)) {
            let fault = format!("it writes to a table in the schema {}", self.ours);
            let advice = Some("the tables there are the runner's; write to tables of your own");
            self.problems.push(script.problem(at, &fault, advice));
        }
        Ok(())
    }

    async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(|_done| ())
    }
}

enum Prepared {
    /// With the type of each occurrence.
    Fine(Vec<String>),
    /// The type of this occurrence cannot be told.
    Indeterminate(usize),
    /// A problem was noted.
    Wrong,
}

fn natural(source: Option<Source>, root: Root) -> &'static str {
    source.unwrap_or(Source::Log).type_of(root)
}

/// Counted from 0; the number stands in the message in every language.
fn parameter_number(message: &str) -> Option<usize> {
    let digits = message.split_once('$')?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse::<usize>().ok()?.checked_sub(1)
}

/// Some node of the plan changes a table of which this property has this value.
fn writes_to(plan: &serde_json::Value, (property, value): (&str, &str)) -> bool {
    match plan {
        serde_json::Value::Array(items) => items.iter().any(|item| writes_to(item, (property, value))),
        serde_json::Value::Object(node) => {
            let is = |key: &str, value: &str| node.get(key).and_then(|found| found.as_str()) == Some(value);
            (is("Node Type", "ModifyTable") && is(property, value))
                || node.values().any(|item| writes_to(item, (property, value)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_parameter_is_read_in_any_language() {
        assert_eq!(parameter_number("could not determine data type of parameter $3"), Some(2));
        assert_eq!(parameter_number("konnte Datentyp von Parameter $12 nicht ermitteln"), Some(11));
        assert_eq!(parameter_number("no number"), None);
    }
}
