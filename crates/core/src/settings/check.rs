//! Checks settings one after the other and keeps everything that is wrong with them.

use std::fmt::Display;
use std::time::Duration;

use crate::settings::Violation;

/// Collects violations.
#[derive(Default)]
pub(super) struct Check(Vec<Violation>);

impl Check {
    pub(super) fn require(&mut self, setting: &'static str, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Violation { setting, problem: problem() });
        }
    }

    pub(super) fn not_zero<N: Copy + Default + PartialEq>(&mut self, setting: &'static str, value: N) {
        self.require(setting, value != N::default(), || "is 0: it must be at least 1".to_owned());
    }

    pub(super) fn some_time(&mut self, setting: &'static str, value: Duration) {
        self.require(setting, !value.is_zero(), || "is 0: it must be longer".to_owned());
    }

    pub(super) fn at_least<N: Copy + Display + Ord>(
        &mut self,
        setting: &'static str,
        value: N,
        other: &str,
        least: N,
    ) {
        self.require(setting, value >= least, || {
            format!("is {value}: it must be at least `{other}`, which is {least}")
        });
    }

    pub(super) fn at_most<N: Copy + Display + Ord>(
        &mut self,
        setting: &'static str,
        value: N,
        other: &str,
        most: N,
    ) {
        self.require(setting, value <= most, || {
            format!("is {value}: it must be at most `{other}`, which is {most}")
        });
    }

    pub(super) fn no_longer(
        &mut self,
        setting: &'static str,
        value: Duration,
        other: &str,
        longest: Duration,
    ) {
        self.require(setting, value <= longest, || {
            format!("is {value:?}: it must not be longer than `{other}`, which is {longest:?}")
        });
    }

    pub(super) fn end(self) -> Result<(), Vec<Violation>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
