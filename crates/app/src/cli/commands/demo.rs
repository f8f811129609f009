//! `highwater demo`: from nothing to four read models in one command.
//!
//! It writes a folder, imports a week of real flights, runs the projections of the folder's config until they
//! have caught up, and shows what is in the read models. A second time it goes on with what is there: the
//! events are not imported twice, and the projections have nothing left to do.
//!
//! JSON: `{"folder", "imported", "already_there", "import_seconds", "run": {as of `run`}, "read_model":
//! {"airports", "destinations", "in_the_air", "diversions", "streams", "events"}}`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;

use serde::Serialize;

use highwater::compose::{HandlerSpecs, RunOptions};

use crate::cli::args::Demo;
use crate::cli::config::{Config, ConfigSource, load};
use crate::cli::demo::{CONFIG, EVENTS, FILES, file};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::ndjson::{ImportOptions, Source};
use crate::cli::output::{Ui, count, duration, rate};
use crate::cli::session::{Access, Session};
use crate::cli::signals;

use super::demo_result::ReadModel;
use super::import::import_one;
use super::run::catch_up;
use super::run_report::{RunReport, exit_of};

const BATCH: NonZeroUsize = NonZeroUsize::new(1_000).expect("1,000 is not 0");

#[derive(Serialize)]
struct Done {
    folder: String,
    imported: u64,
    already_there: u64,
    import_seconds: f64,
    run: RunReport,
    read_model: ReadModel,
}

pub(super) async fn run(args: Demo, ui: &Ui) -> Result<Exit, CliError> {
    let folder = args.folder;
    prepare(&folder)?;
    let config = config(&folder)?;
    let stop = signals::listen()?;
    let session = Session::with(config, Access::Write).await?;

    let source = Source::from_bytes(EVENTS, file(EVENTS))
        .map_err(|error| CliError::failed("read the events of the demo").because(&error))?;
    let options = ImportOptions { batch: BATCH, skip_bad_lines: false };
    let (imported, import_took) = import_one(&*session.backends.append, source, options, &stop, ui).await?;

    let specs: Vec<_> = session.config.projections.iter().map(|projection| projection.spec.clone()).collect();
    let report = catch_up(&session, specs, HandlerSpecs::default(), RunOptions::default(), &stop, ui).await?;
    let exit = exit_of(&report, true);
    let run = RunReport::from(&report);
    if exit != Exit::Ok {
        ui.result(&run, RunReport::text)?;
        return Ok(exit);
    }

    let store = session.config.store.sqlite_file().unwrap_or_else(|| folder.join("flights.db"));
    let read_model = tokio::task::spawn_blocking(move || ReadModel::read(&store))
        .await
        .map_err(|error| CliError::failed("read the read models").because(&error))??;
    let applied: u64 = report.projections.iter().map(|projection| projection.applied).sum();
    let run_took = report.projections.iter().map(|projection| projection.took).max().unwrap_or_default();
    let done = Done {
        folder: folder.display().to_string(),
        imported: imported.appended,
        already_there: imported.already_there,
        import_seconds: import_took.as_secs_f64(),
        run,
        read_model,
    };
    ui.result(&done, |done| {
        let speed =
            |events, took| rate(events, took).map(|rate| format!(" ({}/s)", count(rate))).unwrap_or_default();
        let import = match (done.imported, done.already_there) {
            (0, there) => format!("{} events were there already", count(there)),
            (new, _) => {
                let speed = speed(new, import_took);
                format!("{} events imported in {}{speed}", count(new), duration(import_took))
            }
        };
        let run = match applied {
            0 => format!("{} projections had nothing left to do", report.projections.len()),
            _ => format!(
                "{} projections applied {} events, each exactly once, in {}{}",
                report.projections.len(),
                count(applied),
                duration(run_took),
                speed(applied, run_took)
            ),
        };
        format!("{import}\n{run}\n\n{}\n{}", done.read_model.text(), next_steps(&done.folder))
    })?;
    Ok(Exit::Ok)
}

/// The folder's own config, whatever the environment says: a demo must not write into somebody's database.
fn config(folder: &Path) -> Result<Config, CliError> {
    let source = ConfigSource { file: Some(folder.join(CONFIG)), ..ConfigSource::default() };
    Ok(load(&source)?)
}

/// Writes what is missing of the demo's files. A folder that has other things in it is left alone.
fn prepare(folder: &Path) -> Result<(), CliError> {
    let failed =
        |path: &Path, error: &io::Error| CliError::failed(format!("write {}", path.display())).because(error);
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let empty = fs::read_dir(folder).map_err(|error| failed(folder, &error))?.next().is_none();
    if !empty && !is_demo(folder) {
        let error = CliError::failed(format!("{} is not empty, and no earlier demo", folder.display()));
        return Err(error.hint("name another folder: `highwater demo DIR`"));
    }
    // The config comes first: it is what tells a demo's folder from others, should this be cut short.
    for file in FILES {
        let path = folder.join(file.name);
        match File::create_new(&path) {
            Ok(mut new) => new.write_all(file.bytes).map_err(|error| failed(&path, &error))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path, &error)),
        }
    }
    Ok(())
}

/// Whether an earlier demo wrote this folder: its config begins as ours does.
fn is_demo(folder: &Path) -> bool {
    let first_line = |text: &[u8]| text.split(|byte| *byte == b'\n').next().map(<[u8]>::to_vec);
    fs::read(folder.join(CONFIG)).is_ok_and(|text| first_line(&text) == first_line(file(CONFIG)))
}

fn next_steps(folder: &str) -> String {
    format!(
        "Next, in {folder} (the SQL is in {CONFIG}):\n\
         \x20 highwater status                      where each projection stands\n\
         \x20 highwater verify airport_delays       compute a read model anew and compare\n\
         \x20 highwater rebuild landings            empty one, to be filled again by the next run\n\
         \x20 highwater append --stream case-N1 --type FlightLanded --data '{{\"dest\":\"ATL\"}}'\n\
         \x20 highwater run                         apply events as they come, until Ctrl-C"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_else_is_left_alone_and_a_demo_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path()).unwrap();
        config(folder.path()).unwrap();
        let landings = folder.path().join("landings.sql");
        fs::write(&landings, "-- mine").unwrap();
        fs::remove_file(folder.path().join("aircraft.sql")).unwrap();
        prepare(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&landings).unwrap(), "-- mine");
        assert!(folder.path().join("aircraft.sql").exists());

        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("thesis.txt"), "text").unwrap();
        assert_eq!(prepare(other.path()).unwrap_err().exit(), Exit::Failed);
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    }
}
