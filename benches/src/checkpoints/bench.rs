//! The parts, one after the other: who takes part, and what is asked of the comparison.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, ensure};
use highwater::core::model::Advance;
use highwater::redis::redis::Connection;
use highwater::redis::{Redis, RedisCheckpoints, RedisOptions};
use highwater::{CheckpointStore, Position};
use serde::Serialize;
use tokio::runtime::Runtime;

use super::flusher::Claimed;
use super::keys::{Keys, RunNumber};
use super::run::Run;
use super::server::{Server, info};
use super::{Options, Part, benchmark, calls, scripts};
use crate::forced;
use crate::measure::{self, Contestant, as_task};
use crate::report::Goal;
use crate::sheet::{Comparison, Sheet, Tails};

/// Calls of a run that makes one at a time.
const CALLS: u32 = 20_000;
/// How many times as many are made where they travel together: else there would be too few flights for a percentile.
const MORE: u32 = 5;
/// Keys for each call.
const KEYS: u32 = 10;
const MOST_KEYS: u32 = 1_000_000;
/// Forced flushes a round.
const FLUSHES: u32 = 20;
const QUICK_FLUSHES: u32 = 3;

const ONE: &str = "set_if_newer";
const BENCHMARK: &str = "redis-benchmark -c 1 -P 1";
const BARE: &str = "loop: the client library, bare";
const POOL: &str = "loop: pool.get() a call";
const FLUSHER: &str = "persistence worker";
const PIPE: &str = "redis-cli --pipe";
const PIPE_100: &str = "redis-cli --pipe, 100 keys a call";
/// Calls in one flight: the product's name, and redis-benchmark's.
const BATCHES: [(u32, &str, &str); 3] = [
    (10, "set_many_if_newer, 10", "redis-benchmark -c 1 -P 10"),
    (100, "set_many_if_newer, 100", "redis-benchmark -c 1 -P 100"),
    (1_000, "set_many_if_newer, 1000", "redis-benchmark -c 1 -P 1000"),
];

/// Under which conditions.
#[derive(Debug, Serialize)]
pub(super) struct Conditions {
    calls: u32,
    keys: u32,
    rounds: u32,
    server: String,
    appendonly: bool,
    server_settings: &'static [&'static str],
    /// The scripts that everybody calls.
    set: &'static str,
    advance: &'static str,
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, keys, rounds, server, appendonly, .. } = self;
        let appendonly = if *appendonly { "yes" } else { "no" };
        write!(f, "Redis {server}, appendonly {appendonly}\n{calls} calls, {keys} keys, {rounds} rounds")
    }
}

/// A server, and what is run on it.
pub(super) struct Bench<'b> {
    runtime: &'b Runtime,
    server: &'b Server,
    options: &'b Options,
    store: RedisCheckpoints,
    keys: Keys,
    connection: RefCell<Connection>,
    tails: Tails,
}

impl<'b> Bench<'b> {
    /// Connects the product, and ourselves.
    ///
    /// # Errors
    /// When the server is not one that the product takes.
    pub(super) fn prepare(
        runtime: &'b Runtime,
        server: &'b Server,
        options: &'b Options,
    ) -> anyhow::Result<Self> {
        let prefix = Server::prefix();
        let redis_options = RedisOptions::default().prefix(&prefix);
        let redis = runtime.block_on(Redis::open(server.url(), &redis_options))?;
        let keys = options.common.events_or(CALLS).saturating_mul(KEYS).min(MOST_KEYS);
        Ok(Self {
            runtime,
            server,
            options,
            store: RedisCheckpoints::new(&redis),
            keys: Keys::new(prefix, keys),
            connection: RefCell::new(server.connect()?),
            tails: Tails::default(),
        })
    }

