//! What a run did.
//!
//! JSON: `{"projections": [{"name", "outcome", "reason", "applied", "failed", "recovered", "duplicates",
//! "batches", "position", "seconds"}]}`. The outcome is `stopped`, `caught-up`, `busy` (another instance owns
//! it), `paused`, `stalled` or `faulted`, the last two with a reason. The counters are of this run. A projection
//! that is divided has `partitions` as well: `[{"partition", "outcome", "reason", "applied", "failed", "position"}]`.
//! Handlers follow in `"handlers": [{"name", "outcome", "reason", "processed", "errors", "dead_lettered", "skipped",
//! "duplicates", "abandoned", "position", "checkpoint", "unflushed", "seconds"}]`: `checkpoint` is what is known to be
//! stored, `abandoned` counts events whose handling was cut short, and `unflushed` says why the last checkpoint is not
//! stored (null where it is).

use std::time::Duration;

use serde::Serialize;

use highwater::{HandlerReport, Outcome, Report};
use highwater_core::model::Position;

use crate::cli::exit::Exit;
use crate::cli::output::{Table, count, duration, plain, rate};

/// A report for output.
#[derive(Serialize)]
pub(super) struct RunReport {
    projections: Vec<Row>,
    handlers: Vec<HandlerRow>,
}

#[derive(Serialize)]
struct HandlerRow {
    name: String,
    outcome: &'static str,
    reason: Option<String>,
    processed: u64,
    errors: u64,
    dead_lettered: u64,
    skipped: u64,
    duplicates: u64,
    abandoned: u64,
    position: Option<Position>,
    checkpoint: Option<Position>,
    unflushed: Option<String>,
    seconds: f64,
    #[serde(skip)]
    took: Duration,
}

impl From<&HandlerReport> for HandlerRow {
    fn from(report: &HandlerReport) -> Self {
        let (outcome, reason) = words(&report.outcome);
        Self {
            name: report.name.to_string(),
            outcome,
            reason,
            processed: report.totals.processed,
            errors: report.totals.errors,
            dead_lettered: report.totals.dead_lettered,
            skipped: report.totals.skipped,
            duplicates: report.totals.duplicates,
            abandoned: report.abandoned,
            position: report.position,
            checkpoint: report.stored,
            unflushed: report.unflushed.clone(),
            seconds: report.took.as_secs_f64(),
            took: report.took,
        }
    }
}

#[derive(Serialize)]
struct Row {
    name: String,
    outcome: &'static str,
    reason: Option<String>,
    applied: u64,
    failed: u64,
    recovered: u64,
    duplicates: u64,
    batches: u64,
    position: Option<Position>,
    seconds: f64,
    #[serde(skip)]
    took: Duration,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<PartitionRow>,
}

#[derive(Serialize)]
struct PartitionRow {
    partition: u32,
    outcome: &'static str,
    reason: Option<String>,
    applied: u64,
    failed: u64,
    position: Option<Position>,
}

/// The word for an outcome, and its reason.
fn words(outcome: &Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Stopped => ("stopped", None),
        Outcome::CaughtUp => ("caught-up", None),
        Outcome::Busy => ("busy", None),
        Outcome::Paused => ("paused", None),
        Outcome::Stalled(reason) => ("stalled", Some(reason.clone())),
        Outcome::Faulted(reason) => ("faulted", Some(reason.clone())),
    }
}

impl From<&Report> for RunReport {
    fn from(report: &Report) -> Self {
        let rows = report.projections.iter().map(|projection| {
            let (outcome, reason) = words(&projection.outcome);
            let partitions = projection.partitions.iter().map(|part| {
                let (outcome, reason) = words(&part.outcome);
                PartitionRow {
                    partition: part.partition,
                    outcome,
                    reason,
                    applied: part.applied,
                    failed: part.failed,
                    position: part.scanned,
                }
            });
            Row {
                name: projection.name.to_string(),
                outcome,
                reason,
                applied: projection.applied,
                failed: projection.failed,
                recovered: projection.recovered,
                duplicates: projection.duplicates,
                batches: projection.batches,
                position: projection.scanned,
                seconds: projection.took.as_secs_f64(),
                took: projection.took,
                partitions: partitions.collect(),
            }
        });
        Self { projections: rows.collect(), handlers: report.handlers.iter().map(HandlerRow::from).collect() }
    }
}

impl RunReport {
    /// The report as a table.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new(&[
            "projection",
            "outcome",
            "#applied",
            "#failed",
            "#recovered",
            "#batches",
            "#position",
            "#took",
            "#events/s",
        ]);
        for row in &self.projections {
            table.row([
                row.name.clone(),
                row.outcome.to_owned(),
                count(row.applied),
                count(row.failed),
                count(row.recovered),
                count(row.batches),
                row.position.map_or_else(|| "-".to_owned(), |position| position.to_string()),
                duration(row.took),
                rate(row.applied, row.took).filter(|rate| *rate > 0).map_or_else(|| "-".to_owned(), count),
            ]);
        }
        let mut text = match self.projections.as_slice() {
            [] if !self.handlers.is_empty() => String::new(),
            _ => table.text("nothing ran"),
        };
        for row in &self.projections {
            if let Some(reason) = &row.reason {
                text.push_str(&format!("\n{} {}: {}", row.name, row.outcome, plain(reason)));
            }
            // Only what the projection's own row does not say.
            for part in row.partitions.iter().filter(|part| part.outcome != row.outcome) {
                let reason = part.reason.as_deref().map(|reason| format!(": {}", plain(reason)));
                let reason = reason.unwrap_or_default();
                text.push_str(&format!(
                    "\n{} partition {} {}{reason}",
                    row.name, part.partition, part.outcome
                ));
            }
        }
        text.push_str(&self.handlers_text());
        text
    }

    fn handlers_text(&self) -> String {
        if self.handlers.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&[
            "handler",
            "outcome",
            "#handled",
            "#errors",
            "#dead letters",
            "#skipped",
            "#position",
            "#took",
            "#events/s",
        ]);
        for row in &self.handlers {
            table.row([
                row.name.clone(),
                row.outcome.to_owned(),
                count(row.processed),
                count(row.errors),
                count(row.dead_lettered),
                count(row.skipped),
                row.position.map_or_else(|| "-".to_owned(), |position| position.to_string()),
                duration(row.took),
                rate(row.processed, row.took).filter(|rate| *rate > 0).map_or_else(|| "-".to_owned(), count),
            ]);
        }
        let between = if self.projections.is_empty() { "" } else { "\n" };
        let mut text = format!("{between}{}", table.text(""));
        for row in &self.handlers {
            if let Some(reason) = &row.reason {
                text.push_str(&format!("\n{} {}: {}", row.name, row.outcome, plain(reason)));
            }
            if let Some(why) = &row.unflushed {
                text.push_str(&format!("\n{}: the last checkpoint is not stored: {}", row.name, plain(why)));
            }
        }
        text
    }
}

