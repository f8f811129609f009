//! The SQLite benchmark: the product and the plain loop that it replaces, side by side.
//!
//! A rate says more about the machine than about the program, so nothing here is judged by its rate. Each
//! part of the product has a baseline: the loop that one would write without it, over the same tables, with
//! the same statements, batches and durability (`synchronous` FULL). Both are run in turn, in one process,
//! each on a fresh copy of the same database, and what counts is the ratio of the two. Every run's read model
//! is compared with what one plain statement over the whole log makes of it: speed that is bought with wrong
//! results is an error.
//!
//! `cargo xtask bench -- --help` lists the options.

mod baseline;
mod contestants;
mod data;
mod imported;
mod lineup;
mod measure;
mod memory;
mod plan;
mod read_model;
mod report;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::contestants::Way;
use crate::plan::Part;
use crate::report::Report;
use crate::work::Work;

/// The SQLite benchmark: the product and plain loops over the same tables, interleaved in one run
#[derive(Debug, Parser)]
#[command(name = "highwater-bench", version = None, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Hidden>,
    #[command(flatten)]
    options: Options,
}

/// What the benchmark starts itself.
#[derive(Debug, Subcommand)]
enum Hidden {
    /// One catch-up in a process of its own; prints the most memory that it held
    #[command(hide = true)]
    Memory {
        #[arg(long, value_enum)]
        way: Way,
        #[arg(long)]
        database: PathBuf,
        #[arg(long)]
        events: u32,
    },
}

/// How much is measured, and what.
#[derive(Debug, Args)]
struct Options {
    /// Rounds; in each, every contestant runs once; medians are taken over them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Events in the log; memory is measured with as many and with three times as many
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=MOST_EVENTS))]
    events: u32,
    /// Events a transaction, for the product and for the loops
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// A smoke run: 4,000 events, one round; the figures mean nothing
    #[arg(long, conflicts_with_all = ["rounds", "events"])]
    quick: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Exit with 1 if a goal is missed
    #[arg(long)]
    check: bool,
    /// Where the figures go as JSON [default: bench/sqlite.json in the target folder]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where databases are kept while it runs; on the disk that is to be measured [default: bench in the
    /// target folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A week of flights as gzip'd JSON lines, for the import [default: flights-week1.ndjson.gz in
    /// examples/flights, else in the folder HIGHWATER_TEST_DATA]
    #[arg(long, value_name = "FILE")]
    flights: Option<PathBuf>,
    /// The program whose import is measured [default: highwater beside this program]
    #[arg(long, value_name = "FILE", env = "HIGHWATER_BIN")]
    highwater: Option<PathBuf>,
}

const QUICK_EVENTS: u32 = 4_000;
/// Up to here no sum makes up for a poisoned event.
const MOST_EVENTS: i64 = 10_000_000;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::new().context("start tokio")?;
    match cli.command {
        Some(Hidden::Memory { way, database, events }) => {
            memory::child(&runtime, way, &database, events)?;
            Ok(ExitCode::SUCCESS)
        }
        None => benchmark(&runtime, cli.options),
    }
}

fn benchmark(runtime: &Runtime, mut options: Options) -> anyhow::Result<ExitCode> {
    if options.quick {
        (options.events, options.rounds) = (QUICK_EVENTS, 1);
    }
    if cfg!(debug_assertions) {
        eprintln!(
            "warning: built without optimisation, so the figures mean nothing; use `cargo xtask bench`"
        );
    }
    let target = work::target_folder()?;
    let json = options.json.clone().unwrap_or_else(|| target.join("bench").join("sqlite.json"));
    let work = Work::prepare(runtime, &options, &target)?;
    let mut comparisons = plan::wanted(&options);
    comparisons.retain(|comparison| comparison.part != Part::Import || work.import.is_some());
    let contestants = lineup::lineup(runtime, &work, &options, &comparisons)?;
    let measured = measure::interleave(&contestants, options.rounds, work.folder())?;
    let memory = if Part::Memory.is_wanted(&options) { memory::measure(&work)? } else { Vec::new() };
    let report = Report::new(&options, &comparisons, measured, memory, work.skipped.clone());
    report.print();
    report.write(&json)?;
    println!("written to {}", json.display());
    let missed = options.check && report.missed();
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
