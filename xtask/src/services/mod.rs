//! The servers that tests and the benchmark need: found, or started and stopped again.
//!
//! A suite that needs a server which somebody has to set up is a suite that nobody runs. So what a machine has is
//! used, in this order:
//!
//! 1. a server that a variable names, such as `HIGHWATER_TEST_POSTGRES_URL`;
//! 2. server binaries in the folder that a variable names, such as `HIGHWATER_TEST_POSTGRES_BIN`;
//! 3. a Docker engine;
//! 4. server binaries on the path, or where packages put them;
//! 5. as root on a system with apt: the package, which is installed, unless `--no-install` forbids it.
//!
//! A backend that cannot be had is skipped, said at the start and again at the end, or fails the run when
//! `REQUIRE_BACKENDS=1`. One server serves all test processes: each test has a schema or key prefix of its own.
//!
//! [`Backend`] is what is particular to one kind of server; another kind is one more implementation, in
//! [`BACKENDS`]. [`obtain()`] follows the order above, and [`Guarded`] sees to it that no server outlives us.

mod account;
mod backend;
mod binaries;
mod docker;
mod guarded;
mod install;
mod local;
mod obtain;
mod port;
mod postgres;
mod redis;

use std::{env, ffi::OsString, path::PathBuf, process::Command, thread, time::Duration};

use anyhow::bail;

use backend::Backend;
use guarded::Guarded;
use obtain::{Obtained, obtain};

/// Every kind of server that is wanted.
const BACKENDS: [&dyn Backend; 2] = [&postgres::Postgres, &redis::Redis];
/// Tells us and every test that a missing backend is a failure.
const REQUIRE: &str = "REQUIRE_BACKENDS";

/// How servers are had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Whether packages may be installed.
    pub(crate) install: bool,
    /// Whether a backend that cannot be had is an error.
    pub(crate) required: bool,
    /// Whether a server that we start has to survive a power cut: for figures that mean something. Tests do not
    /// need it, and run several times as fast without.
    pub(crate) durable: bool,
}

impl Options {
    /// For tests; backends are required where the environment says so.
    pub(crate) fn tests(install: bool) -> Self {
        Self { install, required: env::var_os(REQUIRE).is_some_and(|value| value == "1"), durable: false }
    }
}

/// The servers of one run. Dropping it stops those that it has started.
pub(crate) struct Services {
    required: bool,
    variables: Vec<(&'static str, OsString)>,
    started: Vec<Guarded>,
    skipped: Vec<String>,
}

/// Runs `job` with the servers, and says at the end as well what it had to do without.
///
/// # Errors
/// The job's own, and a required backend that cannot be had.
pub(crate) fn with<T>(
    options: Options,
    job: impl FnOnce(&Services) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    hold(options, |services| {
        let result = job(services);
        for reason in &services.skipped {
            eprintln!("services: skipped: {reason}");
        }
        result
    })
}

/// Runs `job` with the servers, and stops those that were started; after a failure their logs are kept, and named.
fn hold<T>(options: Options, job: impl FnOnce(&Services) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut services = Services::start(options)?;
    let result = job(&services);
    if result.is_err() {
        services.started.iter_mut().for_each(Guarded::keep_log);
    }
    result
}

/// `cargo xtask services`: the servers alone, until somebody presses Ctrl-C.
///
/// # Errors
/// A required backend that cannot be had; a server that ends by itself.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    hold(options, |services| {
        for (name, value) in &services.variables {
            println!("export {name}={}", quoted(&value.to_string_lossy()));
        }
        if services.started.is_empty() {
            eprintln!("services: none was started");
            return Ok(());
        }
        eprintln!("services: running until Ctrl-C");
        services.wait()
    })
}

impl Services {
    fn start(options: Options) -> anyhow::Result<Self> {
        let mut services = Self {
            required: options.required,
            variables: Vec::new(),
            started: Vec::new(),
            skipped: Vec::new(),
        };
        for backend in BACKENDS {
            services.add(backend, obtain(backend, options, &obtain::Machine::here()?)?)?;
        }
        Ok(services)
    }

    fn add(&mut self, backend: &dyn Backend, obtained: Obtained) -> anyhow::Result<()> {
        let name = backend.name();
        let bin: Option<PathBuf> = match obtained {
            Obtained::Given { bin } => {
                eprintln!("services: {name}: the server that {} names", backend.url_variable());
                bin
            }
            Obtained::Started { server, port, bin } => {
                let url = backend.url(port);
                eprintln!("services: {name}: {url} ({})", server.about());
                self.variables.push((backend.url_variable(), url.into()));
                self.started.push(server);
                bin
            }
            Obtained::Missing { reason } if self.required => {
                bail!("{name} is required ({REQUIRE}=1) and cannot be had: {reason}")
            }
            Obtained::Missing { reason } => {
                let reason = format!("the tests that need {name}: {reason}");
                eprintln!("services: skipped: {reason}");
                self.skipped.push(reason);
                return Ok(());
            }
        };
        match bin {
            Some(bin) => self.variables.push((backend.bin_variable(), bin.into())),
            None => eprintln!(
                "services: {name}: no server binaries here, which tests need that crash a server of their own; {}",
                backend.hint()
            ),
        }
        Ok(())
    }

    /// Tells `command` where the servers are. An empty variable counts as none, here as in tests.
    pub(crate) fn tell<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        for backend in BACKENDS {
            for name in [backend.url_variable(), backend.bin_variable()] {
                if env::var_os(name).is_some_and(|value| value.is_empty()) {
                    command.env_remove(name);
                }
            }
        }
        if self.required {
            command.env(REQUIRE, "1");
        } else {
            command.env_remove(REQUIRE);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)))
    }

    /// Waits for the end of a server, which is not expected: Ctrl-C ends us before.
    fn wait(&self) -> anyhow::Result<()> {
        loop {
            for server in &self.started {
                if let Some(status) = server.ended()? {
                    bail!("{} ended by itself ({status}):\n{}", server.about(), server.end_of_log());
                }
            }
            thread::sleep(Duration::from_millis(500));
        }
    }
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(required: bool) -> Services {
        Services { required, variables: Vec::new(), started: Vec::new(), skipped: Vec::new() }
    }

    #[test]
    fn a_missing_backend_fails_a_run_that_requires_it_and_no_other() {
        let missing = || Obtained::Missing { reason: "the reason".to_owned() };
        let error = services(true).add(&postgres::Postgres, missing()).unwrap_err().to_string();
        assert!(error.contains("PostgreSQL is required") && error.ends_with("the reason"), "{error}");

        let mut skipping = services(false);
        skipping.add(&postgres::Postgres, missing()).expect("skipped");
        assert!(skipping.skipped[0].contains("PostgreSQL: the reason"), "{:?}", skipping.skipped);
    }

    #[test]
    fn tests_are_told_all_that_is_known_and_nothing_else() {
        let mut known = services(true);
        let bin = Some(PathBuf::from("/pg/bin"));
        known.add(&postgres::Postgres, Obtained::Given { bin }).expect("a server is there");
        let mut command = Command::new("any");
        known.tell(&mut command);
        let told: Vec<_> = command.get_envs().filter_map(|(name, value)| Some((name, value?))).collect();
        assert_eq!(
            told,
            [("HIGHWATER_TEST_POSTGRES_BIN".as_ref(), "/pg/bin".as_ref()), (REQUIRE.as_ref(), "1".as_ref())]
        );
    }

    #[test]
    fn a_quote_does_not_end_the_word() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