/// The exit code of a run. A catch-up that did not catch up is not done, whatever kept it from that.
pub(super) fn exit_of(report: &Report, until_caught_up: bool) -> Exit {
    let any = |wanted: fn(&Outcome) -> bool| {
        let handlers = report.handlers.iter().map(|handler| &handler.outcome);
        report.projections.iter().map(|projection| &projection.outcome).chain(handlers).any(wanted)
    };
    if report.handlers.iter().any(|handler| handler.unflushed.is_some())
        || any(|outcome| matches!(outcome, Outcome::Faulted(_)))
    {
        Exit::Failed
    } else if !until_caught_up {
        Exit::Ok
    } else if any(|outcome| matches!(outcome, Outcome::Stalled(_) | Outcome::Stopped | Outcome::Paused)) {
        Exit::Failed
    } else if any(|outcome| matches!(outcome, Outcome::Busy)) {
        Exit::Busy
    } else {
        Exit::Ok
    }
}

#[cfg(test)]
mod tests {
    use highwater::ProjectionReport;
    use highwater_core::model::ProjectionName;

    use super::*;

    fn report(outcomes: &[Outcome]) -> Report {
        let projections = outcomes.iter().map(|outcome| ProjectionReport {
            name: ProjectionName::new("p").unwrap(),
            outcome: outcome.clone(),
            applied: 1200,
            failed: 0,
            recovered: 0,
            duplicates: 0,
            batches: 3,
            scanned: Some(Position::new(12, 0)),
            took: Duration::from_millis(600),
            partitions: Vec::new(),
        });
        Report { projections: projections.collect(), handlers: Vec::new() }
    }

    #[test]
    fn x_3_only_what_is_done_ends_with_zero() {
        let faulted = Outcome::Faulted("x".to_owned());
        assert_eq!(exit_of(&report(&[Outcome::Stopped, faulted.clone()]), false), Exit::Failed);
        assert_eq!(exit_of(&report(&[Outcome::Stopped, Outcome::Busy]), false), Exit::Ok);
        assert_eq!(exit_of(&report(&[Outcome::CaughtUp, Outcome::CaughtUp]), true), Exit::Ok);
        assert_eq!(exit_of(&report(&[Outcome::CaughtUp, Outcome::Busy]), true), Exit::Busy);
        assert_eq!(exit_of(&report(&[Outcome::Busy, faulted]), true), Exit::Failed);
        assert_eq!(exit_of(&report(&[Outcome::Stopped]), true), Exit::Failed);
        assert_eq!(exit_of(&report(&[Outcome::Paused]), true), Exit::Failed);
    }

    fn handled(outcome: Outcome, unflushed: Option<&str>) -> Report {
        let handler = HandlerReport {
            name: "h".into(),
            outcome,
            totals: highwater::HandlerTotals { processed: 500, dead_lettered: 2, ..Default::default() },
            abandoned: 0,
            position: Some(Position::new(9, 0)),
            stored: Some(Position::new(9, 0)),
            unflushed: unflushed.map(str::to_owned),
            took: Duration::from_millis(250),
        };
        Report { projections: Vec::new(), handlers: vec![handler] }
    }

    #[test]
    fn b_11_a_handler_that_did_not_end_well_shows_in_the_code_and_in_the_table() {
        assert_eq!(exit_of(&handled(Outcome::CaughtUp, None), true), Exit::Ok);
        assert_eq!(exit_of(&handled(Outcome::Stopped, None), false), Exit::Ok);
        assert_eq!(exit_of(&handled(Outcome::Stopped, None), true), Exit::Failed);
        assert_eq!(exit_of(&handled(Outcome::Busy, None), true), Exit::Busy);
        assert_eq!(exit_of(&handled(Outcome::CaughtUp, Some("store away")), true), Exit::Failed);
        assert_eq!(exit_of(&handled(Outcome::Stopped, Some("store away")), false), Exit::Failed);
        let text = RunReport::from(&handled(Outcome::CaughtUp, Some("store away"))).text();
        assert!(
            text.contains("2,000") && text.contains("caught-up") && text.contains("store away"),
            "{text}"
        );
    }

    #[test]
    fn the_table_has_rates_and_reasons() {
        let text = RunReport::from(&report(&[Outcome::Faulted("no table\n".to_owned())])).text();
        assert!(text.contains("2,000") && text.contains("600 ms") && text.contains("no table\\n"), "{text}");
    }
}
