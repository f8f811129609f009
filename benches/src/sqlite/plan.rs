//! Who takes part, who is compared with whom, and what is asked of the comparison.

use clap::ValueEnum;
use highwater::OnFailure;
use serde::Serialize;

use crate::sqlite::Options;
use crate::sqlite::contestants::Way;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Set-based `apply` and the plain INSERT … SELECT
    Apply,
    /// `on.<Type>` and a statement an event
    On,
    /// A projection in Rust and a statement an event
    Rust,
    /// Both and the same statements awaited one by one through sqlx
    Sqlx,
    /// One bad event in a thousand
    Poison,
    /// `highwater import` and a plain loop
    Import,
    /// The most memory that a catch-up holds
    Memory,
}

impl Part {
    /// Whether it was asked for.
    pub(crate) fn is_wanted(self, options: &Options) -> bool {
        options.only.is_empty() || options.only.contains(&self)
    }
}

/// Two contestants and a goal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comparison {
    pub(crate) part: Part,
    pub(crate) contestant: &'static str,
    pub(crate) baseline: &'static str,
    /// At least so many times as fast; `None` = it is only reported.
    pub(crate) goal: Option<f64>,
}

pub(crate) const APPLY: &str = "apply";
pub(crate) const APPLY_LOOP: &str = "loop: insert-select a batch";
pub(crate) const ON: &str = "on";
pub(crate) const RUST: &str = "rust";
pub(crate) const LOOP: &str = "loop: statement an event";
pub(crate) const SAVEPOINT_LOOP: &str = "loop: savepoint an event";
pub(crate) const TRANSACTION_LOOP: &str = "loop: transaction an event";
pub(crate) const SQLX_LOOP: &str = "loop: sqlx, awaited";
pub(crate) const IMPORT: &str = "import";
pub(crate) const IMPORT_LOOP: &str = "loop: parse and insert";
/// What a run costs before its first and behind its last event: part of every rate of the product.
pub(crate) const IDLE: &str = "start and stop, empty log";

#[rustfmt::skip]
const COMPARISONS: [Comparison; 14] = [
    compare(Part::Apply, APPLY, APPLY_LOOP, Some(0.85)),
    compare(Part::On, ON, LOOP, Some(0.80)),
    compare(Part::On, ON, SAVEPOINT_LOOP, None),
    compare(Part::On, ON, TRANSACTION_LOOP, None),
    compare(Part::Rust, RUST, LOOP, Some(0.80)),
    compare(Part::Sqlx, ON, SQLX_LOOP, Some(25.0)),
    compare(Part::Sqlx, RUST, SQLX_LOOP, Some(25.0)),
    compare(Part::Poison, POISONED[0].name, ON, Some(0.85)),
    compare(Part::Poison, POISONED[1].name, RUST, Some(0.85)),
    compare(Part::Poison, POISONED[2].name, APPLY, Some(0.35)),
    compare(Part::Poison, POISONED[3].name, ON, None),
    compare(Part::Poison, POISONED[4].name, RUST, None),
    compare(Part::Poison, POISONED[5].name, APPLY, None),
    compare(Part::Import, IMPORT, IMPORT_LOOP, Some(0.70)),
];

/// A contestant on the poisoned log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Poisoned {
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    pub(crate) on_failure: OnFailure,
}

/// First under the default policy, of which the goals speak; then under the one that keeps no payload.
#[rustfmt::skip]
pub(crate) const POISONED: [Poisoned; 6] = [
    Poisoned { name: "on, 0.1 % bad", way: Way::On, on_failure: OnFailure::RetryInOrder },
    Poisoned { name: "rust, 0.1 % bad", way: Way::Rust, on_failure: OnFailure::RetryInOrder },
    Poisoned { name: "apply, 0.1 % bad", way: Way::Apply, on_failure: OnFailure::RetryInOrder },
    Poisoned { name: "on, 0.1 % bad, record", way: Way::On, on_failure: OnFailure::RecordAndContinue },
    Poisoned { name: "rust, 0.1 % bad, record", way: Way::Rust, on_failure: OnFailure::RecordAndContinue },
    Poisoned { name: "apply, 0.1 % bad, record", way: Way::Apply, on_failure: OnFailure::RecordAndContinue },
];

const fn compare(
    part: Part,
    contestant: &'static str,
    baseline: &'static str,
    goal: Option<f64>,
) -> Comparison {
    Comparison { part, contestant, baseline, goal }
}

/// The comparisons of the parts that were asked for.
pub(crate) fn wanted(options: &Options) -> Vec<Comparison> {
    COMPARISONS.into_iter().filter(|comparison| comparison.part.is_wanted(options)).collect()
}
