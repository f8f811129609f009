//! What came out on SQLite.

use std::thread;

use clap::ValueEnum;
use comfy_table::Table;
use serde::Serialize;

use crate::measure::Measured;
use crate::report::{Compared, Entry, Goal, rates, ratios, row, table, verdict};
use crate::sqlite::Options;
use crate::sqlite::memory::{GOAL_BYTES, Memory};
use crate::sqlite::plan::Comparison;

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

impl Report {
    /// Sums up.
    pub(crate) fn new(
        options: &Options,
        comparisons: &[Comparison],
        measured: Vec<Measured>,
        memory: Vec<Memory>,
        skipped: Vec<String>,
    ) -> Self {
        let comparisons = comparisons
            .iter()
            .filter_map(|asked| {
                let part =
                    asked.part.to_possible_value().map_or(String::new(), |part| part.get_name().to_owned());
                let goal = asked.goal.map(Goal::AtLeast);
                Compared::new(part, &measured, asked.contestant, asked.baseline, goal)
            })
            .collect();
        let contestants = measured.into_iter().map(Entry::new).collect();
        let settings = Settings {
            events: options.events(),
            rounds: options.common.rounds(),
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

    /// Prints it.
    pub(crate) fn print(&self) {
        let Settings { events, rounds, batch, synchronous, sqlite, .. } = self.settings;
        println!("SQLite {sqlite}, synchronous {synchronous}");
        println!("{events} events, batches of {batch}, {rounds} rounds\n");
        if !self.contestants.is_empty() {
            println!("{}\n", rates(&self.contestants));
        }
        if !self.comparisons.is_empty() {
            println!("{}\n", ratios(&self.comparisons));
        }
        if !self.memory.is_empty() {
            println!("{}\n", self.peaks());
        }
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
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
