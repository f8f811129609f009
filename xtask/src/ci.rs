//! `cargo xtask ci`: every check that a change must pass, cheapest first, the suite last. The servers come before
//! them all, so that a missing one is told at once.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::{
    cargo, deps, features,
    services::{self, Options},
    test,
};

type Step<'a> = (&'a str, &'a dyn Fn() -> anyhow::Result<()>);

/// Runs every step; every backend is required.
///
/// # Errors
/// The first step that fails, by name, and a backend that cannot be had.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    services::with(Options { required: true, ..options }, |services| {
        run_steps(&[
            ("fmt", &fmt),
            ("clippy", &clippy),
            ("deps", &deps::check),
            ("docs", &docs),
            ("features", &features::check),
            ("test", &|| test::run(services, &[])),
        ])
    })
}

fn fmt() -> anyhow::Result<()> {
    cargo::run(&mut cargo::cargo(["fmt", "--all", "--", "--check"]))
}

fn clippy() -> anyhow::Result<()> {
    let args = ["clippy", "--workspace", "--all-features", "--all-targets", "--", "-D", "warnings"];
    cargo::run(&mut cargo::cargo(args))
}

fn docs() -> anyhow::Result<()> {
    let args = ["doc", "--workspace", "--all-features", "--no-deps"];
    cargo::run(cargo::cargo(args).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Runs `steps` in order, announces each and its duration, and stops at the first that fails.
fn run_steps(steps: &[Step<'_>]) -> anyhow::Result<()> {
    for (name, step) in steps {
        eprintln!("==> {name}");
        let (result, took) = timed(step);
        result.with_context(|| format!("step `{name}` failed after {took:.1?}"))?;
        eprintln!("<== {name}: ok in {took:.1?}");
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch for people; the product's clock is a port")]
fn timed<T>(job: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = job();
    (result, start.elapsed())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use anyhow::bail;

    use super::*;

    #[test]
    fn the_first_failure_stops_the_run_and_is_named() {
        let ran = RefCell::new(Vec::new());
        let pass = |name| ran.borrow_mut().push(name);
        let error = run_steps(&[
            ("first", &|| {
                pass("first");
                Ok(())
            }),
            ("second", &|| bail!("the reason")),
            ("third", &|| {
                pass("third");
                Ok(())
            }),
        ])
        .unwrap_err();
        assert_eq!(*ran.borrow(), ["first"]);
        let shown = format!("{error:#}");
        assert!(shown.contains("step `second` failed") && shown.ends_with("the reason"), "{shown}");
    }

    #[test]
    fn all_steps_run_when_none_fails() {
        let count = RefCell::new(0);
        let step = || {
            *count.borrow_mut() += 1;
            Ok(())
        };
        run_steps(&[("one", &step), ("two", &step)]).expect("no step fails");
        assert_eq!(*count.borrow(), 2);
    }
}
