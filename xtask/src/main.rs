//! The workspace's own chores, as `cargo xtask <chore>`.
//!
//! One Rust program instead of shell scripts, so that every chore runs wherever the product builds, and CI
//! runs what a contributor runs. It depends on no crate of the workspace: a broken product can still be
//! checked.

mod cargo;
mod ci;
mod deps;
mod features;
mod metadata;
mod services;
mod test;

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, Parser};

use crate::{cargo::ChildFailed, services::Options};

/// Chores of the Highwater workspace
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version = None)]
enum Chore {
    /// Check the direction of the dependencies between the crates
    Deps,
    /// Run the whole suite: with cargo-nextest where it is installed, else with cargo test
    Test {
        #[command(flatten)]
        servers: Servers,
        /// Arguments for the test runner, after `--`; with any, the documentation's examples are left out
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Run every check that CI runs, stopping at the first that fails; a backend that cannot be had is a failure
    Ci {
        #[command(flatten)]
        servers: Servers,
    },
    /// Find or start the servers that tests need, print the variables that name them, and wait for Ctrl-C
    Services {
        #[command(flatten)]
        servers: Servers,
    },
    /// Build and run the benchmark in the release profile
    Bench {
        /// Arguments for the benchmark program
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// How servers are had
#[derive(Args)]
struct Servers {
    /// Install no package, where a server is missing and we are root
    #[arg(long)]
    no_install: bool,
}

impl Servers {
    fn options(&self) -> Options {
        Options::tests(!self.no_install)
    }
}

fn main() -> ExitCode {
    match run(Chore::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn run(chore: Chore) -> anyhow::Result<()> {
    match chore {
        Chore::Deps => deps::check(),
        Chore::Test { servers, args } => {
            services::with(servers.options(), |services| test::run(services, &args))
        }
        Chore::Ci { servers } => ci::run(servers.options()),
        Chore::Services { servers } => services::run(servers.options()),
        Chore::Bench { args } => {
            // Its import measures the program itself, which it finds beside its own.
            cargo::run(&mut cargo::cargo(["build", "--release", "-p", "highwater", "--bin", "highwater"]))?;
            let options = Options { durable: true, ..Options::tests(false) };
            services::with(options, |services| {
                let mut bench = cargo::cargo(["run", "--release", "-p", "highwater-bench", "--"]);
                cargo::run(services.tell(bench.args(args)))
            })
        }
    }
}

/// A failed child's own exit code, so that a caller sees what it would have seen without us; else 1.
fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<ChildFailed>().map_or(1, ChildFailed::code)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use anyhow::{Context, anyhow};
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Chore::command().debug_assert();
    }

    #[test]
    fn arguments_are_passed_on_as_they_are() {
        let line = ["cargo xtask", "test", "--no-install", "--", "--no-capture", "e_19"];
        let Chore::Test { args, servers } = Chore::parse_from(line) else {
            panic!("not parsed as a test run");
        };
        assert_eq!(args, ["--no-capture", "e_19"]);
        assert!(servers.no_install && !servers.options().install);

        let Chore::Bench { args } = Chore::parse_from(["cargo xtask", "bench", "--events", "10"]) else {
            panic!("not parsed as a benchmark run");
        };
        assert_eq!(args, ["--events", "10"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_childs_exit_code_survives_added_context() {
        let error = cargo::run(Command::new("sh").args(["-c", "exit 7"])).context("step `docs` failed");
        assert_eq!(exit_code(&error.unwrap_err()), 7);
        assert_eq!(exit_code(&anyhow!("an error of our own")), 1);
    }
}
