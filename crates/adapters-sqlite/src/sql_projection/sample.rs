//! Does the projection give the same read model however the log is cut into batches (F-1)?

use highwater_core::error::{Error, ErrorKind};
use highwater_core::failure::Failure;
use highwater_core::model::{Position, RecordedEvent};
use highwater_core::ports::ApplySlice;
use highwater_core::sql::{CutDifference, SampleFailure, SampleReport, SqlProblems, SqlProjectionDef};

use super::columns::Columns;
use super::compare::compare;
use super::projection::SqlProjection;
use super::scratch::Scratch;

/// The batch size, beside 1 and all, at which a sample is run: it divides next to nothing evenly.
const ODD_BATCH: usize = 7;

/// Runs the projection over a sample in databases in memory, event by event, in batches of 7 and all at once,
/// and compares the read models. The events need not be filtered; they are in rising position.
///
/// # Errors
/// When the projection is wrong itself: its texts, its schema, what SQLite has against its statements.
pub fn check_sample(def: &SqlProjectionDef, events: &[RecordedEvent]) -> Result<SampleReport, Error> {
    let projection = SqlProjection::new(def.clone())
        .map_err(|problems| Error::new(ErrorKind::Invalid, "read SQL").because(SqlProblems(problems)))?;
    let filter = projection.filter();
    let matching: Vec<RecordedEvent> =
        events.iter().filter(|event| filter.matches(event.event_type(), event.stream())).cloned().collect();

    let singly = prepared(&projection, def, events)?;
    let mut failed = Vec::new();
    let mut good = Vec::with_capacity(matching.len());
    for event in &matching {
        let marks = ["SAVEPOINT event", "RELEASE event", "ROLLBACK TO event; RELEASE event"];
        let one = std::slice::from_ref(event);
        match singly.bracketed(marks, |conn| projection.apply_on(conn, slice_of(&projection, one))) {
            Ok(()) => good.push(event.clone()),
            Err(failure) => failed.push(judged(event, failure)?),
        }
    }

    let tables = projection.read_model();
    let mut cuts = Vec::new();
    for batch in [ODD_BATCH, good.len()] {
        if batch > 1 && batch <= good.len() {
            let cut = prepared(&projection, def, &good)?;
            let error = good.chunks(batch).find_map(|chunk| run_batch(&projection, &cut, chunk).err());
            let differences = match error {
                None => compare(&singly.conn, &cut.conn, tables, &[])?,
                Some(_) => Vec::new(),
            };
            if error.is_some() || !differences.is_empty() {
                let error = error.map(|failure| failure.message());
                cuts.push(CutDifference { batch, error, differences });
            }
        }
    }
    let mut left_out = Vec::new();
    for table in tables {
        if let Some(columns) = Columns::of(&singly.conn, table, &[])? {
            left_out.extend(columns.left_out.iter().map(|column| format!("{table}.{column}")));
        }
    }
    Ok(SampleReport { events: matching.len(), failed, tables: tables.to_vec(), left_out, cuts })
}

/// A scratch database with the log, if the projection reads one there, and the empty read model.
fn prepared(
    projection: &SqlProjection,
    def: &SqlProjectionDef,
    log: &[RecordedEvent],
) -> Result<Scratch, Error> {
    let scratch = Scratch::in_memory()?;
    if def.log_in_store {
        scratch.load_log(log)?;
    }
    scratch.bracketed(["BEGIN", "COMMIT", "ROLLBACK"], |conn| {
        projection.setup_on(conn)?;
        projection.check_on(conn)
    })?;
    Ok(scratch)
}

fn run_batch(projection: &SqlProjection, scratch: &Scratch, events: &[RecordedEvent]) -> Result<(), Failure> {
    let marks = ["BEGIN", "COMMIT", "ROLLBACK"];
    scratch.bracketed(marks, |conn| projection.apply_on(conn, slice_of(projection, events)))
}

/// The form in which the runner would hand these events over.
fn slice_of<'e>(projection: &SqlProjection, events: &'e [RecordedEvent]) -> ApplySlice<'e> {
    match events {
        [first, .., last] | [first @ last] if projection.ranges() => ApplySlice::Range {
            // Nothing that the filter lets through stands between this place and the first event.
            after: before(first.position()),
            through: last.position(),
            count: u64::try_from(events.len()).unwrap_or(u64::MAX),
        },
        _ => ApplySlice::Events { events, contiguous: true },
    }
}

fn before(position: Position) -> Option<Position> {
    match (position.commit(), position.prepare()) {
        (commit, 1..) => Some(Position::new(commit, position.prepare() - 1)),
        (1.., 0) => Some(Position::new(position.commit() - 1, u64::MAX)),
        (0, 0) => None,
    }
}

/// The failure of one event, unless it is the projection's own.
fn judged(event: &RecordedEvent, failure: Failure) -> Result<SampleFailure, Error> {
    let kind = failure.source().downcast_ref::<Error>().map(Error::kind);
    if let Some(
        kind @ (ErrorKind::Schema
        | ErrorKind::AccessDenied
        | ErrorKind::TransactionEnded
        | ErrorKind::Invalid),
    ) = kind
    {
        return Err(Error::new(kind, "apply an event of the sample")
            .with("position", event.position())
            .because(failure.message()));
    }
    Ok(SampleFailure {
        position: event.position(),
        event_type: event.event_type().to_owned(),
        message: failure.message(),
    })
}
