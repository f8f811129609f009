//! Whether appends feel the projections: alone, with projections that keep up, and with as much work for the
//! processors that has nothing to do with the log.
//!
//! At full speed everything waits for the processors, so the comparison is made at 30 % of the most. There,
//! what projections cost beyond their processor time would be waiting for something that they hold.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use highwater::core::ports::Clock;
use highwater::postgres::{Database, PgLog, PgOptions};
use highwater::{Highwater, TokioClock};
use sqlx::PgConnection;
use tokio::sync::oneshot;

use crate::figure::Figure;
use crate::measure::percentile;
use crate::postgres::Options;
use crate::postgres::contestants::{Table, Way, start_tables};
use crate::postgres::cpu::Used;
use crate::postgres::logs;
use crate::postgres::server::{Route, Server};
use crate::postgres::writers::{Load, Written, run};
use crate::report::Goal;

const DATABASE: &str = "appends";
const PACE: f64 = 0.3;
const CATCH_UP: Duration = Duration::from_secs(120);
/// Between two looks at the locks, and at the processor time.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const BURN_EVERY: Duration = Duration::from_millis(1);
const BURNERS: u32 = 2;
/// About a millisecond of it, and no lock.
const BURN: &str = "SELECT count(*) FROM generate_series(1, 10000)";
/// Who waits: for a lock of ours, and for any.
const WAITING: &str = "SELECT count(*) FILTER (WHERE locktype = 'advisory' \
     OR locktype IN ('relation', 'tuple') AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'highwater'::regnamespace)), count(*) \
     FROM pg_locks WHERE NOT granted";

/// What stands beside the writers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    Projections,
    /// So much of a processor, with the writers' own.
    Burners(f64),
}

/// A phase.
struct Phase {
    written: Written,
    /// Processors that were busy, as far as it is known.
    busy: Option<f64>,
    waits: Waits,
}

/// How many were seen waiting for a lock, over all looks.
#[derive(Debug, Clone, Copy, Default)]
struct Waits {
    ours: i64,
    all: i64,
}

/// Collects a value a round.
#[derive(Default)]
struct Series(Vec<f64>);

impl Series {
    fn figure(&self, name: &str, unit: &'static str) -> Option<Figure> {
        (!self.0.is_empty()).then(|| Figure::new(name, &self.0, unit))
    }
}

/// Measures it.
///
/// # Errors
/// When appends fail, or projections do not keep up.
pub(crate) async fn measure(server: &Server, options: &Options) -> anyhow::Result<Vec<Figure>> {
    logs::empty(server, DATABASE).await?;
    let place = Place { server, url: server.url(DATABASE, Route::Local), time: options.phase_time() };
    let mut series: [Series; 15] = Default::default();
    let (mut waits, mut paced) = (Waits::default(), None);
    for round in 0..options.common.rounds() {
        eprintln!("appends: round {} of {}", round + 1, options.common.rounds());
        let alone = place.phase(Beside::Nothing, None).await?;
        let with = place.phase(Beside::Projections, None).await?;
        let rate = *paced.get_or_insert(alone.written.rate() * PACE);
        let paced_alone = place.phase(Beside::Nothing, Some(rate)).await?;
        let paced_with = place.phase(Beside::Projections, Some(rate)).await?;
        let control = match paced_with.busy {
            Some(busy) => Some(place.phase(Beside::Burners(busy), Some(rate)).await?),
            None => None,
        };
        for phase in [&with, &paced_with] {
            waits.ours += phase.waits.ours;
            waits.all += phase.waits.all;
        }
        series[0].0.push(alone.written.rate());
        series[1].0.push(with.written.rate());
        let phases = [Some(alone), Some(with), Some(paced_alone), Some(paced_with), control];
        let mut p99s = [None; 5];
        for (index, phase) in phases.into_iter().enumerate() {
            let Some(mut phase) = phase else { continue };
            let millis = |percent, calls: &mut [Duration]| percentile(calls, percent).as_secs_f64() * 1e3;
            match (index, phase.busy) {
                (3, Some(busy)) => series[13].0.push(busy),
                (4, Some(busy)) => series[14].0.push(busy),
                _ => {}
            }
            series[2 + 2 * index].0.push(millis(50, &mut phase.written.calls));
            let p99 = millis(99, &mut phase.written.calls);
            series[3 + 2 * index].0.push(p99);
            p99s[index] = Some(p99);
        }
        if let (Some(with), Some(control)) = (p99s[3], p99s[4]) {
            series[12].0.push(with / control);
        }
    }
    server.drop_database(DATABASE).await?;
    Ok(figures(&series, waits))
}

fn figures(series: &[Series; 15], waits: Waits) -> Vec<Figure> {
    const NAMES: [(&str, &str); 12] = [
        ("appends, 8 writers", "calls/s"),
        ("appends, 8 writers, projections running", "calls/s"),
        ("append p50", "ms"),
        ("append p99", "ms"),
        ("append p50, projections running", "ms"),
        ("append p99, projections running", "ms"),
        ("append p50, paced at 30 %", "ms"),
        ("append p99, paced at 30 %", "ms"),
        ("append p50, paced, projections running", "ms"),
        ("append p99, paced, projections running", "ms"),
        ("append p50, paced, as much processor time burnt", "ms"),
        ("append p99, paced, as much processor time burnt", "ms"),
    ];
    let mut figures: Vec<Figure> =
        NAMES.iter().zip(series).filter_map(|((name, unit), series)| series.figure(name, unit)).collect();
    if let Some(ratio) = series[12].figure("append p99, paced, projections against burnt", "times as long") {
        figures.push(ratio.goal(Goal::AtMost(1.15)));
    }
    figures.extend(series[13].figure("processors busy, paced, projections running", "processors"));
    figures.extend(series[14].figure("processors busy, paced, as much burnt", "processors"));
    let count =
        |name, count: i64| Figure::new(name, &[f64::from(i32::try_from(count).unwrap_or(i32::MAX))], "seen");
    figures.push(count("waits for our locks while projections run", waits.ours).goal(Goal::AtMost(0.0)));
    figures.push(count("waits for any lock while projections run", waits.all));
    figures
}

