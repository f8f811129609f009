//! The limit once more, run by the program that comes with the server: so that nobody has to trust our
//! driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use sqlx::Connection;
use tokio::runtime::Runtime;

use super::limit;
use crate::postgres::logs::Stretch;

/// What it prints behind its figure.
const RATE: &str = "tps = ";

/// Applies a stretch to `balance`; the seconds without those for connecting.
///
/// # Errors
/// When it cannot be run, or what it prints is not understood.
pub(crate) fn pgbench(
    runtime: &Runtime,
    (program, connection): &(PathBuf, Vec<String>),
    folder: &Path,
    url: &str,
    stretch: Stretch,
    batch: u32,
) -> anyhow::Result<f64> {
    runtime.block_on(async { anyhow::Ok(limit::prepare(url, stretch, batch).await?.conn.close().await?) })?;
    let script = folder.join("limit.sql");
    fs::write(&script, limit::CALL.replace("$1", ":size") + ";\n").context("write a script for pgbench")?;
    let transactions = stretch.events.div_ceil(batch);
    let output = Command::new(program)
        .args(["--no-vacuum", "--client=1", "--protocol=prepared", "--define", &format!("size={batch}")])
        .args(["--transactions", &transactions.to_string(), "--file"])
        .arg(&script)
        .args(connection)
        .stdin(Stdio::null())
        .output()
        .context("start pgbench")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    let rate = said.lines().find_map(|line| line.strip_prefix(RATE)?.split(' ').next()?.parse::<f64>().ok());
    let rate = rate.with_context(|| format!("pgbench printed no rate: {said}"))?;
    Ok(f64::from(transactions) / rate)
}
