//! On PostgreSQL: a server with the durability that it ships with, its own socket, and a simulated network.
//!
//! The limit is one INSERT … SELECT a batch inside the server; Z, what most people would write, a savepoint
//! an event. Everything reads the same table, extracts the same two fields, makes the same read model, and
//! moves one checkpoint in the same transaction.

mod appends;
mod baseline;
mod contestants;
mod cpu;
mod gap;
mod idle;
mod lineup;
mod live;
mod logs;
mod plan;
mod read_model;
mod report;
mod server;
mod writers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use highwater::TokioClock;
use highwater::core::ports::Clock;
use sqlx::{Connection, PgConnection};
use tokio::runtime::Runtime;

use crate::figure::Figure;
use crate::measure::{self, Contestant};
use crate::options::{Common, target_folder};
use crate::postgres::lineup::{ELSEWHERE, Lineup};
use crate::postgres::logs::{Log, Shape};
use crate::postgres::plan::{Comparison, MAIN_BATCH, POISON_EVERY, Part, Setting};
use crate::postgres::report::{Race, Report};
use crate::postgres::server::{Route, Server};
use crate::report::write_json;

pub(crate) use crate::postgres::server::Source;

const EVENTS: u32 = 200_000;
const ROUND_TRIPS: u32 = 500;
/// For a smoke run.
const SHORT: Duration = Duration::from_secs(1);

/// How much is measured, and what.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Events a transaction, for the product and for the loops; goals speak of 2,000 and 10,000
    #[arg(long, value_delimiter = ',', default_values_t = [500, 2_000, 10_000],
        value_parser = clap::value_parser!(u32).range(32..=200_000))]
    batches: Vec<u32>,
    /// How events are spread over the streams
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Shape::Uniform, Shape::Locality])]
    shapes: Vec<Shape>,
    /// How statements get to the server
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Route::Local, Route::Proxy])]
    routes: Vec<Route>,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Only comparisons of contestants with this in their name, such as `apply_batch`: to look at one with a profiler
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    contestant: String,
    /// Seconds of each phase of the append latencies
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    phase_seconds: u32,
    /// Seconds of appends, for the time from an append to the read model
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    live_seconds: u32,
    /// Seconds without an append
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    idle_seconds: u32,
    /// Projections of the process that is idle
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    idle_projections: u32,
    /// A server to measure, postgres://user:password@host:port/database; databases are made on it, and
    /// dropped [default: one is started from the programs in HIGHWATER_TEST_POSTGRES_BIN, in
    /// /usr/lib/postgresql or on the path; else the one that HIGHWATER_TEST_POSTGRES_URL names]
    #[arg(long, value_name = "URL")]
    postgres_url: Option<String>,
    /// Where the figures go as JSON [default: bench/postgres.json in the target folder]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Options {
    fn events(&self) -> u32 {
        self.common.events_or(EVENTS)
    }

    fn time(&self, seconds: u32) -> Duration {
        if self.common.quick { SHORT } else { Duration::from_secs(seconds.into()) }
    }

    fn phase_time(&self) -> Duration {
        self.time(self.phase_seconds)
    }

    fn live_time(&self) -> Duration {
        self.time(self.live_seconds)
    }

    fn idle_time(&self) -> Duration {
        self.time(self.idle_seconds)
    }
}

/// A server, or why there is none.
pub(crate) fn find_server(options: &Options) -> Result<Source, String> {
    server::find(options)
}

/// Runs it; whether every goal was met.
///
/// # Errors
/// When a run fails or its result is wrong.
pub(crate) fn benchmark(runtime: &Runtime, options: &Options, source: Source) -> anyhow::Result<bool> {
    let target = target_folder()?;
    let json = options.json.clone().unwrap_or_else(|| target.join("bench").join("postgres.json"));
    let server = Server::start(runtime, source, options.common.folder(&target)?)?;
    let scratch = tempfile::tempdir().context("make a temporary folder")?;
    let mut bench = Bench {
        runtime,
        server: &server,
        options,
        report: runtime.block_on(Report::new(&server, options))?,
        scratch: scratch.path(),
    };
    let measured = bench.run();
    let report = bench.report;
    // On a server that is not ours the databases would stay.
    let dropped = runtime.block_on(server.drop_all());
    measured?;
    dropped?;
    report.print();
    write_json(&report, &json)?;
    println!("written to {}", json.display());
    Ok(!report.missed())
}

struct Bench<'b> {
    runtime: &'b Runtime,
    server: &'b Server,
    options: &'b Options,
    report: Report,
    scratch: &'b Path,
}

