//! The most memory that a catch-up holds, and whether it grows with the log.
//!
//! The greatest resident size is a number of a whole process, so each catch-up gets one of its own. It runs
//! with the product's default settings: that is what a user's process needs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use highwater::OnFailure;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::sqlite::contestants::{Pace, Way, catch_up};
use crate::sqlite::copies::fresh_copy;
use crate::sqlite::work::{Log, Work};

/// Less than so much, whatever the log.
pub(crate) const GOAL_BYTES: u64 = 100_000_000;

/// What one catch-up took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Memory {
    pub(crate) way: Way,
    pub(crate) events: u32,
    /// The greatest resident size; `None` where the system does not tell.
    pub(crate) peak_bytes: Option<u64>,
}

impl Memory {
    /// Whether it stayed below the goal.
    pub(crate) fn ok(self) -> Option<bool> {
        self.peak_bytes.map(|bytes| bytes < GOAL_BYTES)
    }
}

/// Measures each way on the log and on one that is three times as long.
pub(crate) fn measure(work: &Work) -> anyhow::Result<Vec<Memory>> {
    let mut measured = Vec::new();
    for log in [Some(&work.clean), work.long.as_ref()].into_iter().flatten() {
        for way in Way::value_variants() {
            eprintln!("memory: {way:?}, {} events", log.events);
            let peak_bytes = in_a_child(work.folder(), *way, log).with_context(|| format!("{way:?}"))?;
            measured.push(Memory { way: *way, events: log.events, peak_bytes });
        }
    }
    Ok(measured)
}

fn in_a_child(folder: &Path, way: Way, log: &Log) -> anyhow::Result<Option<u64>> {
    let run = tempfile::tempdir_in(folder).context("make a folder for the run")?;
    let database = fresh_copy(&log.file, run.path())?;
    let name = way.to_possible_value().context("a way without a name")?;
    let output = Command::new(std::env::current_exe()?)
        .args(["memory", "--way", name.get_name(), "--events", &log.events.to_string(), "--database"])
        .arg(&database)
        .stderr(Stdio::inherit())
        .output()
        .context("start the benchmark again")?;
    ensure!(output.status.success(), "the process ended with {}", output.status);
    let expected = way.read_model().expected(&log.file, log.events)?;
    way.read_model().check(&database, &expected).context("the result is wrong")?;
    let printed = String::from_utf8(output.stdout)?;
    match printed.trim() {
        "unknown" => Ok(None),
        bytes => Ok(Some(bytes.parse().with_context(|| format!("read the size {bytes:?}"))?)),
    }
}

/// In the child: catches up and prints the greatest resident size in bytes.
pub(crate) fn child(runtime: &Runtime, way: Way, database: &Path, events: u32) -> anyhow::Result<()> {
    let pace = Pace { batch: None, on_failure: OnFailure::default() };
    catch_up(runtime, way, database, pace, events, 0)?;
    match peak_bytes() {
        Some(bytes) => println!("{bytes}"),
        None => println!("unknown"),
    }
    Ok(())
}

/// `VmHWM` of Linux; other systems have no such file.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
