//! Where the server's programs are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder that `cargo xtask` names.
const BIN: &str = "HIGHWATER_TEST_POSTGRES_BIN";
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "pg_ctl"];
/// Where Debian's packages put them, a folder a version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A folder with a server's programs.
#[derive(Debug, Clone)]
pub(crate) struct Binaries(PathBuf);

impl Binaries {
    /// The folder that is named, else the newest of Debian's, else the first on the path.
    pub(super) fn find() -> Option<Self> {
        let named = env::var_os(BIN).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let mut packages: Vec<(u32, PathBuf)> = fs::read_dir(DEBIAN)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        packages.sort_unstable();
        let packages = packages.into_iter().rev().map(|(_, folder)| folder);
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&path).filter_map(|folder| {
            // There may be links to some of them only.
            folder.join(PROGRAMS[0]).canonicalize().ok()?.parent().map(Path::to_path_buf)
        });
        named.into_iter().chain(packages).chain(on_path).find(|folder| is_complete(folder)).map(Self)
    }

    /// One of them, or another program of the same package.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The client program for benchmarks, which is in a package of its own on some systems.
    pub(super) fn pgbench(&self) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&path).map(|folder| folder.join("pgbench"));
        [self.program("pgbench")].into_iter().chain(on_path).find(|program| program.is_file())
    }
}

fn is_complete(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).is_file())
}
