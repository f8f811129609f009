//! On SQLite: each run gets a fresh copy of a database file.

mod baseline;
mod contestants;
mod copies;
mod imported;
mod lineup;
mod memory;
mod plan;
mod read_model;
mod report;
mod sample;
mod work;

use std::path::PathBuf;

use clap::Args;
use tokio::runtime::Runtime;

use crate::measure;
use crate::options::{Common, target_folder};
use crate::report::write_json;
use crate::sqlite::contestants::Way;
use crate::sqlite::plan::Part;
use crate::sqlite::report::Report;
use crate::sqlite::work::Work;

const EVENTS: u32 = 100_000;

/// How much is measured, and what.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Events a transaction, for the product and for the loops
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Where the figures go as JSON [default: bench/sqlite.json in the target folder]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A week of flights as gzip'd JSON lines, for the import [default: flights-week1.ndjson.gz in
    /// examples/flights, else in the folder HIGHWATER_TEST_DATA]
    #[arg(long, value_name = "FILE")]
    flights: Option<PathBuf>,
    /// The program whose import is measured [default: highwater beside this program]
    #[arg(long, value_name = "FILE", env = "HIGHWATER_BIN")]
    highwater: Option<PathBuf>,
}

impl Options {
    fn events(&self) -> u32 {
        self.common.events_or(EVENTS)
    }
}

/// One catch-up in a process of its own.
#[derive(Debug, Args)]
pub(crate) struct Memory {
    #[arg(long, value_enum)]
    way: Way,
    #[arg(long)]
    database: PathBuf,
    #[arg(long)]
    events: u32,
}

/// In the child: catches up and prints the most memory that it held.
///
/// # Errors
/// When it does not get through.
pub(crate) fn memory(runtime: &Runtime, asked: &Memory) -> anyhow::Result<()> {
    memory::child(runtime, asked.way, &asked.database, asked.events)
}

/// Runs it; whether every goal was met.
///
/// # Errors
/// When a run fails or its result is wrong.
pub(crate) fn benchmark(runtime: &Runtime, options: &Options) -> anyhow::Result<bool> {
    let target = target_folder()?;
    let json = options.json.clone().unwrap_or_else(|| target.join("bench").join("sqlite.json"));
    let work = Work::prepare(runtime, options, &target)?;
    let mut comparisons = plan::wanted(options);
    comparisons.retain(|comparison| comparison.part != Part::Import || work.import.is_some());
    let contestants = lineup::lineup(runtime, &work, options, &comparisons)?;
    let measured = measure::interleave(&contestants, options.common.rounds())?;
    let memory = if Part::Memory.is_wanted(options) { memory::measure(&work)? } else { Vec::new() };
    let report = Report::new(options, &comparisons, measured, memory, work.skipped.clone());
    report.print();
    write_json(&report, &json)?;
    println!("written to {}", json.display());
    Ok(!report.missed())
}
