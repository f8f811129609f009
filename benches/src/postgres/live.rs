//! From an append to the read model: how long until another connection reads what was appended.

use std::time::Duration;

use anyhow::{Context, ensure};
use highwater::core::ports::{Clock, Moment};
use highwater::postgres::{Database, PgConnection, PgLog, PgOptions};
use highwater::{
    AppendEvents, Failure, Highwater, NewEvent, Outcome, Projection, RecordedEvent, TokioClock, Waited,
};
use sqlx::Executor;
use tokio::sync::oneshot;

use crate::data::{EVENT_TYPE, STREAMS, account};
use crate::figure::Figure;
use crate::measure::percentile;
use crate::postgres::Options;
use crate::postgres::logs;
use crate::postgres::server::{Route, Server};
use crate::postgres::writers::append;
use crate::report::Goal;

const DATABASE: &str = "live";
const NAME: &str = "seen";
/// Appends a second.
const RATE: u32 = 100;
/// How long the last events may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at the read model; it is part of what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(1);

const SCHEMA: &str = "CREATE TABLE seen (only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), \
     number bigint NOT NULL); INSERT INTO seen (number) VALUES (0)";
const SEE: &str = "UPDATE seen SET number = $1 WHERE number < $1";
const LOOK: &str = "SELECT number FROM seen";

#[derive(serde::Deserialize)]
struct Numbered {
    number: i64,
}

/// The number of the last event.
struct LastSeen;

impl Projection<PgConnection> for LastSeen {
    async fn apply(&self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), Failure> {
        let numbered: Numbered = event.json()?;
        sqlx::query(SEE).bind(numbered.number).execute(tx).await?;
        Ok(())
    }

    async fn setup(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        tx.execute(SCHEMA).await?;
        Ok(())
    }
}

/// When an append began and when its answer came; its number is its index and one.
type Call = (Moment, Moment);
/// When a number was seen first.
type Sight = (i64, Moment);

/// Measures it, with notifications and without.
///
/// # Errors
/// When something fails, or events do not arrive.
pub(crate) async fn measure(server: &Server, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (notify, how) in [(true, "with NOTIFY"), (false, "with polling alone")] {
        eprintln!("live: {how}");
        logs::empty(server, DATABASE).await?;
        let appends = RATE * u32::try_from(options.live_time().as_secs()).unwrap_or(u32::MAX / RATE);
        let (calls, sights) = observe(&server.url(DATABASE, Route::Local), server, notify, appends).await?;
        let mut from_begin = Vec::new();
        let mut from_answer = Vec::new();
        for (number, (began, answered)) in (1..).zip(&calls) {
            let first = sights.partition_point(|(seen, _)| *seen < number);
            let (_, at) = sights.get(first).context("an event was never seen")?;
            from_begin.push(at.since(*began));
            from_answer.push(at.since(*answered));
        }
        let mut figure = |what: &str, samples: &mut [Duration], percent, goal: Option<Goal>| {
            let millis = percentile(samples, percent).as_secs_f64() * 1e3;
            let name = format!("{what} -> visible p{percent}, {how}");
            let figure = Figure::new(&name, &[millis], "ms");
            figures.push(match goal {
                Some(goal) => figure.goal(goal),
                None => figure,
            });
        };
        figure("append", &mut from_begin, 50, None);
        figure("append", &mut from_begin, 99, notify.then_some(Goal::AtMost(20.0)));
        figure("append's answer", &mut from_answer, 50, None);
        figure("append's answer", &mut from_answer, 99, None);
    }
    server.drop_database(DATABASE).await?;
    Ok(figures)
}

async fn observe(
    url: &str,
    server: &Server,
    notify: bool,
    appends: u32,
) -> anyhow::Result<(Vec<Call>, Vec<Sight>)> {
    let options = PgOptions::default().notify(notify);
    let builder = Highwater::builder().postgres_with(url, options.clone());
    let highwater = builder.projection(NAME, LastSeen, |projection| projection).start().await?;
    let waited = highwater.wait_for_head(NAME, PATIENCE).await?;
    ensure!(waited == Waited::Reached, "the projection is not live: {waited:?}");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(highwater.run_until(async move {
        // Either way it is to stop.
        stopped.await.unwrap_or_default();
    }));
    let clock = TokioClock::new();
    let conn = wait_for_table(server, clock).await?;
    let looking = tokio::spawn(look(conn, clock, i64::from(appends)));
    // As another process: with a database of its own.
    let database = Database::open(url, &options).await?;
    let calls = write(&PgLog::new(&database), clock, appends).await?;
    let sights = tokio::time::timeout(PATIENCE, looking).await.context("events do not arrive")??;
    stop.send(()).map_err(|()| anyhow::anyhow!("the projection ended early"))?;
    let report = running.await?;
    ensure!(
        report
            .projections
            .iter()
            .all(|run| run.outcome == Outcome::Stopped && run.applied == u64::from(appends)),
        "the projection did not apply {appends} events: {report:?}"
    );
    Ok((calls, sights?))
}

/// The log is empty, so that a projection is caught up before it has started: its table may not be there yet.
async fn wait_for_table(server: &Server, clock: TokioClock) -> anyhow::Result<PgConnection> {
    let mut conn = server.connect(DATABASE).await?;
    let deadline = clock.now() + PATIENCE;
    loop {
        let there: bool =
            sqlx::query_scalar("SELECT to_regclass('seen') IS NOT NULL").fetch_one(&mut conn).await?;
        if there {
            return Ok(conn);
        }
        ensure!(clock.now() < deadline, "the projection does not start");
        clock.sleep(LOOK_EVERY).await;
    }
}

async fn write(log: &PgLog, clock: TokioClock, appends: u32) -> anyhow::Result<Vec<Call>> {
    let pause = Duration::from_secs(1) / RATE;
    let started = clock.now();
    let mut calls = Vec::new();
    for number in 1..=appends {
        let left = (started + pause * number).since(clock.now());
        if !left.is_zero() {
            clock.sleep(left).await;
        }
        let event = NewEvent::json(EVENT_TYPE, format!(r#"{{"number":{number}}}"#));
        let began = clock.now();
        log.append(&[append(account(number % STREAMS), event)]).await?;
        calls.push((began, clock.now()));
    }
    Ok(calls)
}

/// Looks at the read model until it has seen the last number.
async fn look(mut conn: PgConnection, clock: TokioClock, last: i64) -> anyhow::Result<Vec<Sight>> {
    let mut sights: Vec<Sight> = Vec::new();
    let mut seen = 0;
    while seen < last {
        let number: i64 = sqlx::query_scalar(LOOK).fetch_one(&mut conn).await?;
        if number > seen {
            sights.push((number, clock.now()));
            seen = number;
        }
        clock.sleep(LOOK_EVERY).await;
    }
    Ok(sights)
}
