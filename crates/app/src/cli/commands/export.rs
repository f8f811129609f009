//! `highwater export`: events as JSON lines.
//!
//! What is written ends at the log's end as it was at the start. A file is written beside its place and put
//! there when it is whole. JSON (where a file is written): `{"file", "events", "last"}`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use highwater_core::model::{Filter, Pattern, Position};
use highwater_core::ports::{EventLog, Limit};

use crate::cli::args::{Export, Global};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::ndjson::write_line;
use crate::cli::output::{Progress, Ui, count};
use crate::cli::session::{Access, Session};

/// How much is read at once.
const LIMIT: Limit = Limit { events: 2_000, bytes: 8 << 20 };

#[derive(Serialize)]
struct Exported {
    file: String,
    events: u64,
    last: Option<Position>,
}

pub(super) async fn run(global: &Global, args: Export, ui: &Ui) -> Result<Exit, CliError> {
    let session = Session::open_without_checkpoints(global, Access::Read).await?;
    let log = &*session.backends.log;
    let to_file = args.file.as_os_str() != "-";
    let gzip = args.gzip || args.file.extension().is_some_and(|extension| extension == "gz");
    if !to_file {
        write_all(log, &args, gzip, BufWriter::new(io::stdout()), ui).await?;
        return Ok(Exit::Ok);
    }
    let shown = args.file.display().to_string();
    if args.file.exists() && !args.force {
        let error = CliError::failed(format!("{shown} exists"));
        return Err(error.hint("name another file, or replace it with --force"));
    }
    let writing = |error: io::Error| CliError::failed(format!("write {shown}")).because(&error);
    let (partial, file) = Partial::create(&args.file).map_err(writing)?;
    let (file, events, last) = write_all(log, &args, gzip, BufWriter::new(file), ui).await?;
    let file = file.into_inner().map_err(|error| writing(error.into_error()))?;
    file.sync_all().map_err(writing)?;
    drop(file);
    partial.put(&args.file).map_err(writing)?;
    ui.result(&Exported { file: shown, events, last }, |done| {
        format!("{} events written to {}", count(done.events), done.file)
    })?;
    Ok(Exit::Ok)
}

/// Writes all events, and flushes.
async fn write_all<W: Write>(
    log: &dyn EventLog,
    args: &Export,
    gzip: bool,
    out: W,
    ui: &Ui,
) -> Result<(W, u64, Option<Position>), CliError> {
    if gzip {
        // Without a time in its header, so that equal events give equal files.
        let encoder = GzEncoder::new(out, Compression::default());
        let (encoder, events, last) = write_events(log, args, encoder, ui).await?;
        let mut out = encoder.finish()?;
        out.flush()?;
        return Ok((out, events, last));
    }
    let (mut out, events, last) = write_events(log, args, out, ui).await?;
    out.flush()?;
    Ok((out, events, last))
}

async fn write_events<W: Write>(
    log: &dyn EventLog,
    args: &Export,
    mut out: W,
    ui: &Ui,
) -> Result<(W, u64, Option<Position>), CliError> {
    let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::parse(text)).collect();
    let filter = Filter { types: patterns(&args.types), streams: patterns(&args.streams), ..Filter::all() };
    let limit = args.limit.unwrap_or(u64::MAX);
    let (mut events, mut last) = (0, None);
    let Some(head) = log.head().await? else { return Ok((out, events, last)) };
    let total = log.count_between(args.after, Some(head), &filter).await?;
    let mut progress = Progress::events(ui, "export", total.map(|total| total.min(limit)));
    let mut reader = log.open(args.after, &filter).await?;
    let mut lines = Vec::new();
    while events < limit {
        let batch = reader.next(LIMIT).await?;
        lines.clear();
        for event in &batch.events {
            if event.position() > head || events == limit {
                break;
            }
            write_line(&mut lines, event);
            events += 1;
            last = Some(event.position());
        }
        out.write_all(&lines)?;
        progress.set(events);
        progress.log(events);
        if batch.caught_up || batch.scanned.is_some_and(|scanned| scanned >= head) {
            break;
        }
    }
    progress.finish();
    Ok((out, events, last))
}

/// A file beside its place, removed unless it is put there.
struct Partial(Option<PathBuf>);

impl Partial {
    fn create(place: &Path) -> io::Result<(Self, File)> {
        let mut name = place.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let file = File::create(&path)?;
        Ok((Self(Some(path)), file))
    }

    fn put(mut self, place: &Path) -> io::Result<()> {
        self.0.take().map_or(Ok(()), |path| std::fs::rename(path, place))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(file = %path.display(), %error, "cannot remove an unfinished file");
        }
    }
}
