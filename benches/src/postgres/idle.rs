//! What a process costs that has nothing to do: statements and processor time, with many projections.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use highwater::core::ports::Clock;
use highwater::{TokioClock, Waited};
use sqlx::Connection;
use tokio::sync::oneshot;

use crate::figure::Figure;
use crate::postgres::Options;
use crate::postgres::contestants::{Table, Way, start_tables};
use crate::postgres::cpu::Used;
use crate::postgres::logs;
use crate::postgres::report::Statement;
use crate::postgres::server::{Route, Server};
use crate::report::Goal;

const DATABASE: &str = "idle";
const EVENTS: u32 = 2_000;
const CATCH_UP: Duration = Duration::from_secs(120);
/// What follows the last batch (closed connections, freed memory) is not idleness yet.
const SETTLE: Duration = Duration::from_secs(3);
/// One statement a second for the log, and one for ownership.
const GOAL: Goal = Goal::AtMost(2.0);
/// Two statements that are run every second, seen for n seconds, may be seen n + 1 times.
const FENCE_POSTS: f64 = 2.0;
const TRANSACTIONS: &str =
    "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
/// The longest text of a statement that the report shows.
const SHOWN: usize = 160;

/// Measures it.
///
/// # Errors
/// When projections do not catch up.
pub(crate) async fn measure(
    server: &Server,
    options: &Options,
) -> anyhow::Result<(Vec<Figure>, Vec<Statement>)> {
    logs::poisoned(server, DATABASE, EVENTS, 0).await?;
    // The figures of this part are counts: a statement may take longer to be written down.
    let from_log = server.log()?.is_some();
    if from_log {
        server.set(DATABASE, "log_statement = 'all'").await?;
    }
    let tables: Vec<Table> = (0..options.idle_projections)
        .map(|number| Table { name: format!("idle_{number}"), way: Way::Apply })
        .collect();
    eprintln!("idle: {} projections", tables.len());
    let highwater = start_tables(&server.url(DATABASE, Route::Local), &tables).await?;
    for table in &tables {
        let waited = highwater.wait_for_head(&table.name, CATCH_UP).await?;
        ensure!(waited == Waited::Reached, "{} did not catch up: {waited:?}", table.name);
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(highwater.run_until(async move {
        // Either way it is to stop.
        stopped.await.unwrap_or_default();
    }));
    let clock = TokioClock::new();
    clock.sleep(SETTLE).await;
    let transactions_before = transactions(server).await?;
    let log_before = server.log()?.map_or(0, |log| log.len());
    let (started, used_before) = (clock.now(), Used::now(server));
    clock.sleep(options.idle_time()).await;
    let seconds = clock.now().since(started).as_secs_f64();
    let used = used_before.zip(Used::now(server)).map(|(before, now)| now.since(before));
    let log = server.log()?;
    let statements = log.map(|log| statements(&log[log_before.min(log.len())..], &server.in_log(DATABASE)));
    stop.send(()).map_err(|()| anyhow::anyhow!("the projections ended early"))?;
    running.await.context("the projections ended")?;
    let counted = match &statements {
        Some(statements) => f64::from(statements.iter().map(|statement| statement.count).sum::<u32>()),
        // Ours, with which the count was asked for, aside.
        None => f64::from(u32::try_from(transactions(server).await? - transactions_before - 1).unwrap_or(0)),
    };
    let rate = (counted - FENCE_POSTS).max(0.0) / seconds;
    let one = |name: &str, value: f64, unit| Figure::new(name, &[value], unit);
    let with = format!("{} projections", tables.len());
    let mut figures = vec![one(&format!("statements when idle, {with}"), rate, "a second").goal(GOAL)];
    if let Some(used) = used {
        let share = |time: Duration| time.as_secs_f64() / seconds * 1e3;
        figures.push(one(&format!("processor time when idle, {with}, process"), share(used.ours), "ms/s"));
        figures.push(one(&format!("processor time when idle, {with}, server"), share(used.server), "ms/s"));
    }
    server.drop_database(DATABASE).await?;
    Ok((figures, statements.unwrap_or_default()))
}

async fn transactions(server: &Server) -> anyhow::Result<i64> {
    let mut conn = server.connect(DATABASE).await?;
    let count = sqlx::query_scalar(TRANSACTIONS).fetch_one(&mut conn).await?;
    conn.close().await?;
    Ok(count)
}

/// The statements in a piece of the server's log, most frequent first.
fn statements(log: &str, marker: &str) -> Vec<Statement> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for line in log.lines() {
        let Some((_, said)) = line.split_once(marker) else { continue };
        if let Some((kind, text)) = said.split_once(": ")
            && (kind == "statement" || kind.starts_with("execute "))
        {
            *counts.entry(text.chars().take(SHOWN).collect()).or_default() += 1;
        }
    }
    let mut statements: Vec<Statement> =
        counts.into_iter().map(|(text, count)| Statement { text, count }).collect();
    statements.sort_by_key(|statement| std::cmp::Reverse(statement.count));
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_the_database_are_counted_and_nothing_else() {
        let log = "2026-01-01 00:00:00.000 UTC [1] bench_idle LOG:  execute sqlx_s_1: SELECT 1\n\
                   \tFROM nowhere\n\
                   2026-01-01 00:00:00.000 UTC [1] bench_idle DETAIL:  parameters: $1 = '1'\n\
                   2026-01-01 00:00:01.000 UTC [1] bench_idle LOG:  execute sqlx_s_1: SELECT 1\n\
                   2026-01-01 00:00:01.000 UTC [2] bench_idle LOG:  statement: BEGIN\n\
                   2026-01-01 00:00:01.000 UTC [3] bench_other LOG:  statement: BEGIN\n\
                   2026-01-01 00:00:01.000 UTC [4]  LOG:  checkpoint starting: time\n";
        let found = statements(log, "bench_idle LOG:  ");
        let found: Vec<_> = found.iter().map(|found| (found.text.as_str(), found.count)).collect();
        assert_eq!(found, [("SELECT 1", 2), ("BEGIN", 1)]);
    }
}
