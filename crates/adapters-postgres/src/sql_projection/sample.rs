//! Does the projection give the same read model however the log is cut into batches (F-1)?

use highwater_core::error::{Error, ErrorKind};
use highwater_core::failure::Failure;
use highwater_core::model::RecordedEvent;
use highwater_core::sql::{CutDifference, SampleFailure, SampleReport, SqlProjectionDef};

use crate::database::Database;

use super::columns::Columns;
use super::compare::compare;
use super::scratch::Scratch;

/// The batch size, beside 1 and all, at which a sample is run: it divides next to nothing evenly.
const ODD_BATCH: usize = 7;

/// Runs the projection over a sample in temporary tables of a session of its own, event by event, in batches of 7
/// and all at once, and compares the read models. The events need not be filtered; they are in rising position.
/// Nothing stays behind in the database.
///
/// # Errors
/// When the projection is wrong itself: its texts, its schema, what the server has against its statements; when the
/// server cannot be used.
pub async fn check_sample(
    def: &SqlProjectionDef,
    database: &Database,
    events: &[RecordedEvent],
) -> Result<SampleReport, Error> {
    let mut scratch = Scratch::open(def, database).await?;
    let filter = scratch.projection.filter().clone();
    let matching: Vec<RecordedEvent> =
        events.iter().filter(|event| filter.matches(event.event_type(), event.stream())).cloned().collect();
    let mut failed = Vec::new();
    let mut good = Vec::with_capacity(matching.len());
    for event in &matching {
        match scratch.apply(std::slice::from_ref(event)).await {
            Ok(()) => good.push(event.clone()),
            Err(failure) => failed.push(judged(event, failure)?),
        }
    }
    for (n, table) in scratch.tables.iter().map(|table| table.scratch.clone()).enumerate().collect::<Vec<_>>()
    {
        scratch.run(&format!("CREATE TEMP TABLE hw_singly_{n} AS TABLE {table}")).await?;
    }
    let mut cuts = Vec::new();
    for batch in [ODD_BATCH, good.len()] {
        if batch <= 1 || batch > good.len() || scratch.tables.is_empty() {
            continue;
        }
        scratch.clear().await?;
        let mut error = None;
        for chunk in good.chunks(batch) {
            if let Err(failure) = scratch.apply(chunk).await {
                error = Some(failure.message());
                break;
            }
        }
        let differences = if error.is_some() { Vec::new() } else { differences(&mut scratch).await? };
        if error.is_some() || !differences.is_empty() {
            cuts.push(CutDifference { batch, error, differences });
        }
    }
    let mut left_out = Vec::new();
    for table in &scratch.tables {
        let columns = Columns::of(&mut scratch.connection, &table.scratch, &table.name, &[]).await?;
        left_out.extend(columns.left_out.iter().map(|column| format!("{}.{column}", table.name)));
    }
    let tables = scratch.tables.iter().map(|table| table.name.clone()).collect();
    scratch.close().await?;
    Ok(SampleReport { events: matching.len(), failed, tables, left_out, cuts })
}

/// What the tables hold, against what they held event by event.
async fn differences(scratch: &mut Scratch) -> Result<Vec<highwater_core::sql::TableDifference>, Error> {
    scratch.run("BEGIN READ ONLY").await?;
    let mut differences = Vec::new();
    for (n, table) in scratch.tables.iter().enumerate() {
        let columns = Columns::of(&mut scratch.connection, &table.scratch, &table.name, &[]).await?;
        let singly = format!("pg_temp.hw_singly_{n}");
        let (expected, found) = ((singly.as_str(), &columns), (table.scratch.as_str(), &columns));
        differences.extend(compare(&mut scratch.connection, &table.name, expected, found).await?);
    }
    scratch.run("COMMIT").await?;
    Ok(differences)
}

/// The failure of one event, unless it is the projection's own.
fn judged(event: &RecordedEvent, failure: Failure) -> Result<SampleFailure, Error> {
    let kind = failure.source().downcast_ref::<Error>().map(Error::kind);
    if let Some(
        kind @ (ErrorKind::Schema
        | ErrorKind::AccessDenied
        | ErrorKind::TransactionEnded
        | ErrorKind::Unsupported
        | ErrorKind::Unavailable
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
