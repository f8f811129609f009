//! Checkpoints in Redis: how much of what the server can do is left behind our client.
//!
//! The baselines call the very same scripts, with arguments of the same shape and length, on the same keys:
//! `redis-benchmark` and `redis-cli --pipe`, which come with the server and do nothing but write to a socket and read
//! from it, and the loop that one would write, with a connection out of a pool for each call. What makes it fair:
//!
//! * Calls are made up before the time begins to run, and differ in the same random way; each finds a checkpoint that
//!   is behind it, but for the few that meet a key a second time.
//! * All have one connection, which is there before; programs are not charged for their start.
//! * The product and the loop run as tasks of the runtime, and share the machine's processors with the server, as the
//!   programs do. Nothing is left out of the product for the time: keys are checked, answers are read.
//! * The server keeps nothing on disk, so that its part in every call is the least that it can be.

mod bench;
mod benchmark;
mod calls;
mod flusher;
mod keys;
mod programs;
mod run;
mod scripts;
mod server;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;

use self::bench::Bench;
use self::server::Server;
use crate::options::{Common, target_folder};
use crate::report::write_json;

pub(crate) use self::server::{Source, find as find_server};

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One call at a time
    One,
    /// 10, 100 and 1,000 calls at a time
    Batches,
    /// Many keys through the persistence worker
    Flusher,
    /// One forced flush of 1,000 runners
    Runners,
}

/// How much is measured, and what.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// A server to measure, redis://user:password@host:port/database; keys are made on it, and deleted [default: one
    /// is started from the program in HIGHWATER_TEST_REDIS_BIN or on the path; else the one that
    /// HIGHWATER_TEST_REDIS_URL names]
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// Where the figures go as JSON [default: bench/checkpoints.json in the target folder]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs it; whether every goal was met.
///
/// # Errors
/// When a run fails or its result is wrong.
pub(crate) fn benchmark(runtime: &Runtime, options: &Options, source: Source) -> anyhow::Result<bool> {
    let target = target_folder()?;
    let json = options.json.clone().unwrap_or_else(|| target.join("bench").join("checkpoints.json"));
    let server = Server::start(source, options.common.folder(&target)?)?;
    let bench = Bench::prepare(runtime, &server, options)?;
    let measured = bench.run();
    // On a server that is not ours the keys would stay.
    let cleared = bench.clear();
    let sheet = measured?;
    cleared?;
    println!("{}\n", sheet.conditions());
    sheet.print("checkpoints");
    write_json(&sheet, &json)?;
    println!("written to {}", json.display());
    Ok(!sheet.missed())
}
