//! The SQL of one event type: run event by event, with parameters (F-3).
//!
//! Everything that can be known before an event comes is known: which values each statement binds, and which
//! paths the whole entry takes out of a payload, so that a payload is read once however many statements ask,
//! and not at all where none does (F-6).

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::RecordedEvent;
use highwater_core::sql::{JsonPathError, Parameter, PathSet, Root, Segment, SqlValue};
use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, Connection};
use uuid::fmt::Hyphenated;

use crate::error::sqlite_error;

use super::payload;
use super::script::Script;

/// The statements for one event type.
#[derive(Debug)]
pub(super) struct OnEvent {
    script: Script,
    /// For each statement, where each of its values comes from.
    values: Vec<Vec<Input>>,
    data: PathSet,
    metadata: PathSet,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy)]
enum Input {
    Event(Root),
    DataField(usize),
    MetadataField(usize),
}

/// The statements of an entry that are prepared so far.
pub(super) type PreparedStatements<'c> = Vec<Option<CachedStatement<'c>>>;

impl OnEvent {
    pub(super) fn new(script: Script) -> Self {
        let mut data = Vec::new();
        let mut metadata = Vec::new();
        let mut source = |value: &Parameter| match value.root {
            Root::Data if !value.path.is_empty() => Input::DataField(place(&mut data, &value.path)),
            Root::Metadata if !value.path.is_empty() => {
                Input::MetadataField(place(&mut metadata, &value.path))
            }
            root => Input::Event(root),
        };
        let values = script
            .statements()
            .iter()
            .map(|statement| statement.values().map(&mut source).collect())
            .collect();
        let paths = |paths: &[Vec<Segment>]| PathSet::new(paths.iter().map(Vec::as_slice));
        Self { data: paths(&data), metadata: paths(&metadata), script, values }
    }

    pub(super) fn script(&self) -> &Script {
        &self.script
    }

    /// Applies one event: each statement in order, to its end. `prepared` is kept from event to event.
    pub(super) fn apply<'c>(
        &self,
        conn: &'c Connection,
        prepared: &mut PreparedStatements<'c>,
        event: &RecordedEvent,
    ) -> Result<(), Error> {
        let data = self.data.extract(event.data()).map_err(|error| unreadable("data", error))?;
        // Metadata that is not there has no fields, which is no fault.
        let metadata = match event.metadata() {
            [] => vec![SqlValue::Null; self.metadata.len()],
            bytes => self.metadata.extract(bytes).map_err(|error| unreadable("metadata", error))?,
        };
        prepared.resize_with(self.values.len(), || None);
        for (index, (values, prepared)) in self.values.iter().zip(prepared).enumerate() {
            let statement = match prepared {
                Some(statement) => statement,
                none => none.insert(self.script.prepare(conn, index)?),
            };
            for (n, from) in values.iter().enumerate() {
                match from {
                    Input::Event(root) => bind_root(statement, n + 1, *root, event)?,
                    Input::DataField(field) => bind(statement, n + 1, payload::field(&data[*field]))?,
                    Input::MetadataField(field) => bind(statement, n + 1, payload::field(&metadata[*field]))?,
                }
            }
            self.script.step(conn, index, statement)?;
        }
        Ok(())
    }
}

/// The place of a path among those that are taken; a path stands there once.
fn place(paths: &mut Vec<Vec<Segment>>, path: &[Segment]) -> usize {
    paths.iter().position(|known| known == path).unwrap_or_else(|| {
        paths.push(path.to_vec());
        paths.len() - 1
    })
}

fn bind_root(
    statement: &mut rusqlite::Statement<'_>,
    n: usize,
    root: Root,
    event: &RecordedEvent,
) -> Result<(), Error> {
    let integer = |name, value| Ok::<_, Error>(ToSqlOutput::from(payload::integer(name, value)?));
    match root {
        Root::Id => {
            let mut text = [0; Hyphenated::LENGTH];
            bind(statement, n, (&*event.id().hyphenated().encode_lower(&mut text)).into())
        }
        Root::Stream => bind(statement, n, event.stream().into()),
        Root::Category => bind(statement, n, event.category().into()),
        Root::Sequence => bind(statement, n, integer("sequence", event.sequence())?),
        Root::Position => bind(statement, n, integer("position", event.position().commit())?),
        Root::Offset => bind(statement, n, integer("offset", event.position().prepare())?),
        Root::Type => bind(statement, n, event.event_type().into()),
        Root::Time => bind(statement, n, event.time_rfc3339().into()),
        Root::Data => bind(statement, n, payload::payload(event.content_type(), event.data())),
        Root::Metadata => bind(statement, n, payload::metadata(event.content_type(), event.metadata())),
    }
}

fn bind(statement: &mut rusqlite::Statement<'_>, n: usize, value: ToSqlOutput<'_>) -> Result<(), Error> {
    statement
        .raw_bind_parameter(n, value)
        .map_err(|error| sqlite_error("bind a value of an event to SQL", error))
}

fn unreadable(part: &'static str, error: JsonPathError) -> Error {
    Error::new(ErrorKind::Decode, "take a field out of an event").with("from", part).because(error)
}
