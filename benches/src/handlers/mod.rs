//! Handlers: what a runner costs beside what it runs.
//!
//! Log and checkpoints are in memory, so that nothing is measured but the runner. A handler that does nothing shows
//! what an event costs, against a plain loop that calls the same handler; one that waits shows what lanes are for;
//! a thousand runners show what they share.

mod handler;
mod many;
mod one;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use highwater::{CatchUpSettings, RecordedEvent};
use highwater_testkit::memory::MemoryCheckpoints;
use serde::Serialize;
use tokio::runtime::Runtime;

use self::handler::Counting;
use self::one::Log;
use crate::figure::Figure;
use crate::forced;
use crate::measure::{self, Contestant, Measured, as_task};
use crate::options::{Common, target_folder};
use crate::report::{Goal, write_json};
use crate::sheet::{Comparison, Sheet, Tails};

const EVENTS: u32 = 100_000;
/// Events for each runner of a thousand.
const EVENTS_EACH: u32 = 500;
const QUICK_EVENTS_EACH: u32 = 20;
/// How long the handler waits that waits.
const WAIT: Duration = Duration::from_millis(5);
/// Events for each lane of a handler that waits. Streams are spread over lanes by chance: with fewer of them the lane
/// that has the most would decide.
const EVENTS_A_LANE: u32 = 500;
const QUICK_EVENTS_A_LANE: u32 = 20;
/// Forced flushes of a thousand runners a round.
const FLUSHES: u32 = 20;
const QUICK_FLUSHES: u32 = 3;

const LOOP: &str = "loop: handle each event";
const LARGEST: &str = "lanes 1, checkpoint every 10,000";

/// Lanes, and after how many events the checkpoint is written; 10 is the default.
const COSTS: [(&str, usize, u64); 9] = [
    ("lanes 1, checkpoint every 10", 1, 10),
    ("lanes 1, checkpoint every 100", 1, 100),
    (LARGEST, 1, 10_000),
    ("lanes 4, checkpoint every 10", 4, 10),
    ("lanes 4, checkpoint every 100", 4, 100),
    ("lanes 4, checkpoint every 10,000", 4, 10_000),
    ("lanes 16, checkpoint every 10", 16, 10),
    ("lanes 16, checkpoint every 100", 16, 100),
    ("lanes 16, checkpoint every 10,000", 16, 10_000),
];

const WAITS_1: &str = "waits 5 ms, 1 lane";
const WAITS_4: &str = "waits 5 ms, 4 lanes";
const WAITS_16: &str = "waits 5 ms, 16 lanes";
const WAITS: [(&str, u32); 3] = [(WAITS_1, 1), (WAITS_4, 4), (WAITS_16, 16)];

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What a runner costs an event
    Cost,
    /// A handler that waits, in 1, 4 and 16 lanes
    Lanes,
    /// 1,000 runners in one process
    Runners,
}

/// How much is measured, and what.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Where the figures go as JSON [default: bench/handlers.json in the target folder]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Under which conditions.
#[derive(Debug, Serialize)]
struct Conditions {
    events: u32,
    rounds: u32,
}

/// Runs it; whether every goal was met.
///
/// # Errors
/// When a run fails or its result is wrong.
pub(crate) fn benchmark(runtime: &Runtime, options: &Options) -> anyhow::Result<bool> {
    let json = match &options.json {
        Some(json) => json.clone(),
        None => target_folder()?.join("bench").join("handlers.json"),
    };
    let (events, rounds) = (options.common.events_or(EVENTS), options.common.rounds());
    let mut sheet = Sheet::new(Conditions { events, rounds });
    let bench = Bench { runtime, events, rounds, quick: options.common.quick };
    let wanted = |part: Part| options.only.is_empty() || options.only.contains(&part);
    if wanted(Part::Cost) {
        bench.cost(&mut sheet)?;
    }
    if wanted(Part::Lanes) {
        bench.lanes(&mut sheet)?;
    }
    if wanted(Part::Runners) {
        bench.runners(&mut sheet)?;
    }
    println!("Handlers, log and checkpoints in memory\n{events} events, {rounds} rounds\n");
    sheet.print("events");
    write_json(&sheet, &json)?;
    println!("written to {}", json.display());
    Ok(!sheet.missed())
}