    /// Measures all parts that are wanted.
    ///
    /// # Errors
    /// When a run fails or its result is wrong.
    pub(super) fn run(&self) -> anyhow::Result<Sheet<Conditions>> {
        let mut sheet = Sheet::new(self.conditions()?);
        let wanted = |part: Part| self.options.only.is_empty() || self.options.only.contains(&part);
        if wanted(Part::One) || wanted(Part::Batches) {
            self.check_script()?;
            self.keys.seed(&mut self.connection.borrow_mut())?;
        }
        if wanted(Part::One) {
            self.one(&mut sheet)?;
        }
        if wanted(Part::Batches) {
            self.batches(&mut sheet)?;
        }
        if wanted(Part::Flusher) {
            self.flusher(&mut sheet)?;
        }
        if wanted(Part::Runners) {
            self.runners(&mut sheet)?;
        }
        Ok(sheet)
    }

    fn conditions(&self) -> anyhow::Result<Conditions> {
        let info = |section, name| info(&mut self.connection.borrow_mut(), section, name);
        Ok(Conditions {
            calls: self.calls(),
            keys: self.keys.count,
            rounds: self.options.common.rounds(),
            server: info("server", "redis_version")?.context("the server does not say its version")?,
            appendonly: info("persistence", "aof_enabled")?.as_deref() == Some("1"),
            server_settings: self.server.given_settings(),
            set: scripts::SET,
            advance: scripts::ADVANCE,
        })
    }

    fn calls(&self) -> u32 {
        self.options.common.events_or(CALLS)
    }

    /// The first call of the product on this server.
    fn check_script(&self) -> anyhow::Result<()> {
        let first = self.runtime.block_on(self.store.set_if_newer("first", Position::new(1, 0)))?;
        ensure!(first == Advance::Applied, "a new checkpoint is {first:?}");
        scripts::check_known(&mut self.connection.borrow_mut(), scripts::SET)
    }

    fn one(&self, sheet: &mut Sheet<Conditions>) -> anyhow::Result<()> {
        let calls = self.calls();
        let mut contestants = vec![
            self.calling(ONE, calls, move |number| {
                let calls = self.keys.calls(number, calls);
                as_task(self.runtime, calls::product(self.store.clone(), calls))
            }),
            self.calling(BARE, calls, move |number| {
                as_task(self.runtime, calls::bare(self.server.url().to_owned(), self.names(number, calls)))
            }),
            self.calling(POOL, calls, move |number| {
                as_task(self.runtime, calls::pool(self.server.url().to_owned(), self.names(number, calls)))
            }),
        ];
        contestants.extend(self.by_program(BENCHMARK, calls, 1));
        let comparisons = [
            // How near one call at a time comes to a client without a runtime: a connection that many tasks share is
            // driven by a task of its own, to which a call goes and from which its answer comes.
            compare(ONE, BENCHMARK, Some(Goal::AtLeast(0.90))),
            compare(BARE, BENCHMARK, None),
            compare(ONE, BARE, None),
            compare(ONE, POOL, Some(Goal::AtLeast(2.0))),
            compare(POOL, BENCHMARK, None),
        ];
        self.race(sheet, "one at a time", &contestants, &comparisons)
    }

    /// Whole names and positions, for loops that know nothing of the product.
    fn names(&self, number: RunNumber, calls: u32) -> Vec<(String, String)> {
        let calls = self.keys.calls(number, calls);
        calls.iter().map(|(key, to)| (self.keys.name(key), to.commit().to_string())).collect()
    }

    fn batches(&self, sheet: &mut Sheet<Conditions>) -> anyhow::Result<()> {
        let calls = self.calls().saturating_mul(MORE);
        let mut contestants = Vec::new();
        for (batch, name, by_program) in BATCHES {
            let size = usize::try_from(batch).context("a batch is small")?;
            contestants.push(self.calling(name, calls, move |number| {
                let calls = self.keys.calls(number, calls);
                as_task(self.runtime, calls::batches(self.store.clone(), calls, size))
            }));
            contestants.extend(self.by_program(by_program, calls, batch));
        }
        let comparisons = BATCHES.map(|(_, name, by_program)| compare(name, by_program, None));
        self.race(sheet, "batches", &contestants, &comparisons)
    }

