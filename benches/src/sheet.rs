//! What came out of a benchmark that is rates, ratios and single figures.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use comfy_table::Table;
use serde::Serialize;

use crate::figure::{self, Figure};
use crate::measure::{Measured, Spread};
use crate::report::{Compared, Entry, Goal, ratios, row, table};

/// What came out, under which conditions.
#[derive(Debug, Serialize)]
pub(crate) struct Sheet<C> {
    conditions: C,
    machine: Machine,
    contestants: Vec<Line>,
    comparisons: Vec<Compared>,
    figures: Vec<Figure>,
    skipped: Vec<String>,
}

/// What it ran on.
#[derive(Debug, Serialize)]
struct Machine {
    optimised: bool,
    processors: usize,
    system: &'static str,
    machine: &'static str,
}

/// A contestant, its times, and how long its slowest calls took.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    entry: Entry,
    p99_us: Option<Spread>,
}

/// Two contestants and a goal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comparison {
    pub(crate) contestant: &'static str,
    pub(crate) baseline: &'static str,
    /// How many times as fast; `None` = it is only reported.
    pub(crate) goal: Option<Goal>,
}

/// What contestants tell beside their times: the 99th percentile of their calls, one a round.
#[derive(Debug, Default)]
pub(crate) struct Tails(RefCell<BTreeMap<&'static str, Vec<f64>>>);

impl Tails {
    /// Notes it for a run.
    pub(crate) fn note(&self, name: &'static str, p99: Duration) {
        self.0.borrow_mut().entry(name).or_default().push(p99.as_secs_f64() * 1e6);
    }

    fn of(&self, name: &str) -> Option<Spread> {
        self.0.borrow().get(name).map(|micros| Spread::of(micros))
    }
}

impl<C: Serialize> Sheet<C> {
    /// One with nothing on it.
    pub(crate) fn new(conditions: C) -> Self {
        Self {
            conditions,
            machine: Machine {
                optimised: !cfg!(debug_assertions),
                processors: thread::available_parallelism().map_or(0, usize::from),
                system: std::env::consts::OS,
                machine: std::env::consts::ARCH,
            },
            contestants: Vec::new(),
            comparisons: Vec::new(),
            figures: Vec::new(),
            skipped: Vec::new(),
        }
    }

    pub(crate) fn conditions(&self) -> &C {
        &self.conditions
    }

    /// Contestants that were interleaved, and the comparisons between those of them that ran.
    pub(crate) fn race(
        &mut self,
        part: &str,
        comparisons: &[Comparison],
        measured: Vec<Measured>,
        tails: &Tails,
    ) {
        let compared = |asked: &Comparison| {
            Compared::new(part.to_owned(), &measured, asked.contestant, asked.baseline, asked.goal)
        };
        self.comparisons.extend(comparisons.iter().filter_map(compared));
        let lines =
            measured.into_iter().map(|one| Line { p99_us: tails.of(one.name), entry: Entry::new(one) });
        self.contestants.extend(lines);
    }

    pub(crate) fn figures(&mut self, figures: impl IntoIterator<Item = Figure>) {
        self.figures.extend(figures);
    }

    /// Says what did not run, and why.
    pub(crate) fn skip(&mut self, what: impl Into<String>) {
        self.skipped.push(what.into());
    }

    /// Whether a goal is missed.
    pub(crate) fn missed(&self) -> bool {
        self.comparisons.iter().any(|compared| compared.ok == Some(false))
            || self.figures.iter().any(Figure::missed)
    }

    /// Prints it; `things` is what is counted.
    pub(crate) fn print(&self, things: &str) {
        if !self.contestants.is_empty() {
            println!("{}\n", self.rates(things));
        }
        if !self.comparisons.is_empty() {
            println!("{}\n", ratios(&self.comparisons));
        }
        if !self.figures.is_empty() {
            println!("{}\n", figure::figures(&self.figures));
        }
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
    }

    fn rates(&self, things: &str) -> Table {
        let mut table = table(&["", things, "ms", "a second", "min .. max", "p99 us"]);
        for Line { entry: Entry { measured, time, events_per_second }, p99_us } in &self.contestants {
            let rate = events_per_second.as_ref();
            table.add_row(row(&[
                measured.name.to_owned(),
                measured.events.to_string(),
                format!("{:.1}", time.median * 1e3),
                rate.map_or("-".to_owned(), |rate| format!("{:.0}", rate.median)),
                rate.map_or("-".to_owned(), |rate| format!("{:.0} .. {:.0}", rate.min, rate.max)),
                p99_us.map_or(String::new(), |p99| format!("{:.0}", p99.median)),
            ]));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &'static str, seconds: f64) -> Measured {
        Measured { name, events: 100, seconds: vec![seconds], sql: Vec::new() }
    }

    #[test]
    fn a_ratio_and_a_figure_can_miss_a_goal_and_what_did_not_run_cannot() {
        let goal = Some(Goal::AtLeast(2.0));
        let asked = ["there", "not there"].map(|baseline| Comparison { contestant: "one", baseline, goal });
        let sheet = |seconds| {
            let mut sheet = Sheet::new(());
            sheet.race(
                "part",
                &asked,
                vec![measured("one", seconds), measured("there", 2.0)],
                &Tails::default(),
            );
            sheet
        };
        assert!(!sheet(1.0).missed() && sheet(1.1).missed());
        assert_eq!(sheet(1.0).comparisons.len(), 1);
        let mut sheet = sheet(1.0);
        sheet.figures([Figure::new("fine", &[1.0, 3.0, 2.0], "ms").goal(Goal::AtMost(2.0))]);
        assert!(!sheet.missed());
        sheet.figures([Figure::new("slow", &[2.1], "ms").goal(Goal::AtMost(2.0))]);
        assert!(sheet.missed());
    }
}
