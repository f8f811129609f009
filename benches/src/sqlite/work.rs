//! What is prepared once: the folder, the databases that contestants get copies of, the file to import.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::data;
use crate::sqlite::Options;
use crate::sqlite::contestants::open_log;
use crate::sqlite::plan::Part;
use crate::sqlite::sample::repeat_sample;

const SAMPLE: &str = "flights-week1.ndjson.gz";

/// A database with a log.
#[derive(Debug)]
pub(crate) struct Log {
    /// Its file; nothing writes to it any more.
    pub(crate) file: PathBuf,
    /// How many events it has.
    pub(crate) events: u32,
    /// How many of them are bad.
    pub(crate) poison: u32,
}

/// What the import reads, and with what.
#[derive(Debug)]
pub(crate) struct Import {
    /// Lines of JSON, gzip'd.
    pub(crate) file: PathBuf,
    /// How many.
    pub(crate) lines: u32,
    /// The program.
    pub(crate) program: PathBuf,
}

/// What is prepared once. Its folder goes with it.
#[derive(Debug)]
pub(crate) struct Work {
    folder: TempDir,
    /// A log without events.
    pub(crate) empty: Log,
    /// The log of nearly everything.
    pub(crate) clean: Log,
    /// The same events, some of them bad.
    pub(crate) poisoned: Option<Log>,
    /// Three times as many.
    pub(crate) long: Option<Log>,
    /// For the import.
    pub(crate) import: Option<Import>,
    /// What could not be prepared, and why.
    pub(crate) skipped: Vec<String>,
}

impl Work {
    /// Makes the logs that the chosen parts need.
    ///
    /// # Errors
    /// When a file cannot be written, or a part that was asked for by name cannot be prepared.
    pub(crate) fn prepare(runtime: &Runtime, options: &Options, target: &Path) -> anyhow::Result<Self> {
        let folder = options.common.folder(target)?;
        let at = folder.path();
        let wanted = |part: Part| part.is_wanted(options);
        eprintln!("filling logs in {}", at.display());
        let empty = log(runtime, at, "empty.db", 0, false)?;
        let clean = log(runtime, at, "clean.db", options.events(), false)?;
        let poisoned = wanted(Part::Poison)
            .then(|| log(runtime, at, "poisoned.db", options.events(), true))
            .transpose()?;
        let long = wanted(Part::Memory)
            .then(|| log(runtime, at, "long.db", options.events() * 3, false))
            .transpose()?;
        let mut skipped = Vec::new();
        let mut import = None;
        if wanted(Part::Import) {
            match prepare_import(options, at) {
                Ok(prepared) => import = Some(prepared),
                Err(error) if options.only.contains(&Part::Import) => return Err(error),
                Err(error) => skipped.push(format!("import: {error:#}")),
            }
        }
        Ok(Self { folder, empty, clean, poisoned, long, import, skipped })
    }

    /// Where runs may put their files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn log(runtime: &Runtime, folder: &Path, name: &str, events: u32, poisoned: bool) -> anyhow::Result<Log> {
    let file = folder.join(name);
    let fill = async {
        let log = open_log(&file).await?;
        data::fill(&*log, events, poisoned).await
    };
    runtime.block_on(fill).with_context(|| format!("make {}", file.display()))?;
    settle(&file).with_context(|| format!("settle {}", file.display()))?;
    Ok(Log { file, events, poison: if poisoned { data::poison_in(events) } else { 0 } })
}

/// Moves everything into the file, so that a copy of it alone is the whole database.
fn settle(file: &Path) -> anyhow::Result<()> {
    let conn = rusqlite::Connection::open(file)?;
    let busy: bool = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    anyhow::ensure!(!busy, "somebody still uses the database");
    conn.close().map_err(|(_, error)| error)?;
    Ok(())
}

fn prepare_import(options: &Options, folder: &Path) -> anyhow::Result<Import> {
    let program = match &options.highwater {
        Some(program) => program.clone(),
        None => env::current_exe()?.with_file_name(format!("highwater{}", env::consts::EXE_SUFFIX)),
    };
    if !program.is_file() {
        bail!(
            "there is no {}: build it (`cargo xtask bench` does), or name it with --highwater",
            program.display()
        );
    }
    let program = program.canonicalize().with_context(|| format!("find {}", program.display()))?;
    let sample = sample(options.flights.as_deref())?;
    let file = folder.join("flights.ndjson.gz");
    repeat_sample(&sample, &file, options.events())?;
    Ok(Import { file, lines: options.events(), program })
}

fn sample(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights").join(SAMPLE);
    let data = env::var_os("HIGHWATER_TEST_DATA").map(|folder| Path::new(&folder).join(SAMPLE));
    [Some(examples), data].into_iter().flatten().find(|file| file.is_file()).with_context(|| {
        format!("{SAMPLE} is neither in examples/flights nor in HIGHWATER_TEST_DATA: name it with --flights")
    })
}