struct Bench<'b> {
    runtime: &'b Runtime,
    events: u32,
    rounds: u32,
    quick: bool,
}

impl Bench<'_> {
    fn cost(&self, sheet: &mut Sheet<Conditions>) -> anyhow::Result<()> {
        let log = self.runtime.block_on(Log::make(self.events))?;
        let events: Arc<[RecordedEvent]> = log.log.all().into();
        let mut contestants = vec![Contestant {
            name: LOOP,
            events: self.events,
            sql: Vec::new(),
            turn: Box::new(move || as_task(self.runtime, one::plain(events.clone()))),
        }];
        for (name, lanes, checkpoint_batch_size) in COSTS {
            let settings = CatchUpSettings { lanes, checkpoint_batch_size, ..CatchUpSettings::default() };
            contestants.push(self.contestant(name, &log, settings, Counting::at_once));
        }
        let measured = measure::interleave(&contestants, self.rounds)?;
        sheet.figures(measured.iter().map(|one| {
            let figure = Figure::new(format!("{}: an event", one.name), &micros(one), "us");
            // All of it, the call of the handler included, which the loop has, too.
            if one.name == LARGEST { figure.goal(Goal::AtMost(2.0)) } else { figure }
        }));
        let comparisons =
            COSTS.map(|(contestant, _, _)| Comparison { contestant, baseline: LOOP, goal: None });
        sheet.race("cost", &comparisons, measured, &Tails::default());
        Ok(())
    }

    fn lanes(&self, sheet: &mut Sheet<Conditions>) -> anyhow::Result<()> {
        let each = if self.quick { QUICK_EVENTS_A_LANE } else { EVENTS_A_LANE };
        let mut contestants = Vec::new();
        for (name, lanes) in WAITS {
            let log = self.runtime.block_on(Log::make(each * lanes))?;
            let settings = CatchUpSettings { lanes: usize::try_from(lanes)?, ..CatchUpSettings::default() };
            contestants.push(self.contestant(name, &log, settings, || Counting::after(WAIT)));
        }
        let measured = measure::interleave(&contestants, self.rounds)?;
        let comparisons = [
            Comparison { contestant: WAITS_4, baseline: WAITS_1, goal: None },
            Comparison { contestant: WAITS_16, baseline: WAITS_1, goal: Some(Goal::AtLeast(12.0)) },
        ];
        sheet.race("lanes", &comparisons, measured, &Tails::default());
        Ok(())
    }

    fn runners(&self, sheet: &mut Sheet<Conditions>) -> anyhow::Result<()> {
        let each = if self.quick { QUICK_EVENTS_EACH } else { EVENTS_EACH };
        let log = self.runtime.block_on(Log::make(each))?;
        let mut runs = Vec::new();
        for round in 1..=self.rounds {
            eprintln!("round {round} of {}: {} runners", self.rounds, forced::RUNNERS);
            runs.push(as_task(self.runtime, many::together(log.clone()))?);
        }
        sheet.figures(many::figures(&runs, each));
        let flushes = self.rounds * if self.quick { QUICK_FLUSHES } else { FLUSHES };
        for batch in forced::batches() {
            let run = forced::flushes(Arc::new(MemoryCheckpoints::new()), String::new(), flushes, batch);
            let on = format!("in memory, {batch} in a call");
            sheet.figures(forced::figures(&mut as_task(self.runtime, run)?, &on, None));
        }
        Ok(())
    }

    /// A runner, with a handler of its own for each run.
    fn contestant<'c>(
        &'c self,
        name: &'static str,
        log: &Log,
        settings: CatchUpSettings,
        handler: fn() -> Counting,
    ) -> Contestant<'c> {
        let log = log.clone();
        let events = log.events;
        let run = move || as_task(self.runtime, one::catch_up(log.clone(), handler(), settings.clone()));
        Contestant { name, events, sql: Vec::new(), turn: Box::new(run) }
    }
}

/// Microseconds an event, one a round.
fn micros(measured: &Measured) -> Vec<f64> {
    measured.rates().iter().map(|rate| 1e6 / rate).collect()
}
