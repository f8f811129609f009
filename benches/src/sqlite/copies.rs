//! A fresh copy of a database for each run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::measure::{Contestant, timed};

/// What a contestant does with the database at a path.
pub(super) type Step<'b> = Box<dyn Fn(&Path) -> anyhow::Result<()> + 'b>;

/// What makes a contestant out of steps on a copy.
pub(super) struct OnCopy<'b> {
    /// As in [`Contestant`].
    pub(super) name: &'static str,
    /// The database that it gets a copy of.
    pub(super) input: PathBuf,
    /// As in [`Contestant`].
    pub(super) events: u32,
    /// As in [`Contestant`].
    pub(super) sql: Vec<&'static str>,
    /// What is timed; gets the copy's path.
    pub(super) run: Step<'b>,
    /// Whether the result is right; not timed.
    pub(super) check: Step<'b>,
}

impl<'b> OnCopy<'b> {
    /// The contestant; copies are made in `folder`.
    pub(super) fn contestant(self, folder: &'b Path) -> Contestant<'b> {
        let Self { name, input, events, sql, run, check } = self;
        let turn = Box::new(move || {
            let place = tempfile::tempdir_in(folder).context("make a folder for the run")?;
            let database = fresh_copy(&input, place.path())?;
            let seconds = timed(|| run(&database))?;
            check(&database).context("the result is wrong")?;
            Ok(seconds)
        });
        Contestant { name, events, sql, turn }
    }
}

/// A copy that is on the disk: else the first commit of the run would have to write it.
pub(super) fn fresh_copy(input: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let database = folder.join("bench.db");
    let copied = fs::copy(input, &database).and_then(|_| File::open(&database)?.sync_all());
    copied.with_context(|| format!("copy {} to {}", input.display(), database.display()))?;
    Ok(database)
}
