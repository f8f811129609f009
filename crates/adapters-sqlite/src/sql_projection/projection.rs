//! A projection in SQL: checked when it is made, then driven like one in Rust.

use std::collections::HashMap;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::failure::Failure;
use highwater_core::model::{Filter, ProjectionName, RecordedEvent};
use highwater_core::ports::ApplySlice;
use highwater_core::sql::{SqlProblem, SqlProblems, SqlProjectionDef};
use rusqlite::Connection;

use super::bounds::Bound;
use super::ddl::created_tables;
use super::events_view::{EventsView, Source};
use super::on_event::{OnEvent, PreparedStatements};
use super::script::Script;
use super::tables;

/// A projection in SQL on SQLite.
///
/// `apply` runs once per slice over the relation `events`, for the events that have no entry in `on`; then
/// the others are applied one by one, in order (F-4).
#[derive(Debug)]
pub struct SqlProjection {
    name: ProjectionName,
    schema: Option<Script>,
    apply: Option<Script>,
    on: Vec<OnEvent>,
    /// The entry in `on` of a type.
    types: HashMap<Box<str>, usize>,
    filter: Filter,
    events: EventsView,
    creates: Vec<String>,
    tables: Option<Vec<String>>,
    log_in_store: bool,
    fingerprint: String,
}

impl SqlProjection {
    /// Reads the texts. No database is needed; what only one can judge is found by `check`, at the start.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn new(def: SqlProjectionDef) -> Result<Self, Vec<SqlProblem>> {
        let mut problems = def.problems();
        let mut read = |text, parameters| match Script::read(&def.name, text, parameters) {
            Ok(script) => Some(script),
            Err(found) => {
                problems.extend(found);
                None
            }
        };
        let schema = def.schema.as_ref().and_then(|text| read(text, false));
        let apply = def.apply.as_ref().and_then(|text| read(text, false));
        let on: Vec<OnEvent> =
            def.on.iter().filter_map(|(_, text)| read(text, true)).map(OnEvent::new).collect();
        let creates = match schema.as_ref().map(created_tables).transpose() {
            Ok(tables) => tables.unwrap_or_default(),
            Err(error) => {
                let message = format!("cannot find out which tables the schema creates: {error}");
                problems.push(SqlProblem::whole(&def.name, None, message));
                Vec::new()
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            schema,
            apply,
            on,
            types: def.on_entries(),
            filter: def.event_filter(),
            events: EventsView::new(&def.apply_filter()),
            creates,
            fingerprint: def.fingerprint(),
            log_in_store: def.log_in_store,
            name: def.name,
            tables: def.tables,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ProjectionName {
        &self.name
    }

    /// The events that it is for: the filter as it is written; without `types` and `apply`, the types that
    /// have an entry in `on` (F-4).
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// A text that changes when its SQL does, white space around a text left aside (E-6).
    #[must_use]
    pub fn sql_fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The tables that its schema creates, by name.
    #[must_use]
    pub fn created_tables(&self) -> &[String] {
        &self.creates
    }

    /// The tables that hold its read model: those that it names, else those that its schema creates.
    pub(super) fn read_model(&self) -> &[String] {
        self.tables.as_deref().unwrap_or(&self.creates)
    }

    pub(super) fn ranges(&self) -> bool {
        self.apply.is_some() && self.on.is_empty() && self.log_in_store
    }

    pub(super) fn setup_on(&self, conn: &Connection) -> Result<(), Error> {
        EventsView::remove(conn)?;
        match &self.schema {
            Some(schema) => tables::create(conn, &self.name, schema, &self.creates),
            None => Ok(()),
        }
    }

    pub(super) fn check_on(&self, conn: &Connection) -> Result<(), Error> {
        let mut problems = Vec::new();
        if let Some(apply) = &self.apply {
            let source = if self.log_in_store { Source::Log } else { Source::Slice };
            self.events.ensure(conn, source)?;
            apply.check(conn, &mut problems)?;
        }
        for entry in &self.on {
            entry.script().check(conn, &mut problems)?;
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Schema, "check SQL").because(SqlProblems(problems)))
    }

    pub(super) fn clear_on(&self, conn: &Connection) -> Result<(), Error> {
        EventsView::remove(conn)?;
        tables::clear(conn, &self.name, self.schema.as_ref(), &self.creates, self.tables.as_deref())
    }

    pub(super) fn apply_on(&self, conn: &Connection, slice: ApplySlice<'_>) -> Result<(), Failure> {
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
                let after = after.map_or(Bound::START, Bound::at);
                let ran = self.apply_range(conn, after, Bound::at(through));
                ran.map_err(|error| if count == 1 { Failure::new(error).at(0) } else { error.into() })
            }
            ApplySlice::Events { events, contiguous } => {
                self.apply_set(conn, events, contiguous).map_err(|(index, error)| {
                    let index = index.or((events.len() == 1).then_some(0));
                    let failure = Failure::new(error);
                    index.into_iter().fold(failure, Failure::at)
                })?;
                self.apply_each(conn, events)
            }
        }
    }

    /// Runs `apply` on those of the events that have no entry of their own. Without any it does not run: a
    /// sum over no events is NULL.
    fn apply_set(
        &self,
        conn: &Connection,
        events: &[RecordedEvent],
        contiguous: bool,
    ) -> Result<(), (Option<usize>, Error)> {
        let Some(apply) = &self.apply else { return Ok(()) };
        let mut rest = events
            .iter()
            .enumerate()
            .filter(|(_, event)| !self.types.contains_key(event.event_type()))
            .peekable();
        if rest.peek().is_none() {
            return Ok(());
        }
        let unknown = |error| (None, error);
        if let (true, true, [first, .., last] | [first @ last]) = (contiguous, self.log_in_store, events) {
            let (after, through) = (Bound::before(first.position()), Bound::at(last.position()));
            return self.apply_range(conn, after, through).map_err(unknown);
        }
        self.events.ensure(conn, Source::Slice).map_err(unknown)?;
        EventsView::fill(conn, rest)?;
        apply.run_all(conn).map_err(unknown)?;
        EventsView::empty(conn).map_err(unknown)
    }

    fn apply_range(&self, conn: &Connection, after: Bound, through: Bound) -> Result<(), Error> {
        let Some(apply) = &self.apply else { return Ok(()) };
        self.events.ensure(conn, Source::Log)?;
        EventsView::set_range(conn, after, through)?;
        apply.run_all(conn)
    }

    fn apply_each(&self, conn: &Connection, events: &[RecordedEvent]) -> Result<(), Failure> {
        if self.on.is_empty() {
            return Ok(());
        }
        let mut prepared: Vec<PreparedStatements<'_>> = self.on.iter().map(|_| Vec::new()).collect();
        for (index, event) in events.iter().enumerate() {
            if let Some(entry) = self.types.get(event.event_type()) {
                let applied = self.on[*entry].apply(conn, &mut prepared[*entry], event);
                applied.map_err(|error| Failure::new(error).at(index))?;
            }
        }
        Ok(())
    }
}
