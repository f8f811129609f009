//! What came out: tables for people, the same as JSON for machines.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::measure::{Measured, Spread, ratio};

/// What is asked of a median.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Between the two.
    Within(f64, f64),
}

impl Goal {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Within(least, most) => (least..=most).contains(&value),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">= {least:.2}"),
            Self::AtMost(most) => write!(f, "<= {most:.2}"),
            Self::Within(least, most) => write!(f, "{least:.2} .. {most:.2}"),
        }
    }
}

/// A contestant and its times.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    pub(crate) measured: Measured,
    pub(crate) time: Spread,
    pub(crate) events_per_second: Option<Spread>,
}

impl Entry {
    pub(crate) fn new(measured: Measured) -> Self {
        Self {
            time: Spread::of(&measured.seconds),
            events_per_second: (measured.events > 0).then(|| Spread::of(&measured.rates())),
            measured,
        }
    }
}

/// Two contestants that were compared.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) part: String,
    pub(crate) contestant: &'static str,
    pub(crate) baseline: &'static str,
    /// How many times as fast the contestant is, round by round.
    pub(crate) ratio: Spread,
    /// `None` = it is only reported.
    pub(crate) goal: Option<Goal>,
    pub(crate) ok: Option<bool>,
}

impl Compared {
    /// `None` if one of the two did not run.
    pub(crate) fn new(
        part: String,
        measured: &[Measured],
        contestant: &'static str,
        baseline: &'static str,
        goal: Option<Goal>,
    ) -> Option<Self> {
        let find = |name| measured.iter().find(|measured| measured.name == name);
        let ratio = ratio(find(contestant)?, find(baseline)?);
        let ok = goal.map(|goal| goal.is_met(ratio.median));
        Some(Self { part, contestant, baseline, ratio, goal, ok })
    }
}

/// Writes a report as JSON.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_json(report: &impl Serialize, file: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report).context("turn the report into JSON")?;
    file.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(file, text + "\n"))
        .with_context(|| format!("write {}", file.display()))
}

pub(crate) fn rates(entries: &[Entry]) -> Table {
    let mut table = table(&["", "events", "ms", "events/s", "min .. max"]);
    for Entry { measured, time, events_per_second } in entries {
        let rates = events_per_second.as_ref();
        table.add_row(row(&[
            measured.name.to_owned(),
            measured.events.to_string(),
            format!("{:.1}", time.median * 1e3),
            rates.map_or("-".to_owned(), |rate| format!("{:.0}", rate.median)),
            rates.map_or_else(
                || format!("{:.1} .. {:.1} ms", time.min * 1e3, time.max * 1e3),
                |rate| format!("{:.0} .. {:.0}", rate.min, rate.max),
            ),
        ]));
    }
    table
}

pub(crate) fn ratios(comparisons: &[Compared]) -> Table {
    let mut table = table(&["", "against", "ratio", "min .. max", "goal", ""]);
    for compared in comparisons {
        table.add_row(row(&ratio_cells(compared)));
    }
    table
}

/// The cells of a comparison: who, against whom, ratio, spread, goal, verdict.
pub(crate) fn ratio_cells(compared: &Compared) -> Vec<String> {
    let Spread { median, min, max } = compared.ratio;
    vec![
        compared.contestant.to_owned(),
        compared.baseline.to_owned(),
        format!("{median:.2}"),
        format!("{min:.2} .. {max:.2}"),
        compared.goal.map_or("reported".to_owned(), |goal| goal.to_string()),
        verdict(compared.ok).to_owned(),
    ]
}

pub(crate) fn verdict(ok: Option<bool>) -> &'static str {
    match ok {
        Some(true) => "ok",
        Some(false) => "MISSED",
        None => "",
    }
}

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table
}

/// Words to the left, figures to the right.
pub(crate) fn row(cells: &[String]) -> Vec<Cell> {
    let is_figure =
        |text: &str| text.starts_with(|first: char| first.is_ascii_digit() || "+-><".contains(first));
    cells
        .iter()
        .map(|text| {
            let side = if is_figure(text) { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(text).set_alignment(side)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_up_to_its_bound_and_no_further() {
        assert!(Goal::AtLeast(0.9).is_met(0.9) && !Goal::AtLeast(0.9).is_met(0.89));
        assert!(Goal::AtMost(1.15).is_met(1.15) && !Goal::AtMost(1.15).is_met(1.16));
        assert!(Goal::Within(0.9, 1.1).is_met(1.0) && !Goal::Within(0.9, 1.1).is_met(1.11));
    }
}
