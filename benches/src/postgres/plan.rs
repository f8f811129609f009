//! Who takes part, who is compared with whom, and what is asked of the comparison.

use clap::ValueEnum;
use serde::Serialize;

use crate::postgres::Options;
use crate::postgres::logs::Shape;
use crate::postgres::server::Route;
use crate::report::Goal;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Catching up: all ways of the product and all loops, by shape, route and batch
    Rates,
    /// A rebuild of the whole log
    Rebuild,
    /// One bad event in so many
    Poison,
    /// Reading the log with gap safety and without
    Gap,
    /// How long appends take while projections run
    Appends,
    /// From an append to the read model, with notifications and with polling
    Live,
    /// What it costs when nothing happens
    Idle,
}

impl Part {
    /// Whether it was asked for.
    pub(crate) fn is_wanted(self, options: &Options) -> bool {
        options.only.is_empty() || options.only.contains(&self)
    }
}

/// What is the same for all contestants that are interleaved.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Setting {
    pub(crate) shape: Shape,
    pub(crate) route: Route,
    pub(crate) batch: u32,
}

/// Two contestants and a goal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comparison {
    pub(crate) contestant: &'static str,
    pub(crate) baseline: &'static str,
    /// `None` = it is only reported.
    pub(crate) goal: Option<Goal>,
}

pub(crate) const IDLE: &str = "start and stop, nothing to do";
pub(crate) const APPLY: &str = "apply";
pub(crate) const APPLY_ELSEWHERE: &str = "apply, log elsewhere";
pub(crate) const ON: &str = "on";
pub(crate) const RUST: &str = "rust apply";
pub(crate) const RUST_BATCH: &str = "rust apply_batch";
pub(crate) const LIMIT: &str = "limit: insert-select a batch";
pub(crate) const PGBENCH: &str = "limit, by pgbench";
pub(crate) const UNNEST: &str = "loop: unnest a batch";
pub(crate) const FOLDED: &str = "loop: fold, unnest a batch";
pub(crate) const STATEMENT: &str = "loop: statement an event";
/// Z.
pub(crate) const SAVEPOINT: &str = "loop: savepoint an event";
pub(crate) const TRANSACTION: &str = "loop: transaction an event";
pub(crate) const REBUILD: &str = "rebuild";
pub(crate) const WHOLE: &str = "insert-select over the whole log";
pub(crate) const APPLY_CLEAN: &str = "apply, none bad";
pub(crate) const APPLY_POISONED: &str = "apply, some bad";
pub(crate) const APPLY_POISONED_RECORD: &str = "apply, some bad, record";
pub(crate) const ON_POISONED: &str = "on, some bad";
pub(crate) const RUST_BATCH_POISONED: &str = "rust apply_batch, some bad";

/// The batch that goals speak of, and at which the loops whose rate does not depend on it are run.
pub(crate) const MAIN_BATCH: u32 = 2_000;
const LARGE_BATCH: u32 = 10_000;
/// One bad event in so many.
pub(crate) const POISON_EVERY: [u32; 3] = [100, 1_000, 10_000];

/// The comparisons in a setting, in the order in which contestants first run.
pub(crate) fn comparisons(setting: Setting) -> Vec<Comparison> {
    let Setting { shape, route, batch } = setting;
    let local = route == Route::Local;
    let near_limit = match batch {
        MAIN_BATCH if local => Some(0.90),
        LARGE_BATCH if local => Some(0.85),
        _ => None,
    };
    let near_unnest = (local && batch == MAIN_BATCH).then_some(0.90);
    let mut wanted = vec![
        compare(APPLY, LIMIT, near_limit.map(Goal::AtLeast)),
        compare(APPLY_ELSEWHERE, UNNEST, near_unnest.map(Goal::AtLeast)),
        compare(RUST_BATCH, UNNEST, near_unnest.map(Goal::AtLeast)),
        compare(APPLY_ELSEWHERE, LIMIT, None),
        compare(RUST_BATCH, FOLDED, None),
        compare(ON, LIMIT, None),
    ];
    if local {
        wanted.push(compare(PGBENCH, LIMIT, Some(Goal::Within(0.9, 1.1))));
    }
    if batch == MAIN_BATCH {
        let over_savepoints = match (shape, route) {
            (_, Route::Proxy) => 100.0,
            (Shape::Locality, Route::Local) => 60.0,
            (Shape::Uniform, Route::Local) => 25.0,
        };
        wanted.extend([
            compare(RUST, STATEMENT, Some(Goal::AtLeast(0.90))),
            compare(APPLY, SAVEPOINT, Some(Goal::AtLeast(over_savepoints))),
            compare(ON, SAVEPOINT, Some(Goal::AtLeast(10.0))),
            compare(APPLY_ELSEWHERE, SAVEPOINT, None),
            compare(RUST_BATCH, SAVEPOINT, None),
            compare(RUST, SAVEPOINT, None),
            compare(APPLY, TRANSACTION, None),
        ]);
    }
    wanted
}

/// The comparisons where one event in `every` is bad.
pub(crate) fn poisoned(every: u32) -> Vec<Comparison> {
    let goal = match every {
        100 => Some(Goal::AtLeast(3.0)),
        1_000 => Some(Goal::AtLeast(8.0)),
        _ => None,
    };
    vec![
        compare(APPLY_POISONED, SAVEPOINT, goal),
        compare(APPLY_POISONED_RECORD, SAVEPOINT, None),
        compare(ON_POISONED, SAVEPOINT, None),
        compare(RUST_BATCH_POISONED, SAVEPOINT, None),
        compare(APPLY_POISONED, APPLY_CLEAN, None),
    ]
}

/// The one comparison of a rebuild.
pub(crate) fn rebuilt() -> Comparison {
    compare(REBUILD, WHOLE, Some(Goal::AtLeast(0.75)))
}

/// Every contestant that the comparisons need, once.
pub(crate) fn names(comparisons: &[Comparison]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for name in comparisons.iter().flat_map(|comparison| [comparison.contestant, comparison.baseline]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn compare(contestant: &'static str, baseline: &'static str, goal: Option<Goal>) -> Comparison {
    Comparison { contestant, baseline, goal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_loops_run_at_one_batch_size_and_pgbench_without_the_proxy() {
        let of = |route, batch| names(&comparisons(Setting { shape: Shape::Uniform, route, batch }));
        assert!(of(Route::Local, MAIN_BATCH).contains(&SAVEPOINT));
        assert!(!of(Route::Local, LARGE_BATCH).contains(&SAVEPOINT));
        assert!(of(Route::Local, LARGE_BATCH).contains(&PGBENCH));
        assert!(!of(Route::Proxy, MAIN_BATCH).contains(&PGBENCH));
    }
}
