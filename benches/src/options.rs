//! What all benchmarks are asked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tempfile::TempDir;

/// Up to here no sum makes up for a bad event.
const MOST_EVENTS: i64 = 10_000_000;
const QUICK_EVENTS: u32 = 4_000;

/// How much is measured, and where.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Rounds; in each, every contestant runs once; medians are taken over them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Events in the log, or checkpoints a run [default: 100,000 on SQLite and for handlers, 200,000 on
    /// PostgreSQL, 20,000 checkpoints]
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=MOST_EVENTS))]
    pub(crate) events: Option<u32>,
    /// A smoke run: 4,000 events, one round; the figures mean nothing
    #[arg(long, conflicts_with_all = ["rounds", "events"])]
    pub(crate) quick: bool,
    /// Exit with 1 if a goal is missed
    #[arg(long)]
    pub(crate) check: bool,
    /// Where the databases are kept while it runs; on the disk that is to be measured [default: bench in the
    /// target folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

impl Common {
    /// Rounds to run.
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// Events to make, `default` unless something else was asked for.
    pub(crate) fn events_or(&self, default: u32) -> u32 {
        if self.quick { QUICK_EVENTS } else { self.events.unwrap_or(default) }
    }

    /// A folder for the run, which goes with the value.
    ///
    /// # Errors
    /// An I/O error.
    pub(crate) fn folder(&self, target: &Path) -> anyhow::Result<TempDir> {
        let parent = self.dir.clone().unwrap_or_else(|| target.join("bench"));
        fs::create_dir_all(&parent).with_context(|| format!("create {}", parent.display()))?;
        tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&parent)
            .with_context(|| format!("make a folder in {}", parent.display()))
    }
}

/// Cargo's target folder: this program is in a profile's folder in it.
///
/// # Errors
/// When the program is somewhere else.
pub(crate) fn target_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("find this program's file")?;
    let target = program.parent().and_then(Path::parent);
    target.map(Path::to_owned).with_context(|| format!("{} is in no target folder", program.display()))
}