    fn flusher(&self, sheet: &mut Sheet<Conditions>) -> anyhow::Result<()> {
        eprintln!("claiming {} keys", self.calls());
        let claimed = as_task(self.runtime, Claimed::claim(self.store.clone(), self.calls()))?;
        let claimed = &claimed;
        scripts::check_known(&mut self.connection.borrow_mut(), scripts::ADVANCE)?;
        let checked = |seconds: f64| {
            claimed.check(&mut self.connection.borrow_mut(), &self.keys).context("the result is wrong")?;
            Ok(seconds)
        };
        let mut contestants = vec![Contestant {
            name: FLUSHER,
            events: claimed.count(),
            sql: Vec::new(),
            turn: Box::new(move || checked(as_task(self.runtime, claimed.clone().flush())?)),
        }];
        let Some(program) = &self.server.programs.cli else {
            sheet.skip("redis-cli --pipe: the program is not there");
            return self.race(sheet, "flusher", &contestants, &[]);
        };
        for (name, keys_a_call) in [(PIPE, 1), (PIPE_100, 100)] {
            contestants.push(Contestant {
                name,
                events: claimed.count(),
                sql: Vec::new(),
                turn: Box::new(move || {
                    let (at, folder) = ((program.as_path(), self.server.url()), self.server.folder());
                    checked(claimed.pipe(at, &self.keys, folder, keys_a_call)?)
                }),
            });
        }
        let comparisons =
            [compare(FLUSHER, PIPE, Some(Goal::AtLeast(0.70))), compare(FLUSHER, PIPE_100, None)];
        self.race(sheet, "flusher", &contestants, &comparisons)
    }

    fn runners(&self, sheet: &mut Sheet<Conditions>) -> anyhow::Result<()> {
        eprintln!("{} runners", forced::RUNNERS);
        let common = &self.options.common;
        let flushes = common.rounds() * if common.quick { QUICK_FLUSHES } else { FLUSHES };
        for batch in forced::batches() {
            let store = Arc::new(self.store.clone());
            let run = forced::flushes(store, format!("runner-{batch}-"), flushes, batch);
            let on = format!("on Redis, {batch} in a call");
            sheet.figures(forced::figures(&mut as_task(self.runtime, run)?, &on, Some(Goal::AtMost(10.0))));
        }
        Ok(())
    }

    /// A contestant that makes calls anybody may make.
    fn calling<'c>(
        &'c self,
        name: &'static str,
        calls: u32,
        run: impl Fn(RunNumber) -> anyhow::Result<Run> + 'c,
    ) -> Contestant<'c> {
        let turn = move || {
            let number = self.keys.run();
            let Run { seconds, p99 } = run(number)?;
            self.keys.check(&mut self.connection.borrow_mut(), number).context("the result is wrong")?;
            self.tails.note(name, p99);
            Ok(seconds)
        };
        Contestant { name, events: calls, sql: Vec::new(), turn: Box::new(turn) }
    }

    /// redis-benchmark, where it is to be had.
    fn by_program<'c>(&'c self, name: &'static str, calls: u32, pipeline: u32) -> Option<Contestant<'c>> {
        let program = self.server.programs.benchmark.as_ref()?;
        Some(self.calling(name, calls, move |number| {
            let mut connection = self.connection.borrow_mut();
            benchmark::run(program, self.server.url(), &mut connection, &self.keys, number, (calls, pipeline))
        }))
    }

    fn race(
        &self,
        sheet: &mut Sheet<Conditions>,
        part: &str,
        contestants: &[Contestant<'_>],
        comparisons: &[Comparison],
    ) -> anyhow::Result<()> {
        eprintln!("{part}");
        if self.server.programs.benchmark.is_none()
            && comparisons.iter().any(|asked| asked.baseline.starts_with("redis-benchmark"))
        {
            sheet.skip(format!("redis-benchmark, {part}: the program is not there"));
        }
        let measured = measure::interleave(contestants, self.options.common.rounds())?;
        sheet.race(part, comparisons, measured, &self.tails);
        Ok(())
    }

    /// Deletes all keys of ours, where the server goes on without us.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        if self.server.is_own() {
            return Ok(());
        }
        self.keys.clear(&mut self.connection.borrow_mut())
    }
}

fn compare(contestant: &'static str, baseline: &'static str, goal: Option<Goal>) -> Comparison {
    Comparison { contestant, baseline, goal }
}
