//! `highwater init`: a starter config with a projection. It never overwrites.
//!
//! JSON: `{"written": [file]}`.

use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::args::Init;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Ui;

const FILES: [(&str, &str); 2] = [
    ("highwater.toml", include_str!("../starter/highwater.toml")),
    ("event_counts.sql", include_str!("../starter/event_counts.sql")),
];

#[derive(Serialize)]
struct Done {
    written: Vec<String>,
}

pub(super) fn run(args: &Init, ui: &Ui) -> Result<Exit, CliError> {
    let done = Done { written: write(&args.folder)? };
    ui.result(&done, |done| {
        let mut text: String = done.written.iter().map(|file| format!("wrote {file}\n")).collect();
        text.push_str(
            "next: `highwater append --stream order-1 --type OrderPlaced --data '{\"amount\": 12}'`, \
             then `highwater run --until-caught-up`",
        );
        text
    })?;
    Ok(Exit::Ok)
}

fn write(folder: &Path) -> Result<Vec<String>, CliError> {
    let failed = |path: &Path, error: &std::io::Error| {
        CliError::failed(format!("write {}", path.display())).because(error)
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let there: Vec<String> = FILES
        .iter()
        .map(|(name, _)| folder.join(name))
        .filter(|path| path.exists())
        .map(|path| path.display().to_string())
        .collect();
    if !there.is_empty() {
        let error = CliError::failed(format!("{} exists, and nothing is overwritten", there.join(", ")));
        return Err(error.hint("name another folder: `highwater init DIR`"));
    }
    let mut written = Vec::new();
    for (name, text) in FILES {
        let path = folder.join(name);
        // `create_new`: a file that appeared in between is not overwritten either.
        let mut file = std::fs::File::create_new(&path).map_err(|error| failed(&path, &error))?;
        file.write_all(text.as_bytes()).map_err(|error| failed(&path, &error))?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::{ConfigSource, load};

    #[test]
    fn the_starter_config_is_valid_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let file = folder.path().join("highwater.toml");
        let config = load(&ConfigSource { file: Some(file.clone()), ..ConfigSource::default() }).unwrap();
        assert_eq!(config.projections[0].spec.name.as_str(), "event_counts");
        std::fs::write(&file, "mine").unwrap();
        assert!(write(folder.path()).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    }
}