impl<'b> Bench<'b> {
    fn run(&mut self) -> anyhow::Result<()> {
        let options = self.options;
        let wanted = |part: Part| part.is_wanted(options);
        for shape in [Shape::Uniform, Shape::Locality] {
            let uniform = shape == Shape::Uniform;
            let races = wanted(Part::Rates) && options.shapes.contains(&shape);
            let others = [Part::Rebuild, Part::Gap, Part::Poison].into_iter().any(wanted);
            let needed = races || (uniform && others);
            if !needed {
                continue;
            }
            let log = self.runtime.block_on(logs::clean(self.server, shape, options.events()))?;
            if races {
                self.rates(log, shape)?;
            }
            if uniform && wanted(Part::Rebuild) {
                self.rebuild(log)?;
            }
            if uniform && wanted(Part::Gap) {
                let figures = self.runtime.block_on(gap::measure(self.server, &log, options.common.quick))?;
                self.report.figures.extend(figures);
            }
            if uniform && wanted(Part::Poison) {
                self.poison(log)?;
            }
            self.runtime.block_on(self.server.drop_database(log.database))?;
        }
        if wanted(Part::Appends) {
            let figures = self.runtime.block_on(appends::measure(self.server, options))?;
            self.report.figures.extend(figures);
        }
        if wanted(Part::Live) {
            let figures = self.runtime.block_on(live::measure(self.server, options))?;
            self.report.figures.extend(figures);
        }
        if wanted(Part::Idle) {
            let (figures, statements) = self.runtime.block_on(idle::measure(self.server, options))?;
            self.report.figures.extend(figures);
            self.report.idle_statements = statements;
        }
        Ok(())
    }

    fn rates(&mut self, log: Log, shape: Shape) -> anyhow::Result<()> {
        if self.server.pgbench(log.database).is_none() {
            let reason = "pgbench: it is not there, or the server is not ours";
            self.report.skipped.push(reason.to_owned());
        }
        self.runtime.block_on(logs::empty(self.server, ELSEWHERE))?;
        for &route in &self.options.routes {
            let url = self.server.url(ELSEWHERE, route);
            let figure =
                self.runtime.block_on(round_trip(&url, &format!("round trip, {shape:?}, {route:?}")))?;
            self.report.figures.push(figure);
            for &batch in &self.options.batches {
                let setting = Setting { shape, route, batch };
                let name = format!("{shape:?} events, {route:?} route, batches of {batch}");
                self.race(name, log, setting, &plan::comparisons(setting), None)?;
            }
        }
        self.runtime.block_on(self.server.drop_database(ELSEWHERE))
    }

    fn poison(&mut self, clean: Log) -> anyhow::Result<()> {
        for every in POISON_EVERY {
            let database = "poisoned";
            let log =
                self.runtime.block_on(logs::poisoned(self.server, database, self.options.events(), every))?;
            let setting = Setting { shape: Shape::Uniform, route: Route::Local, batch: MAIN_BATCH };
            let name = format!("One bad event in {every}, batches of {MAIN_BATCH}");
            let clean = self.lineup(clean, setting).clean_apply()?;
            self.race(name, log, setting, &plan::poisoned(every), Some(clean))?;
            self.runtime.block_on(self.server.drop_database(database))?;
        }
        Ok(())
    }

    fn rebuild(&mut self, log: Log) -> anyhow::Result<()> {
        let setting = Setting { shape: Shape::Uniform, route: Route::Local, batch: log.events };
        let lineup = self.lineup(log, setting);
        eprintln!("Rebuild");
        let measured = measure::interleave(&lineup.rebuilds()?, self.options.common.rounds())?;
        let race = Race::new("Rebuild of the whole log".to_owned(), setting, &[plan::rebuilt()], measured);
        self.report.races.push(race);
        Ok(())
    }

    fn lineup(&self, log: Log, setting: Setting) -> Lineup<'b> {
        Lineup::new(self.runtime, self.server, self.scratch, log, setting)
    }

    fn race(
        &mut self,
        name: String,
        log: Log,
        setting: Setting,
        comparisons: &[Comparison],
        another: Option<Contestant<'b>>,
    ) -> anyhow::Result<()> {
        eprintln!("{name}");
        let asked = &self.options.contestant;
        let comparisons: Vec<_> =
            comparisons.iter().copied().filter(|one| one.contestant.contains(asked)).collect();
        let mut contestants = self.lineup(log, setting).contestants(&comparisons)?;
        contestants.extend(another);
        let measured = measure::interleave(&contestants, self.options.common.rounds())?;
        self.report.races.push(Race::new(name, setting, &comparisons, measured));
        Ok(())
    }
}

/// How long the least statement takes, so that everybody sees what a flight costs.
async fn round_trip(url: &str, name: &str) -> anyhow::Result<Figure> {
    let clock = TokioClock::new();
    let mut conn = PgConnection::connect(url).await?;
    let mut micros = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let started = clock.now();
        sqlx::query("SELECT 1").execute(&mut conn).await?;
        micros.push(clock.now().since(started).as_secs_f64() * 1e6);
    }
    conn.close().await?;
    Ok(Figure::new(name, &micros, "us"))
}