struct Place<'p> {
    server: &'p Server,
    url: String,
    time: Duration,
}

impl Place<'_> {
    async fn phase(&self, beside: Beside, rate: Option<f64>) -> anyhow::Result<Phase> {
        let database = Database::open(&self.url, &PgOptions::default()).await?;
        let log = Arc::new(PgLog::new(&database));
        let running =
            if beside == Beside::Projections { Some(Projections::start(&self.url).await?) } else { None };
        let looker = self.server.connect(DATABASE).await?;
        let clock = TokioClock::new();
        let (started, before) = (clock.now(), Used::now(self.server));
        let (done, stop) = oneshot::channel();
        let watching = tokio::spawn(watch(looker, stop));
        let burners = match beside {
            Beside::Burners(busy) => self.burn(busy),
            Beside::Nothing | Beside::Projections => Box::pin(std::future::pending()),
        };
        let written = tokio::select! {
            written = run(&log, Load { time: self.time, rate }) => written?,
            ended = burners => return Err(ended),
        };
        let time = clock.now().since(started).as_secs_f64();
        let used = before.zip(Used::now(self.server)).map(|(before, now)| now.since(before));
        done.send(()).map_err(|()| anyhow::anyhow!("the lock watch ended early"))?;
        let waits = watching.await.context("the lock watch ended")??;
        if let Some(running) = running {
            running.stop().await?;
        }
        Ok(Phase { written, busy: used.map(|used| used.all().as_secs_f64() / time), waits })
    }

    /// Keeps so many processors busy, with what else runs; never ends well.
    fn burn(&self, busy: f64) -> std::pin::Pin<Box<dyn Future<Output = anyhow::Error> + Send + '_>> {
        Box::pin(async move {
            let mut burners = tokio::task::JoinSet::new();
            let ahead = Arc::new(tokio::sync::watch::Sender::new(true));
            for _ in 0..BURNERS {
                match self.server.connect(DATABASE).await {
                    Ok(conn) => burners.spawn(burner(conn, ahead.subscribe())),
                    Err(error) => return error,
                };
            }
            let clock = TokioClock::new();
            let (started, Some(before)) = (clock.now(), Used::now(self.server)) else {
                return anyhow::anyhow!("the processor time cannot be told any more");
            };
            loop {
                tokio::select! {
                    ended = burners.join_next() => {
                        return match ended {
                            Some(Ok(Err(error))) => error,
                            _ => anyhow::anyhow!("a burner ended"),
                        };
                    }
                    () = clock.sleep(LOOK_EVERY) => {}
                }
                let used = Used::now(self.server).unwrap_or_default().since(before).all().as_secs_f64();
                let due = clock.now().since(started).as_secs_f64() * busy;
                ahead.send_replace(used >= due);
            }
        })
    }
}

/// Burns while we are behind.
async fn burner(mut conn: PgConnection, mut ahead: tokio::sync::watch::Receiver<bool>) -> anyhow::Result<()> {
    let clock = TokioClock::new();
    loop {
        ahead.wait_for(|ahead| !ahead).await?;
        sqlx::query(BURN).execute(&mut conn).await?;
        clock.sleep(BURN_EVERY).await;
    }
}

/// Looks at the locks until it is told to stop.
async fn watch(mut conn: PgConnection, mut stop: oneshot::Receiver<()>) -> anyhow::Result<Waits> {
    let clock = TokioClock::new();
    let mut seen = Waits::default();
    loop {
        let (ours, all): (i64, i64) = sqlx::query_as(WAITING).fetch_one(&mut conn).await?;
        seen = Waits { ours: seen.ours + ours, all: seen.all + all };
        tokio::select! {
            _told = &mut stop => return Ok(seen),
            () = clock.sleep(LOOK_EVERY) => {}
        }
    }
}

/// A set-based one and one by event, live.
struct Projections {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<highwater::Report>,
}

impl Projections {
    async fn start(url: &str) -> anyhow::Result<Self> {
        let table = |name: &str, way| Table { name: name.to_owned(), way };
        let tables = [table("by_batch", Way::Apply), table("by_event", Way::On)];
        let highwater: Highwater = start_tables(url, &tables).await?;
        for table in &tables {
            let waited = highwater.wait_for_head(&table.name, CATCH_UP).await?;
            anyhow::ensure!(
                waited == highwater::Waited::Reached,
                "{} did not catch up: {waited:?}",
                table.name
            );
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(highwater.run_until(async move {
            // Either way it is to stop.
            stopped.await.unwrap_or_default();
        }));
        Ok(Self { stop, task })
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.send(()).map_err(|()| anyhow::anyhow!("the projections ended early"))?;
        let report = self.task.await.context("the projections ended")?;
        for run in report.projections {
            anyhow::ensure!(
                run.outcome == highwater::Outcome::Stopped && run.failed == 0,
                "{} ended as {:?}, with {} failed events",
                run.name,
                run.outcome,
                run.failed
            );
        }
        Ok(())
    }
}
