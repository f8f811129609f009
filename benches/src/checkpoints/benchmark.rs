//! The same calls by `redis-benchmark`, the program that comes with the server: one connection, and nothing between
//! it and the socket.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use highwater::redis::redis::Connection;

use super::keys::{Keys, RunNumber};
use super::run::Run;
use super::scripts::{SET, hash, set_call};
use super::server::info;

/// What counts the calls of scripts in the server.
const COUNTER: &str = "cmdstat_evalsha";

/// Makes so many calls, `pipeline` of them in one flight.
///
/// # Errors
/// When it cannot be run, what it prints is not understood, or the server has refused calls.
pub(super) fn run(
    program: &Path,
    url: &str,
    connection: &mut Connection,
    keys: &Keys,
    number: RunNumber,
    (calls, pipeline): (u32, u32),
) -> anyhow::Result<Run> {
    let (name, commit) = keys.pattern(number);
    let before = counted(connection)?;
    let output = Command::new(program)
        .args(["-u", url, "-c", "1", "--csv", "-P", &pipeline.to_string()])
        .args(["-n", &calls.to_string(), "-r", &keys.count.to_string()])
        .args(set_call(&hash(SET), &name, &commit))
        .stdin(Stdio::null())
        .output()
        .context("start redis-benchmark")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "redis-benchmark failed: {}", complained.trim());
    // It goes on after an error, and says so.
    ensure!(!complained.contains("Error from server"), "the server has refused calls: {}", complained.trim());
    let (rate, p99) = read(&said).with_context(|| format!("redis-benchmark printed no rate: {said}"))?;
    let arrived = counted(connection)? - before;
    // Of a server that others use, too, it may have counted more.
    ensure!(arrived >= u64::from(calls), "only {arrived} of {calls} calls arrived");
    Ok(Run { seconds: f64::from(calls) / rate, p99 })
}

/// The last line: the test's name, calls a second, and latencies in milliseconds: mean, least, p50, p95, p99, most.
fn read(said: &str) -> Option<(f64, Duration)> {
    let line = said.lines().rfind(|line| !line.trim().is_empty())?;
    let mut values = line.trim().trim_matches('"').rsplit("\",\"").map(str::parse::<f64>);
    let (_most, p99) = (values.next()?.ok()?, values.next()?.ok()?);
    let rate = values.nth(4)?.ok()?;
    Some((rate, Duration::try_from_secs_f64(p99 / 1e3).ok()?))
}

/// Calls of scripts so far.
fn counted(connection: &mut Connection) -> anyhow::Result<u64> {
    let stats = info(connection, "commandstats", COUNTER)?.unwrap_or_default();
    let calls = stats.split(',').find_map(|pair| pair.strip_prefix("calls="));
    calls.map_or(Ok(0), str::parse).context("read the server's counters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_prints_is_understood() {
        let said = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\
                    \"p99_latency_ms\",\"max_latency_ms\"\n\
                    \"EVALSHA a 1 b 1__rand_int__ 0  0\",\"37735.85\",\"0.022\",\"0.016\",\"0.023\",\"0.031\",\
                    \"0.047\",\"0.135\"\n";
        assert_eq!(read(said), Some((37_735.85, Duration::from_micros(47))));
        assert_eq!(read(said.lines().next().unwrap()), None, "headings are no rate");
        assert_eq!(read(""), None);
    }
}
