//! What a run did.
//!
//! JSON: `{"projections": [{"name", "outcome", "reason", "applied", "failed", "recovered", "duplicates",
//! "batches", "position", "seconds"}]}`. The outcome is `stopped`, `caught-up`, `busy` (another instance owns
//! it), `paused`, `stalled` or `faulted`, the last two with a reason. The counters are of this run. A projection
//! that is divided has `partitions` as well: `[{"partition", "outcome", "reason", "applied", "failed", "position"}]`.

use std::time::Duration;

use serde::Serialize;

use highwater::{Outcome, Report};
use highwater_core::model::Position;

use crate::cli::exit::Exit;
use crate::cli::output::{Table, count, duration, plain, rate};

/// A report for output.
#[derive(Serialize)]
pub(super) struct RunReport {
    projections: Vec<Row>,
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
        Self { projections: rows.collect() }
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
        let mut text = table.text("nothing ran");
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
        text
    }
}

/// The exit code of a run. A catch-up that did not catch up is not done, whatever kept it from that.
pub(super) fn exit_of(report: &Report, until_caught_up: bool) -> Exit {
    let any = |wanted: fn(&Outcome) -> bool| {
        report.projections.iter().any(|projection| wanted(&projection.outcome))
    };
    if any(|outcome| matches!(outcome, Outcome::Faulted(_))) {
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
        Report { projections: projections.collect() }
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

    #[test]
    fn the_table_has_rates_and_reasons() {
        let text = RunReport::from(&report(&[Outcome::Faulted("no table\n".to_owned())])).text();
        assert!(text.contains("2,000") && text.contains("600 ms") && text.contains("no table\\n"), "{text}");
    }
}
