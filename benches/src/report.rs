//! What came out: a table for people, the same as JSON for machines.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::Context;
use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::Options;
use crate::measure::{Measured, Spread, ratio};
use crate::memory::{GOAL_BYTES, Memory};
use crate::plan::{Comparison, Part};

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    settings: Settings,
    contestants: Vec<Entry>,
    comparisons: Vec<Compared>,
    memory: Vec<Memory>,
    memory_goal_bytes: u64,
    skipped: Vec<String>,
}

/// Under which conditions.
#[derive(Debug, Serialize)]
struct Settings {
    events: u32,
    rounds: u32,
    batch: u32,
    synchronous: &'static str,
    sqlite: &'static str,
    optimised: bool,
    processors: usize,
    system: &'static str,
    machine: &'static str,
}

#[derive(Debug, Serialize)]
struct Entry {
    #[serde(flatten)]
    measured: Measured,
    time: Spread,
    events_per_second: Option<Spread>,
}

#[derive(Debug, Serialize)]
struct Compared {
    part: Part,
    contestant: &'static str,
    baseline: &'static str,
    /// How many times as fast the contestant is, round by round.
    ratio: Spread,
    goal: Option<f64>,
    ok: Option<bool>,
}

impl Report {
    /// Sums up.
    pub(crate) fn new(
        options: &Options,
        comparisons: &[Comparison],
        measured: Vec<Measured>,
        memory: Vec<Memory>,
        skipped: Vec<String>,
    ) -> Self {
        let find = |name| measured.iter().find(|measured| measured.name == name);
        let comparisons = comparisons
            .iter()
            .filter_map(|asked| {
                let ratio = ratio(find(asked.contestant)?, find(asked.baseline)?);
                Some(Compared {
                    part: asked.part,
                    contestant: asked.contestant,
                    baseline: asked.baseline,
                    ratio,
                    goal: asked.goal,
                    ok: asked.goal.map(|goal| ratio.median >= goal),
                })
            })
            .collect();
        let contestants = measured
            .into_iter()
            .map(|measured| Entry {
                time: Spread::of(&measured.seconds),
                events_per_second: (measured.events > 0).then(|| Spread::of(&measured.rates())),
                measured,
            })
            .collect();
        let settings = Settings {
            events: options.events,
            rounds: options.rounds,
            batch: options.batch,
            synchronous: "FULL",
            sqlite: rusqlite::version(),
            optimised: !cfg!(debug_assertions),
            processors: thread::available_parallelism().map_or(0, usize::from),
            system: std::env::consts::OS,
            machine: std::env::consts::ARCH,
        };
        Self { settings, contestants, comparisons, memory, memory_goal_bytes: GOAL_BYTES, skipped }
    }

    /// Whether a goal is missed.
    pub(crate) fn missed(&self) -> bool {
        self.comparisons.iter().any(|compared| compared.ok == Some(false))
            || self.memory.iter().any(|memory| memory.ok() == Some(false))
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("turn the report into JSON")?;
        file.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(file, text + "\n"))
            .with_context(|| format!("write {}", file.display()))
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        let Settings { events, rounds, batch, synchronous, sqlite, .. } = self.settings;
        println!("SQLite {sqlite}, synchronous {synchronous}");
        println!("{events} events, batches of {batch}, {rounds} rounds\n");
        if !self.contestants.is_empty() {
            println!("{}\n", self.rates());
        }
        if !self.comparisons.is_empty() {
            println!("{}\n", self.ratios());
        }
        if !self.memory.is_empty() {
            println!("{}\n", self.peaks());
        }
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
    }

    fn rates(&self) -> Table {
        let mut table = table(&["", "events", "ms", "events/s", "min .. max"]);
        for Entry { measured, time, events_per_second } in &self.contestants {
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

    fn ratios(&self) -> Table {
        let mut table = table(&["", "against", "ratio", "min .. max", "goal", ""]);
        for compared in &self.comparisons {
            let Spread { median, min, max } = compared.ratio;
            table.add_row(row(&[
                compared.contestant.to_owned(),
                compared.baseline.to_owned(),
                format!("{median:.2}"),
                format!("{min:.2} .. {max:.2}"),
                compared.goal.map_or("reported".to_owned(), |goal| format!(">= {goal:.2}")),
                verdict(compared.ok).to_owned(),
            ]));
        }
        table
    }

    fn peaks(&self) -> Table {
        let mut table = table(&["catch-up", "events", "peak MB", "goal", "", "growth"]);
        for memory in &self.memory {
            let shorter = self
                .memory
                .iter()
                .find(|other| other.way == memory.way && other.events < memory.events)
                .and_then(|shorter| shorter.peak_bytes);
            let growth = match (shorter, memory.peak_bytes) {
                (Some(before), Some(now)) => format!("{:+.1} MB", megabytes(now) - megabytes(before)),
                _ => "-".to_owned(),
            };
            let way = memory.way.to_possible_value();
            table.add_row(row(&[
                way.map_or(String::new(), |way| way.get_name().to_owned()),
                memory.events.to_string(),
                memory.peak_bytes.map_or("unknown".to_owned(), |bytes| format!("{:.1}", megabytes(bytes))),
                format!("< {:.0}", megabytes(GOAL_BYTES)),
                verdict(memory.ok()).to_owned(),
                growth,
            ]));
        }
        table
    }
}

/// To a tenth, which is all that is shown; a size that is no u32 of kilobytes is beyond any machine.
fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1_000).unwrap_or(u32::MAX)) / 1e3
}

fn verdict(ok: Option<bool>) -> &'static str {
    match ok {
        Some(true) => "ok",
        Some(false) => "MISSED",
        None => "",
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table
}

/// Words to the left, figures to the right.
fn row(cells: &[String]) -> Vec<Cell> {
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
