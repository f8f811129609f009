//! What a server says against a user's SQL, as an error that names the place in the user's text.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::sql::{Rendered, SqlProblem, SqlScript};

use crate::error::{failed, kind_of};
use crate::fault::by_sqlstate;

use super::raised::Raised;

pub(super) const RUN: &str = "run SQL";
/// Whoever may not do it, nor may have it done.
const ENDED: &str = "the transaction is the runner's: remove what ends it";

/// The server's own error, if it is one.
pub(super) fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
}

/// It was raised while the generated function ran.
pub(super) fn is_from_entries(error: &sqlx::Error) -> bool {
    server_error(error).and_then(PgDatabaseError::r#where).is_some_and(|context| context.contains(".hw_on_"))
}

/// The error of a statement that was sent by itself.
pub(super) fn statement_error(script: &SqlScript, statement: usize, error: sqlx::Error) -> Error {
    let position = server_error(&error).and_then(PgDatabaseError::position);
    match position {
        Some(PgErrorPosition::Original(position)) => {
            let sql = &script.statements()[statement];
            let offset = sql.range().start + byte_offset(sql.sql(), position);
            with_place(script, error, offset)
        }
        _ => script.at(statement, failed(RUN, error)),
    }
}

/// The error of one of the statements of a script that ran inside the server.
pub(super) fn script_error(script: &SqlScript, error: sqlx::Error) -> Error {
    let Some(server) = server_error(&error) else { return failed(RUN, error) };
    if let Some(PgErrorPosition::Internal { position, query }) = server.position()
        && let Some(offset) = offset_in(script, query, position)
    {
        return with_place(script, error, offset);
    }
    match statement_in(script, server.r#where().unwrap_or_default()) {
        Some(statement) => script.at(statement, failed(RUN, error)),
        None => without_place(script, failed(RUN, error)),
    }
}

/// The same of what was caught in the server, with its context.
pub(super) fn caught_error(script: &SqlScript, context: &str, raised: Raised) -> Error {
    match statement_in(script, context) {
        Some(statement) => raised_error(script, statement, raised),
        None => without_place(script, of_raised(&raised)).because(raised),
    }
}

fn without_place(script: &SqlScript, error: Error) -> Error {
    let origin = script.origin();
    error.with("projection", &origin.projection).with("in", &origin.name)
}

/// Where in the script it is that the server means, if it was running one of its statements.
fn offset_in(script: &SqlScript, query: &str, position: usize) -> Option<usize> {
    let statements = script.statements();
    let (statement, position) = match KeptPlan::of(query) {
        Some(plan) => (statements.get(plan.statement)?, position.saturating_sub(plan.before)),
        None => (statements.iter().find(|statement| statement.sql() == query)?, position),
    };
    Some(statement.range().start + byte_offset(statement.sql(), position))
}

/// Which statement of the script was run, by the context of an error.
fn statement_in(script: &SqlScript, context: &str) -> Option<usize> {
    let statements = script.statements();
    if statements.len() == 1 {
        return Some(0);
    }
    let mut ran = context.split("SQL statement \"").skip(1);
    let kept = ran.find_map(KeptPlan::of).map(|plan| plan.statement);
    kept.filter(|statement| *statement < statements.len()).or_else(|| {
        statements
            .iter()
            .position(|statement| context.contains(&format!("SQL statement \"{}\"", statement.sql())))
    })
}

/// A statement that ran by a plan that the session keeps, see `0009_keep_plans.sql`.
#[derive(Debug, PartialEq, Eq)]
struct KeptPlan {
    /// Its number in the script.
    statement: usize,
    /// Characters before it in what the server counts places in, whether it prepares or runs it.
    before: usize,
}

impl KeptPlan {
    /// Of what the server was running: it makes the plan, or it uses it.
    fn of(ran: &str) -> Option<Self> {
        let after = ran.strip_prefix("EXECUTE hw_").or_else(|| ran.strip_prefix("PREPARE hw_"))?;
        let (number, rest) = after.split_once('_')?;
        let name = "hw_".len() + number.len() + "_".len() + rest.find(['"', ' ']).unwrap_or(rest.len());
        let statement = number.parse::<usize>().ok()?.checked_sub(1)?;
        Some(Self { statement, before: "PREPARE ".len() + name + " AS ".len() })
    }
}

/// The error of a statement for one event that was caught in the server.
pub(super) fn raised_error(script: &SqlScript, statement: usize, raised: Raised) -> Error {
    let error = script.at(statement, of_raised(&raised));
    let ended = error.kind() == ErrorKind::TransactionEnded;
    if ended { error.with("what to do", ENDED) } else { error }.because(raised)
}

fn of_raised(raised: &Raised) -> Error {
    Error::new(kind_of(by_sqlstate(raised.code())), RUN).code(raised.code())
}

/// What the server has against a place of a script.
pub(super) fn server_problem(script: &SqlScript, offset: usize, server: &PgDatabaseError) -> SqlProblem {
    script.problem(offset, server.message(), server.hint())
}

/// Where, in the script, the server found something in `rendered`, which it was sent behind `prefix`.
pub(super) fn place_in(rendered: &Rendered, prefix: &str, position: usize) -> usize {
    let behind = position.saturating_sub(prefix.chars().count());
    rendered.original_offset(byte_offset(rendered.sql(), behind))
}

fn with_place(script: &SqlScript, error: sqlx::Error, offset: usize) -> Error {
    let Some(server) = server_error(&error) else { return failed(RUN, error) };
    let problem = server_problem(script, offset, server);
    let code = server.code();
    Error::new(kind_of(by_sqlstate(code)), RUN).code(code).because(problem)
}

/// The byte at which the character of this number stands, counted from 1; the end where there is none.
fn byte_offset(text: &str, character: usize) -> usize {
    text.char_indices().nth(character.saturating_sub(1)).map_or(text.len(), |(offset, _)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_5_the_name_of_a_plan_tells_which_statement_it_was() {
        let before = "PREPARE hw_2_abc_3 AS ".len();
        for ran in
            ["PREPARE hw_2_abc_3 AS INSERT INTO t SELECT 1", "EXECUTE hw_2_abc_3", "EXECUTE hw_2_abc_3\"\nPL"]
        {
            assert_eq!(KeptPlan::of(ran), Some(KeptPlan { statement: 1, before }), "{ran}");
        }
        for other in ["", "INSERT INTO t SELECT 1", "EXECUTE mine"] {
            assert_eq!(KeptPlan::of(other), None, "{other}");
        }
    }

    #[test]
    fn f_5_the_server_counts_characters() {
        assert_eq!(byte_offset("é€x", 1), 0);
        assert_eq!(byte_offset("é€x", 3), 5);
        assert_eq!(byte_offset("é€x", 4), 6);
        assert_eq!(byte_offset("é€x", 9), 6);
    }
}
