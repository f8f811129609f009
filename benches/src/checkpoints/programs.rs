//! Where the server's programs are.

use std::env;
use std::path::PathBuf;

/// The folder that `cargo xtask` names.
const BIN: &str = "HIGHWATER_TEST_REDIS_BIN";
/// Where Homebrew puts them, which does not put all versions on the path.
const HOMES: [&str; 2] = ["/opt/homebrew/opt/redis/bin", "/usr/local/opt/redis/bin"];

/// The programs that were found.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(super) server: Option<PathBuf>,
    pub(super) cli: Option<PathBuf>,
    /// In a package of its own on some systems.
    pub(super) benchmark: Option<PathBuf>,
}

impl Programs {
    /// Those in the folder that is named, else on the path.
    pub(super) fn find() -> Self {
        let named = env::var_os(BIN).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let path = env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> =
            named.into_iter().chain(env::split_paths(&path)).chain(HOMES.map(PathBuf::from)).collect();
        let program =
            |name: &str| folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file());
        Self {
            server: program("redis-server"),
            cli: program("redis-cli"),
            benchmark: program("redis-benchmark"),
        }
    }
}
