//! What came out on PostgreSQL.

use std::thread;

use serde::Serialize;

use crate::figure::{self, Figure};
use crate::measure::{Measured, Spread};
use crate::postgres::Options;
use crate::postgres::gap;
use crate::postgres::plan::{self, Comparison, Setting};
use crate::postgres::server::{DELAY, Server};
use crate::report::{Compared, Entry, rates, ratio_cells, row, table};

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    conditions: Conditions,
    pub(crate) races: Vec<Race>,
    pub(crate) figures: Vec<Figure>,
    /// The plain read that gap safety is compared with.
    plain_read_sql: &'static str,
    /// What a process that has nothing to do asks the server, in the time that it was watched.
    pub(crate) idle_statements: Vec<Statement>,
    pub(crate) skipped: Vec<String>,
}

/// Under which conditions.
#[derive(Debug, Serialize)]
struct Conditions {
    events: u32,
    rounds: u32,
    server: String,
    fsync: String,
    synchronous_commit: String,
    server_settings: &'static [&'static str],
    /// What the proxy adds each way.
    proxy_delay_us: u128,
    optimised: bool,
    processors: usize,
    system: &'static str,
    machine: &'static str,
}

/// Contestants that were interleaved.
#[derive(Debug, Serialize)]
pub(crate) struct Race {
    name: String,
    setting: Setting,
    contestants: Vec<Entry>,
    comparisons: Vec<Steady>,
}

/// A comparison, by which goals are judged, and the same of a run that goes on.
#[derive(Debug, Serialize)]
struct Steady {
    #[serde(flatten)]
    compared: Compared,
    /// The ratio without what starting and stopping costs the product, which the times of loops have no part
    /// of.
    without_start_and_stop: Option<Spread>,
}

/// A statement that was seen.
#[derive(Debug, Serialize)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) count: u32,
}

impl Race {
    /// Sums up.
    pub(crate) fn new(
        name: String,
        setting: Setting,
        comparisons: &[Comparison],
        measured: Vec<Measured>,
    ) -> Self {
        let without = without_start_and_stop(&measured);
        let comparisons = comparisons
            .iter()
            .filter_map(|asked| {
                let compared = |measured: &[Measured]| {
                    Compared::new(name.clone(), measured, asked.contestant, asked.baseline, asked.goal)
                };
                let without = without.as_deref().and_then(compared);
                let without_start_and_stop = without.map(|without| without.ratio);
                Some(Steady { compared: compared(&measured)?, without_start_and_stop })
            })
            .collect();
        let contestants = measured.into_iter().map(Entry::new).collect();
        Self { name, setting, contestants, comparisons }
    }

    fn print(&self) {
        println!("{}\n", self.name);
        println!("{}\n", rates(&self.contestants));
        let mut table = table(&["", "against", "ratio", "min .. max", "goal", "", "without start and stop"]);
        for Steady { compared, without_start_and_stop } in &self.comparisons {
            let mut cells = ratio_cells(compared);
            cells.push(without_start_and_stop.map_or(String::new(), |ratio| format!("{:.2}", ratio.median)));
            table.add_row(row(&cells));
        }
        println!("{table}\n");
    }

    fn missed(&self) -> bool {
        self.comparisons.iter().any(|steady| steady.compared.ok == Some(false))
    }
}

/// The same times, those of the product less what it takes to start and to stop in the same round; `None`
/// where that was not measured. Who was through sooner than a start and a stop took is left out.
fn without_start_and_stop(measured: &[Measured]) -> Option<Vec<Measured>> {
    let idle = &measured.iter().find(|measured| measured.name == plan::IDLE)?.seconds;
    let is_product =
        |name: &str| !["loop", "limit", "insert-select"].iter().any(|word| name.starts_with(word));
    let less = |one: &Measured| {
        if !is_product(one.name) {
            return Some(one.clone());
        }
        let seconds: Vec<f64> = one.seconds.iter().zip(idle).map(|(seconds, idle)| seconds - idle).collect();
        seconds.iter().all(|seconds| *seconds > 0.0).then(|| Measured { seconds, ..one.clone() })
    };
    Some(measured.iter().filter_map(less).collect())
}

impl Report {
    /// One without figures.
    ///
    /// # Errors
    /// When the server cannot be asked what it is.
    pub(crate) async fn new(server: &Server, options: &Options) -> anyhow::Result<Self> {
        let conditions = Conditions {
            events: options.events(),
            rounds: options.common.rounds(),
            server: server.setting("server_version").await?,
            fsync: server.setting("fsync").await?,
            synchronous_commit: server.setting("synchronous_commit").await?,
            server_settings: server.given_settings(),
            proxy_delay_us: DELAY.as_micros(),
            optimised: !cfg!(debug_assertions),
            processors: thread::available_parallelism().map_or(0, usize::from),
            system: std::env::consts::OS,
            machine: std::env::consts::ARCH,
        };
        Ok(Self {
            conditions,
            races: Vec::new(),
            figures: Vec::new(),
            plain_read_sql: gap::READ,
            idle_statements: Vec::new(),
            skipped: Vec::new(),
        })
    }

    /// Whether a goal is missed.
    pub(crate) fn missed(&self) -> bool {
        self.races.iter().any(Race::missed) || self.figures.iter().any(Figure::missed)
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        let Conditions { events, rounds, server, fsync, synchronous_commit, .. } = &self.conditions;
        println!("PostgreSQL {server}, fsync {fsync}, synchronous_commit {synchronous_commit}");
        println!("{events} events, {rounds} rounds\n");
        if fsync != "on" || synchronous_commit != "on" {
            println!("warning: this server is not durable; the goals speak of one that is\n");
        }
        self.races.iter().for_each(Race::print);
        if !self.figures.is_empty() {
            println!("{}\n", figure::figures(&self.figures));
        }
        for Statement { text, count } in &self.idle_statements {
            println!("idle, {count} times: {text}");
        }
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_and_stop_are_taken_off_the_product_alone() {
        let measured =
            |name, seconds: f64| Measured { name, events: 10, seconds: vec![seconds], sql: Vec::new() };
        let all = [measured(plan::IDLE, 0.5), measured(plan::APPLY, 1.5), measured(plan::LIMIT, 1.0)];
        let seconds = |measured: &[Measured]| measured.iter().map(|one| one.seconds[0]).collect::<Vec<_>>();
        assert_eq!(seconds(&without_start_and_stop(&all).expect("it was measured")), [1.0, 1.0]);
        assert!(without_start_and_stop(&all[1..]).is_none());
    }
}
