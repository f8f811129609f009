//! A projection in SQL: read when it is made, checked at the start, then driven like one in Rust.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::PgConnection;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::failure::Failure;
use highwater_core::model::{Filter, Partition, ProjectionName, RecordedEvent};
use highwater_core::ports::{ApplySlice, Until};
use highwater_core::sql::{SqlProblem, SqlProjectionDef, SqlScript, Statement};

use crate::database::Database;
use crate::error::{During, failed as failed_in};
use crate::options::Ownership;
use crate::schema::Schema;

use super::bounds::Bound;
use super::call::{Answer, Calls, Work};
use super::check::{Check, PREPARABLE};
use super::ddl::created_tables;
use super::on_function::{OnEntry, OnFunction};
use super::raised::Raised;
use super::read_model;
use super::run_error::{RUN, caught_error, is_from_entries, raised_error, script_error};
use super::slice::Slice;
use super::source::{EventsQuery, Source};
use super::table_name::TableName;
use super::texts::Texts;

/// A projection in SQL on PostgreSQL.
///
/// `apply` runs once per slice over the relation `events`, for the events that have no entry in `on`; then the
/// others are applied one by one, in order (F-4). Either way a slice is one round trip.
#[derive(Debug)]
pub struct SqlProjection {
    name: ProjectionName,
    schema: Option<SqlScript>,
    apply: Option<Apply>,
    on: Vec<OnEntry>,
    /// The entry in `on` of a type.
    types: HashMap<Box<str>, usize>,
    filter: Filter,
    over_log: EventsQuery,
    over_slice: EventsQuery,
    creates: Vec<TableName>,
    created: Vec<String>,
    tables: Option<Vec<TableName>>,
    log_in_store: bool,
    fingerprint: String,
    ours: Schema,
    /// Sessions are ours for as long as they live: what is made in one stays for the next slice.
    keep: bool,
    /// As it was written, for one partition's copy.
    def: SqlProjectionDef,
    calls: Calls,
    /// Made by the check, which learns from the server what types the parameters have.
    functions: RwLock<Option<Arc<Functions>>>,
}

#[derive(Debug)]
struct Apply {
    script: SqlScript,
    statements: Vec<String>,
}

#[derive(Debug)]
struct Functions {
    over_log: OnFunction,
    over_slice: OnFunction,
}

