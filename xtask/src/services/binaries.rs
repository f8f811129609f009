//! Where a server's programs are: the newest that is new enough.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use super::backend::Backend;

/// A folder with all of a server's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) folder: PathBuf,
    pub(super) version: u32,
}

/// The newest in the folders of `path` and where packages put them; `None` where none is new enough, which is said
/// if there is an older one.
pub(super) fn newest(backend: &dyn Backend, path: &OsStr, homes: &[&str]) -> Option<Binaries> {
    let folders: BTreeSet<PathBuf> = env::split_paths(path)
        .chain(homes.iter().flat_map(|home| matching(home)))
        .filter_map(|folder| resolved(backend, &folder))
        .collect();
    let mut found: Vec<Binaries> = Vec::new();
    for folder in folders {
        match in_folder(backend, &folder) {
            Ok(binaries) => found.push(binaries),
            Err(error) => eprintln!("services: {}: passed over: {error:#}", backend.name()),
        }
    }
    found.into_iter().max_by_key(|binaries| binaries.version)
}

/// The programs in `folder`.
///
/// # Errors
/// When one is missing, or they are too old.
pub(super) fn in_folder(backend: &dyn Backend, folder: &Path) -> anyhow::Result<Binaries> {
    for program in backend.programs() {
        if !folder.join(program).is_file() {
            bail!("{} has no `{program}`", folder.display());
        }
    }
    let first = folder.join(backend.programs()[0]);
    let version = version(&first)?;
    if version < backend.oldest() {
        bail!(
            "{} is version {version}, and {} is the oldest that is supported",
            first.display(),
            backend.oldest()
        );
    }
    Ok(Binaries { folder: folder.to_path_buf(), version })
}

/// The folder where the first program really is: on the path there may be links to some of them only, and one
/// server's folder should count once.
fn resolved(backend: &dyn Backend, folder: &Path) -> Option<PathBuf> {
    let program = folder.join(backend.programs()[0]).canonicalize().ok()?;
    program.parent().map(Path::to_path_buf)
}

/// The folders that a pattern stands for. One `*` in one part of it stands for anything; a folder that cannot be
/// read has nothing for us.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in Path::new(pattern) {
        let Some((before, behind)) = part.to_str().and_then(|part| part.split_once('*')) else {
            found.iter_mut().for_each(|folder| folder.push(part));
            continue;
        };
        let fits = |name: &OsStr| {
            let rest = name.to_str().and_then(|name| name.strip_prefix(before));
            rest.is_some_and(|rest| rest.ends_with(behind))
        };
        found = found
            .iter()
            .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
            .filter(|entry| fits(&entry.file_name()))
            .map(|entry| entry.path())
            .collect();
    }
    found
}

/// The major version that a program tells.
fn version(program: &Path) -> anyhow::Result<u32> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    first_number(&text).with_context(|| format!("{} --version printed {text:?}", program.display()))
}

/// The number in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" or "Redis server v=7.0.15 sha=00000000".
fn first_number(text: &str) -> Option<u32> {
    let digits = text.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::postgres::Postgres;
    use super::*;

    /// Programs that tell a version, in `folder`.
    fn programs(folder: &Path, version: &str) {
        fs::create_dir_all(folder).expect("a folder");
        for program in Postgres.programs() {
            let path = folder.join(program);
            fs::write(&path, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version} (Debian 1.2-3)'\n"))
                .expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
    }

    fn search(path: &Path, home: &Path) -> Option<Binaries> {
        newest(&Postgres, path.as_os_str(), &[home.join("*/bin").to_str().expect("UTF-8")])
    }

    #[test]
    fn the_newest_that_is_new_enough_is_taken() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (path, home) = (root.path().join("path"), root.path().join("home"));
        assert_eq!(search(&path, &home), None, "neither folder exists");
        programs(&home.join("9.6/bin"), "9.6.24");
        programs(&path, "14.2");
        assert_eq!(search(&path, &home), None, "both are too old");
        programs(&home.join("15/bin"), "15.18");
        programs(&home.join("17/bin"), "17beta1");
        programs(&home.join("18/bin"), "18.1");
        fs::remove_file(home.join("18/bin/initdb")).expect("it is there");
        let found = search(&path, &home).expect("two are new enough and whole");
        assert_eq!((found.version, found.folder.ends_with("17/bin")), (17, true), "{found:?}");
    }

    #[test]
    fn links_on_the_path_lead_to_the_whole_folder() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (path, home) = (root.path().join("path"), root.path().join("home"));
        programs(&home.join("16/lib"), "16.4");
        fs::create_dir(&path).expect("a folder");
        symlink(home.join("16/lib/postgres"), path.join("postgres")).expect("a link");
        let found = search(&path, &home).expect("the link leads there");
        assert!(found.folder.ends_with("home/16/lib"), "{found:?}");
    }

    #[test]
    fn a_folder_that_is_named_must_be_whole() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let error = in_folder(&Postgres, root.path()).unwrap_err().to_string();
        assert!(error.contains("has no `postgres`"), "{error}");
        programs(root.path(), "13.1");
        let error = in_folder(&Postgres, root.path()).unwrap_err().to_string();
        assert!(error.contains("version 13, and 15 is the oldest"), "{error}");
    }

    #[test]
    fn versions_are_read_as_servers_print_them() {
        assert_eq!(first_number("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(first_number("postgres (PostgreSQL) 18devel"), Some(18));
        assert_eq!(first_number("Redis server v=7.0.15 sha=00000000:0"), Some(7));
        assert_eq!(first_number("no number"), None);
    }
}
