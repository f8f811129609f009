//! The order in which a server is looked for.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::anyhow;

use super::{
    Options, account,
    backend::Backend,
    binaries::{self, Binaries},
    docker,
    guarded::Guarded,
    install, local,
};

/// A server, or why there is none.
pub(super) enum Obtained {
    /// A variable names it. `bin`: server programs for tests that start one of their own.
    Given { bin: Option<PathBuf> },
    /// We have started it on this port of this machine.
    Started { server: Guarded, port: u16, bin: Option<PathBuf> },
    /// It cannot be had.
    Missing { reason: String },
}

/// What of this machine decides.
pub(super) struct Machine {
    variable: fn(&str) -> Option<OsString>,
    path: OsString,
    /// Whether to look where packages put programs, besides the path.
    homes: bool,
    docker: fn() -> bool,
    root: bool,
}

impl Machine {
    /// The one we run on.
    ///
    /// # Errors
    /// When it cannot be told who we are.
    pub(super) fn here() -> anyhow::Result<Self> {
        Ok(Self {
            variable: |name| env::var_os(name),
            path: env::var_os("PATH").unwrap_or_default(),
            homes: true,
            docker: docker::is_there,
            root: account::is_root()?,
        })
    }

    /// A variable that is set to something.
    fn variable(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn newest(&self, backend: &dyn Backend) -> Option<Binaries> {
        binaries::newest(backend, &self.path, if self.homes { backend.homes() } else { &[] })
    }
}

/// Finds a server or starts one.
///
/// # Errors
/// A folder that is named and has no server's programs. Whatever else goes wrong is a reason why there is no server.
pub(super) fn obtain(backend: &dyn Backend, options: Options, machine: &Machine) -> anyhow::Result<Obtained> {
    let named = match machine.variable(backend.bin_variable()) {
        Some(folder) => Some(binaries::in_folder(backend, Path::new(&folder))?),
        None => None,
    };
    if machine.variable(backend.url_variable()).is_some() {
        return Ok(Obtained::Given { bin: folder(named.or_else(|| machine.newest(backend))) });
    }
    if named.is_none() && (machine.docker)() {
        match docker::start(backend, options.durable) {
            Ok((server, port)) => {
                return Ok(Obtained::Started { server, port, bin: folder(machine.newest(backend)) });
            }
            Err(error) => eprintln!("services: {}: not from Docker: {error:#}", backend.name()),
        }
    }
    let binaries = match named.or_else(|| machine.newest(backend)) {
        Some(binaries) => Ok(binaries),
        None => installed(backend, options, machine),
    };
    let started = binaries.and_then(|binaries| {
        let (server, port) = local::start(backend, &binaries, machine.root, options.durable)?;
        Ok(Obtained::Started { server, port, bin: Some(binaries.folder) })
    });
    Ok(started.unwrap_or_else(|error| Obtained::Missing { reason: format!("{error:#}") }))
}

fn folder(binaries: Option<Binaries>) -> Option<PathBuf> {
    binaries.map(|binaries| binaries.folder)
}

/// The programs of a package that is installed now.
///
/// # Errors
/// Why it is not, and what to do.
fn installed(backend: &dyn Backend, options: Options, machine: &Machine) -> anyhow::Result<Binaries> {
    let missing = |why: &str| {
        let otherwise = format!("start a Docker engine, or name a server in {}", backend.url_variable());
        anyhow!("no Docker engine, no server binaries{why}: {}, {otherwise}", backend.hint())
    };
    if !machine.root || !install::has_apt(&machine.path) {
        return Err(missing(""));
    }
    if !options.install {
        return Err(missing(", and installing was not allowed"));
    }
    install::install(backend)?;
    let package = backend.package();
    machine
        .newest(backend)
        .ok_or_else(|| missing(&format!(" that are new enough in the package `{package}`")))
}

#[cfg(test)]
mod tests {
    use super::super::postgres::Postgres;
    use super::*;

    const OPTIONS: Options = Options { install: false, required: false, durable: false };

    /// A machine with nothing on it.
    fn bare() -> Machine {
        Machine { variable: |_| None, path: OsString::new(), homes: false, docker: || false, root: false }
    }

    fn reason(options: Options, machine: &Machine) -> String {
        match obtain(&Postgres, options, machine).expect("nothing fails") {
            Obtained::Missing { reason } => reason,
            Obtained::Given { .. } | Obtained::Started { .. } => panic!("there is nothing to be had"),
        }
    }

    #[test]
    fn a_server_that_is_named_comes_first() {
        let machine = Machine {
            variable: |name| (name == "HIGHWATER_TEST_POSTGRES_URL").then(|| "postgres://there".into()),
            docker: || panic!("nobody asks for an engine"),
            ..bare()
        };
        let obtained = obtain(&Postgres, OPTIONS, &machine).expect("it is named");
        assert!(matches!(obtained, Obtained::Given { bin: None }));
    }

    #[test]
    fn where_there_is_nothing_it_says_what_to_do() {
        let said = reason(OPTIONS, &bare());
        for what in ["apt-get install postgresql", "Docker", "HIGHWATER_TEST_POSTGRES_URL"] {
            assert!(said.contains(what), "{said}");
        }
        let empty = Machine { variable: |_| Some(OsString::new()), ..bare() };
        assert_eq!(reason(OPTIONS, &empty), said, "an empty variable names nothing");
    }

    #[test]
    fn nothing_is_installed_when_that_is_forbidden() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("apt-get"), "").expect("a file");
        let machine = Machine { root: true, path: folder.path().into(), ..bare() };
        let said = reason(OPTIONS, &machine);
        assert!(said.contains("installing was not allowed"), "{said}");
    }

    #[test]
    fn a_folder_that_is_named_and_empty_is_an_error() {
        let machine = Machine {
            variable: |name| (name == "HIGHWATER_TEST_POSTGRES_BIN").then(|| "/nowhere".into()),
            docker: || panic!("nobody asks for an engine"),
            ..bare()
        };
        let error = obtain(&Postgres, OPTIONS, &machine).err().expect("there is nothing").to_string();
        assert!(error.contains("/nowhere"), "{error}");
    }
}