impl SqlProjection {
    /// Reads the texts. What only the server can judge is found by `check`, at the start.
    ///
    /// `database` is the store's; where `log_in_store` is set, the log is in the same database and schema.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn new(def: SqlProjectionDef, database: &Database) -> Result<Self, Vec<SqlProblem>> {
        let keep = database.options().ownership == Ownership::Session;
        Self::read(def, database.names(), keep)
    }

    fn read(def: SqlProjectionDef, ours: &Schema, keep: bool) -> Result<Self, Vec<SqlProblem>> {
        let Texts { schema, apply, on, tables } = Texts::read(&def)?;
        let creates = schema.as_ref().map(created_tables).unwrap_or_default();
        let ours = ours.clone();
        let to_apply = def.apply_filter();
        Ok(Self {
            schema,
            apply: apply.map(|script| Apply {
                statements: script.statements().iter().map(Statement::sql).map(ToOwned::to_owned).collect(),
                script,
            }),
            on,
            types: def.on_entries(),
            filter: def.event_filter(),
            over_log: EventsQuery::new(Source::Log, &to_apply, &ours),
            over_slice: EventsQuery::new(Source::Slice { of_log: def.log_in_store }, &to_apply, &ours),
            created: creates.iter().map(ToString::to_string).collect(),
            creates,
            tables,
            log_in_store: def.log_in_store,
            fingerprint: def.fingerprint(),
            calls: Calls::new(&ours, keep),
            ours,
            keep,
            functions: RwLock::new(None),
            name: def.name.clone(),
            def,
        })
    }

    /// The same one for one partition's events.
    pub(super) fn of(&self, partition: Partition) -> Self {
        let mut def = self.def.clone();
        def.filter.partition = Some(partition);
        Self::read(def, &self.ours, self.keep).expect("only its filter differs from the one that was read")
    }

    pub(super) fn partition(&self) -> Option<Partition> {
        self.def.filter.partition
    }

    /// What is wrong with the texts, told without a server: a part of what [`SqlProjection::new`] says.
    #[must_use]
    pub fn problems(def: &SqlProjectionDef) -> Vec<SqlProblem> {
        Texts::read(def).err().unwrap_or_default()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ProjectionName {
        &self.name
    }

    /// The events that it is for: the filter as it is written; without `types` and `apply`, the types that have an
    /// entry in `on` (F-4).
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// A text that changes when its SQL does, white space around a text left aside (E-6).
    #[must_use]
    pub fn sql_fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The tables that its schema creates, by name, with their schema where that is written.
    #[must_use]
    pub fn created_tables(&self) -> &[String] {
        &self.created
    }

    /// The tables that hold its read model: those that it names, else those that its schema creates.
    pub(super) fn read_model(&self) -> &[TableName] {
        self.tables.as_deref().unwrap_or(&self.creates)
    }

    pub(super) fn schema_script(&self) -> Option<&SqlScript> {
        self.schema.as_ref()
    }

    pub(super) fn created(&self) -> &[TableName] {
        &self.creates
    }

    /// What runs for events reads and writes rows, and changes nothing else.
    pub(super) fn writes_rows_only(&self) -> bool {
        let apply = self.apply.iter().map(|apply| &apply.script);
        let mut statements =
            apply.chain(self.on.iter().map(|entry| &entry.script)).flat_map(SqlScript::statements);
        statements.all(|statement| PREPARABLE.contains(&statement.verb()))
    }

    /// Gives the session all that slices need that are handed over, so that applying one runs no DDL.
    pub(super) async fn prepare_slices(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let functions = if self.on.is_empty() { None } else { Some(self.functions(connection).await?) };
        let on = functions.as_ref().map(|functions| &functions.over_slice);
        let apply = self.apply.as_ref().map(|_| (&[][..], &self.over_slice));
        let answer = self.calls.slice(connection, &Slice::default(), Work { apply, on }).await;
        answer.map(|_answer| ()).during("prepare a session for slices")
    }

    pub(super) fn ranges(&self) -> bool {
        self.apply.is_some() && self.on.is_empty() && self.log_in_store
    }

    pub(super) async fn setup_on(&self, connection: &mut PgConnection) -> Result<(), Error> {
        self.calls.remove(connection).await.during("create the read model")?;
        match &self.schema {
            Some(schema) => read_model::create(connection, &self.name, schema, &self.creates).await,
            None => Ok(()),
        }
    }

    pub(super) async fn clear_on(&self, connection: &mut PgConnection) -> Result<(), Error> {
        self.calls.remove(connection).await.during("empty the read model")?;
        let (creates, explicit) = (&self.creates, self.tables.as_deref());
        read_model::clear(connection, &self.name, self.schema.as_ref(), creates, explicit).await
    }

    pub(super) async fn check_on(&self, connection: &mut PgConnection) -> Result<(), Error> {
        const CHECK: &str = "check SQL";
        let slice = Source::Slice { of_log: self.log_in_store };
        let (source, events) =
            if self.log_in_store { (Source::Log, &self.over_log) } else { (slice, &self.over_slice) };
        let path = match &self.apply {
            Some(_) => Some(self.calls.set_up(connection, events, source).await.during(CHECK)?),
            None => None,
        };
        let mut check = Check::new(connection, self.ours.name());
        if let (Some(apply), Some(path)) = (&self.apply, &path) {
            check.script(&apply.script).await?;
            self.calls.take_down(check.connection(), path).await.during(CHECK)?;
        }
        let casts = check.entries(&self.on, source).await?;
        check.finish()?;
        if !self.on.is_empty() {
            let function = |source| OnFunction::new(&self.on, &casts, source, &self.filter, &self.ours);
            let functions = Functions { over_log: function(Source::Log), over_slice: function(slice) };
            *self.functions.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(functions));
        }
        Ok(())
    }

    pub(super) async fn apply_on(
        &self,
        connection: &mut PgConnection,
        slice: ApplySlice<'_>,
    ) -> Result<(), Failure> {
        match slice {
            ApplySlice::Range { .. } if !self.ranges() => {
                let refused =
                    "only SQL that consists of `apply`, with the log in the same database, takes a range";
                Err(Error::new(ErrorKind::Invalid, "apply a range")
                    .with("projection", &self.name)
                    .because(refused))?
            }
            ApplySlice::Range { count: 0, .. } | ApplySlice::Events { events: [], .. } => Ok(()),
            ApplySlice::Range { after, through, count } => {
                let (after, through) = (after.map_or(Bound::START, Bound::at), Bound::at(through));
                let work = Work { apply: self.work_of_apply(&self.over_log), on: None };
                let answer = self.calls.range(connection, after, through, work).await;
                self.judged(answer, &[], None)
                    .map_err(|failure| if count == 1 { failure.at(0) } else { failure })
            }
            ApplySlice::Events { events, contiguous } => {
                let applied = self.apply_events(connection, events, contiguous).await;
                applied.map_err(|failure| if events.len() == 1 { failure.at(0) } else { failure })
            }
        }
    }

    /// Without an event for it `apply` does not run: a sum over no events is NULL.
    async fn apply_events(
        &self,
        connection: &mut PgConnection,
        events: &[RecordedEvent],
        contiguous: bool,
    ) -> Result<(), Failure> {
        let has_entry = |event: &RecordedEvent| self.types.contains_key(event.event_type());
        let for_apply = self.apply.is_some() && !events.iter().all(has_entry);
        let functions = match events.iter().any(has_entry) {
            true => Some(self.functions(connection).await?),
            false => None,
        };
        let (first, last) = match events {
            [first, .., last] | [first @ last] if for_apply || functions.is_some() => (first, last),
            _ => return Ok(()),
        };
        if contiguous && self.log_in_store {
            let (after, through) = (Bound::before(first.position()), Bound::at(last.position()));
            let on = functions.as_ref().map(|functions| &functions.over_log);
            let apply = self.work_of_apply(&self.over_log).filter(|_| for_apply);
            let answer = self.calls.range(connection, after, through, Work { apply, on }).await;
            return self.judged(answer, events, on);
        }
        let wanted = events.iter().enumerate().filter(|(_, event)| for_apply || has_entry(event));
        let slice = Slice::of(wanted).map_err(|(index, error)| Failure::new(error).at(index))?;
        let on = functions.as_ref().map(|functions| &functions.over_slice);
        let apply = self.work_of_apply(&self.over_slice).filter(|_| for_apply);
        let answer = self.calls.slice(connection, &slice, Work { apply, on }).await;
        self.judged(answer, events, on)
    }

    /// As far as the events can be applied; the server finds the one that cannot.
    pub(super) async fn apply_until_on(
        &self,
        connection: &mut PgConnection,
        events: &[RecordedEvent],
        known: bool,
    ) -> Result<Until, Failure> {
        let (Some(apply), [first, ..]) = (self.work_of_apply(&self.over_log), events) else {
            return Ok(Until::All);
        };
        let places: Vec<Bound> = events.iter().map(|event| Bound::at(event.position())).collect();
        let after = Bound::before(first.position());
        match self.calls.until(connection, after, &places, known, apply).await {
            Ok(None) => Ok(Until::All),
            Ok(Some(until)) => self.found(until).ok_or_else(not_understood),
            Err(error) => self.judged(Err(error), events, None).map(|()| Until::All),
        }
    }

    /// Where the server has stopped, see `0010_search.sql`.
    fn found(&self, until: Vec<Option<String>>) -> Option<Until> {
        let mut until = until.into_iter();
        let index = until.next()??.parse().ok()?;
        let Some(code) = until.next() else { return Some(Until::Before { index, failure: None }) };
        let (code, message, hint) = (code?, until.next()??, until.next()?);
        let context = until.next()?.unwrap_or_default();
        let raised = Raised::new(code, message, hint);
        let error = caught_error(&self.apply.as_ref()?.script, &context, raised);
        Some(Until::Before { index, failure: Some(Failure::new(error).at(index)) })
    }

    fn work_of_apply<'w>(&'w self, events: &'w EventsQuery) -> Option<(&'w [String], &'w EventsQuery)> {
        self.apply.as_ref().map(|apply| (apply.statements.as_slice(), events))
    }

    /// The generated functions; those of a projection that was not checked come from a check now.
    async fn functions(&self, connection: &mut PgConnection) -> Result<Arc<Functions>, Error> {
        let known = || self.functions.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(functions) = known() {
            return Ok(functions);
        }
        self.check_on(connection).await?;
        known().ok_or_else(|| Error::new(ErrorKind::Other, "prepare the SQL of `on`"))
    }

    /// What became of a slice.
    fn judged(
        &self,
        answer: Result<Answer, sqlx::Error>,
        events: &[RecordedEvent],
        on: Option<&OnFunction>,
    ) -> Result<(), Failure> {
        let failed = match (answer, on) {
            (Ok(None), _) => return Ok(()),
            (Ok(Some(failed)), Some(on)) => self.failed_entry(failed, events, on),
            (Ok(Some(_)), None) => None,
            (Err(error), _) => {
                return Err(Failure::new(match &self.apply {
                    Some(apply) if !is_from_entries(&error) => script_error(&apply.script, error),
                    // A time-out: all else is caught there.
                    _ => failed_in(RUN, error).with("projection", &self.name).with("in", "on"),
                }));
            }
        };
        Err(failed.unwrap_or_else(not_understood))
    }

    /// What an event failed with; see `on_function` for the answer.
    fn failed_entry(
        &self,
        failed: Vec<Option<String>>,
        events: &[RecordedEvent],
        on: &OnFunction,
    ) -> Option<Failure> {
        let mut failed = failed.into_iter();
        let number: usize = failed.next()??.parse().ok()?;
        let statement = failed.next()?;
        let (code, message) = (failed.next()??, failed.next()??);
        let raised = Raised::new(code, message, failed.next()?);
        let Some(statement) = statement else { return Some(Failure::new(raised)) };
        let (entry, statement) = *on.statements.get(statement.parse::<usize>().ok()?)?;
        let mut with_entry =
            events.iter().enumerate().filter(|(_, event)| self.types.contains_key(event.event_type()));
        let (index, _) = with_entry.nth(number.checked_sub(1)?)?;
        let error = raised_error(&self.on[entry].script, statement, raised);
        Some(Failure::new(error).at(index))
    }
}

fn not_understood() -> Failure {
    Failure::new(Error::new(ErrorKind::Corrupt, "read what an event failed with"))
}
