//! The function that applies the events that have an entry in `on`, one by one, inside the server.
//!
//! Its statements are static, so the server plans each once a session. What stands for `:stream` or `:data.a` are
//! expressions over the record of the loop, so a value is always bound, and a payload is opened only by a statement
//! that asks for something in it (F-6).
//!
//! One block catches what an event fails with: its variables survive the rollback, so that the answer says which
//! event and which statement it was, and the transaction goes on. A cancelled statement is not caught.

use highwater_core::model::{Filter, Pattern};
use highwater_core::sql::{Parameter, Root, SqlScript, Statement, fingerprint};

use crate::filter_sql::filter_text;
use crate::schema::{Schema, quote_literal};

use super::source::{Source, extract, filter_of_types, range};

/// The SQL of one event type.
#[derive(Debug)]
pub(super) struct OnEntry {
    pub(super) event_type: String,
    pub(super) script: SqlScript,
}

/// For each entry, statement and occurrence of a parameter: the type that the server needs there, where it is to be
/// cast.
pub(super) type Casts = Vec<Vec<Vec<Option<String>>>>;

/// A generated function.
#[derive(Debug)]
pub(super) struct OnFunction {
    /// In `pg_temp`; says what is in it.
    pub(super) name: String,
    pub(super) definition: String,
    /// What the numbers of statements in its answers stand for: entry and statement.
    pub(super) statements: Vec<(usize, usize)>,
}

impl OnFunction {
    pub(super) fn new(
        entries: &[OnEntry],
        casts: &Casts,
        source: Source,
        filter: &Filter,
        schema: &Schema,
    ) -> Self {
        let mut cases = String::new();
        let mut statements = Vec::new();
        for (n, entry) in entries.iter().enumerate() {
            if entry.event_type.contains('\0') {
                continue;
            }
            cases.push_str(&format!("WHEN {} THEN\n", quote_literal(&entry.event_type)));
            for (m, statement) in entry.script.statements().iter().enumerate() {
                cases.push_str(&format!("_hw_at := {};\n", statements.len()));
                cases.push_str(&command(source, statement, &casts[n][m]));
                cases.push_str(";\n");
                statements.push((n, m));
            }
        }
        let query = schema.text(&query(entries, source, filter));
        let body = format!(
            "#variable_conflict use_column
DECLARE
    _hw record;
    _hw_n int := 0;
    _hw_at int;
    _hw_code text;
    _hw_text text;
    _hw_hint text;
BEGIN
    FOR _hw IN {query} LOOP
        _hw_n := _hw_n + 1;
        CASE _hw.type
{cases}ELSE NULL;
        END CASE;
    END LOOP;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS
        _hw_code = RETURNED_SQLSTATE, _hw_text = MESSAGE_TEXT, _hw_hint = PG_EXCEPTION_HINT;
    RETURN ARRAY[_hw_n::text, _hw_at::text, _hw_code, _hw_text, _hw_hint];
END"
        );
        let name = format!("hw_on_{}", &fingerprint(&[&body])[..40]);
        let tag = unused_tag(&body);
        let definition = format!(
            "CREATE FUNCTION pg_temp.{name}(bigint, int, bigint, int) RETURNS text[] LANGUAGE plpgsql AS {tag}\n\
             {body}\n{tag}"
        );
        Self { name, definition, statements }
    }
}

/// The events that have an entry, in order, with what the entries ask for.
fn query(entries: &[OnEntry], source: Source, filter: &Filter) -> String {
    let mut roots = vec![Root::Type];
    let statements = entries.iter().flat_map(|entry| entry.script.statements());
    for parameter in statements.flat_map(Statement::parameters) {
        if !roots.contains(&parameter.root) {
            roots.push(parameter.root);
        }
    }
    let columns = source.columns(&roots);
    let types = || entries.iter().map(|entry| Pattern::Exact(entry.event_type.as_str().into()));
    match source {
        Source::Log => {
            let range = range(["$1", "$1", "$2", "$3", "$3", "$4"].map(ToOwned::to_owned));
            let filter = filter_text(&filter_of_types(filter, types()));
            format!(
                "SELECT {columns} FROM highwater.event e WHERE {range} AND {filter} \
                 ORDER BY e.position, e.\"offset\""
            )
        }
        Source::Slice { .. } => {
            let filter = filter_text(&filter_of_types(&Filter::default(), types()));
            format!("SELECT {columns} FROM pg_temp.hw_slice e WHERE {filter} ORDER BY e.n")
        }
    }
}

/// A statement as plpgsql takes it. What gives rows back, or is no DML, does not fit among static statements.
fn command(source: Source, statement: &Statement, casts: &[Option<String>]) -> String {
    let text_of =
        |occurrence: usize| value(source, &statement.parameters()[occurrence], casts[occurrence].as_deref());
    let sql = statement.sql();
    if statement.first_keyword() == "SELECT"
        && sql.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("SELECT"))
    {
        let rendered = statement.render_occurrences(text_of);
        return format!("PERFORM{}", &rendered.sql()[6..]);
    }
    if matches!(statement.verb(), "INSERT" | "UPDATE" | "DELETE" | "MERGE") && !statement.returns_rows() {
        return statement.render_occurrences(text_of).sql().to_owned();
    }
    let text = quote_literal(statement.render_occurrences(|n| format!("${}", n + 1)).sql());
    let values: Vec<String> = (0..statement.parameters().len()).map(text_of).collect();
    let using = if values.is_empty() { String::new() } else { format!(" USING {}", values.join(", ")) };
    format!("EXECUTE {text}{using}")
}

/// What stands for a parameter.
fn value(source: Source, parameter: &Parameter, cast: Option<&str>) -> String {
    let field = source.field("_hw", parameter.root);
    if parameter.path.is_empty() {
        return format!("({field})");
    }
    let text = extract(&field, &parameter.path);
    cast.map_or_else(|| text.clone(), |cast| format!("({text}::{cast})"))
}

fn unused_tag(body: &str) -> String {
    (0_u32..)
        .map(|n| format!("$hw{n}$"))
        .find(|tag| !body.contains(tag.as_str()))
        .expect("a text has only so many places for a tag")
}
