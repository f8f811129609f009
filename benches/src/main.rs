//! The benchmark: the product and the plain loop that it replaces, side by side.
//!
//! A rate says more about the machine than about the program, so nothing here is judged by its rate. Each
//! part of the product has a baseline: the loop that one would write without it, over the same tables, with
//! the same statements, batches and durability, or a program of the server's own. All are run in turn, each on a
//! fresh read model, and what counts is the ratio of two. Every run's read model is compared with what one plain
//! statement over the whole log makes of it: speed that is bought with wrong results is an error.
//!
//! `cargo xtask bench -- sqlite --help` lists the options; so do `… postgres`, `… checkpoints` (on Redis) and
//! `… handlers` (in memory). Without a name all of them run, where their servers are to be had.

mod checkpoints;
mod data;
mod figure;
mod forced;
mod handlers;
mod machine;
mod measure;
mod options;
mod postgres;
mod report;
mod sheet;
mod sqlite;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::options::Common;

/// The benchmark: the product and plain loops over the same tables, interleaved in one run
#[derive(Debug, Parser)]
#[command(name = "highwater-bench", version = None, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    bench: Option<Bench>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// On SQLite
    Sqlite(sqlite::Options),
    /// On PostgreSQL: a server that is started for it, or one that is named
    Postgres(postgres::Options),
    /// Checkpoints in Redis: a server that is started for it, or one that is named
    Checkpoints(checkpoints::Options),
    /// Handlers, in memory
    Handlers(handlers::Options),
    /// One catch-up in a process of its own; prints the most memory that it held
    #[command(hide = true)]
    Memory(sqlite::Memory),
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is as it was asked for.
fn run() -> anyhow::Result<bool> {
    let args: Vec<OsString> = env::args_os().collect();
    let cli = Cli::parse_from(&args);
    let runtime = Runtime::new().context("start tokio")?;
    match cli.bench {
        Some(Bench::Memory(asked)) => sqlite::memory(&runtime, &asked).map(|()| true),
        Some(bench) => one(&runtime, &bench, true),
        None => {
            let mut ok = true;
            for name in ["sqlite", "postgres", "checkpoints", "handlers"] {
                let cli = Cli::parse_from(named(&args, name));
                let bench = cli.bench.context("a benchmark was named")?;
                ok &= one(&runtime, &bench, false)?;
            }
            Ok(ok)
        }
    }
}

/// The same arguments, for this benchmark.
fn named(args: &[OsString], name: &str) -> Vec<OsString> {
    let (program, rest) = args.split_at(args.len().min(1));
    [program, &[name.into()], rest].concat()
}

/// Runs one benchmark. One that was not asked for by name is passed over where there is no server.
fn one(runtime: &Runtime, bench: &Bench, asked: bool) -> anyhow::Result<bool> {
    if cfg!(debug_assertions) {
        eprintln!(
            "warning: built without optimisation, so the figures mean nothing; use `cargo xtask bench`"
        );
    }
    let (common, met) = match bench {
        Bench::Sqlite(options) => (&options.common, sqlite::benchmark(runtime, options)?),
        Bench::Postgres(options) => match postgres::find_server(options) {
            Ok(server) => (&options.common, postgres::benchmark(runtime, options, server)?),
            Err(reason) if asked => anyhow::bail!("there is no PostgreSQL: {reason}"),
            Err(reason) => {
                println!("skipped: PostgreSQL: {reason}");
                return Ok(true);
            }
        },
        Bench::Checkpoints(options) => match checkpoints::find_server(options) {
            Ok(server) => (&options.common, checkpoints::benchmark(runtime, options, server)?),
            Err(reason) if asked => anyhow::bail!("there is no Redis: {reason}"),
            Err(reason) => {
                println!("skipped: Redis: {reason}");
                return Ok(true);
            }
        },
        Bench::Handlers(options) => (&options.common, handlers::benchmark(runtime, options)?),
        Bench::Memory(_) => anyhow::bail!("this is no benchmark"),
    };
    Ok(met || !common.check)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_name_all_benchmarks_take_the_arguments() {
        let args: Vec<OsString> = ["highwater-bench", "--events", "1000"].map(OsString::from).into();
        assert!(Cli::parse_from(&args).bench.is_none());
        assert!(matches!(Cli::parse_from(named(&args, "sqlite")).bench, Some(Bench::Sqlite(_))));
        let Some(Bench::Postgres(options)) = Cli::parse_from(named(&args, "postgres")).bench else {
            panic!("not parsed as a benchmark on PostgreSQL");
        };
        assert_eq!(options.common.events_or(1), 1_000);
        let checkpoints = Cli::parse_from(named(&args, "checkpoints")).bench;
        assert!(matches!(checkpoints, Some(Bench::Checkpoints(_))));
        assert!(matches!(Cli::parse_from(named(&args, "handlers")).bench, Some(Bench::Handlers(_))));
    }
}
