//! Many checkpoints through the persistence worker, and the same calls through `redis-cli --pipe`, which sends as fast
//! as the server reads and never waits for an answer.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use highwater::core::ports::{
    Clock, GroupClaim, NoObserver, OwnedAdvance, OwnedCheckpoints, OwnedEntry, PersistTarget,
};
use highwater::redis::RedisCheckpoints;
use highwater::redis::redis::{self, Connection};
use highwater::{Environment, Error, ErrorKind, Persistence, PersistenceSettings, Position, TokioClock};
use tokio::task::JoinSet;

use super::keys::Keys;
use super::scripts::{ADVANCE, advance_call, hash, resp};
use crate::measure::timed;

const OWNER: &str = "process 1 on a host of the benchmark (00000000)";
const EPOCH: u64 = 1;
const LEASE: Duration = Duration::from_secs(3_600);
/// Claims under way at a time, while everything is made ready.
const CLAIMS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys that are claimed, all of which each run moves by one.
#[derive(Debug)]
pub(super) struct Claimed {
    store: RedisCheckpoints,
    keys: Vec<String>,
    /// Where the present run moves them.
    to: AtomicU64,
}

impl Claimed {
    /// Claims so many keys.
    ///
    /// # Errors
    /// When the server does not let us.
    pub(super) async fn claim(store: RedisCheckpoints, count: u32) -> anyhow::Result<Arc<Self>> {
        let keys: Vec<String> = (0..count).map(|number| format!("group-{number:06}")).collect();
        let mut claims = JoinSet::new();
        for key in keys.clone() {
            let store = store.clone();
            claims.spawn(async move { store.claim(&key, OWNER, LEASE).await });
            if claims.len() == CLAIMS {
                won(&mut claims).await?;
            }
        }
        while !claims.is_empty() {
            won(&mut claims).await?;
        }
        let this = Arc::new(Self { store, keys, to: AtomicU64::new(0) });
        // The first run creates the checkpoints, and calls the script for the first time.
        this.clone().flush().await?;
        Ok(this)
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.keys.len()).unwrap_or(u32::MAX)
    }

    fn next_run(&self) -> u64 {
        self.to.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Marks every key once, as fast as the worker has room for it, and waits until all are written. As in the
    /// product, at most a thousand wait at a time, and a hundred leave together.
    ///
    /// # Errors
    /// When a key is not written.
    pub(super) async fn flush(self: Arc<Self>) -> anyhow::Result<f64> {
        self.next_run();
        let settings = PersistenceSettings::default();
        let (environment, observer) = (Environment::new(), Arc::new(NoObserver));
        let worker = Persistence::start("Redis", self.clone(), settings, &environment, observer)?;
        let clock = TokioClock::new();
        let begun = clock.now();
        for key in &self.keys {
            worker.request_within(key, PATIENCE).await?;
        }
        let report = worker.force(None, None, false).await?;
        let seconds = clock.now().since(begun).as_secs_f64();
        let stats = worker.stats();
        ensure!(report.is_complete() && stats.pending == 0, "not all was written: {:?}", stats.last_error);
        ensure!(stats.successful == u64::from(self.count()), "{} keys were written", stats.successful);
        worker.shutdown().await;
        Ok(seconds)
    }

    /// Moves the same keys with the same script through `redis-cli --pipe`, so many of them in a call. What it takes
    /// to start and to end is not counted: the same without a call, right before.
    ///
    /// # Errors
    /// When it cannot be run, or a call fails.
    pub(super) fn pipe(
        &self,
        (program, url): (&Path, &str),
        names: &Keys,
        folder: &Path,
        keys_a_call: usize,
    ) -> anyhow::Result<f64> {
        let to = self.next_run();
        let (hash, holder) = (hash(ADVANCE), (OWNER, EPOCH, LEASE.as_micros()));
        let mut calls = Vec::new();
        for keys in self.keys.chunks(keys_a_call) {
            let names: Vec<String> = keys.iter().map(|key| names.name(key)).collect();
            calls.extend(resp(&advance_call(&hash, &names, holder, to)));
        }
        let count = self.keys.len().div_ceil(keys_a_call);
        let file = folder.join("calls");
        fs::write(&file, calls).context("write the calls")?;
        let open = || File::open(&file).with_context(|| format!("open {}", file.display()));
        let start_and_end = timed(|| pipe(program, url, Stdio::null(), 0))?;
        let calls = Stdio::from(open()?);
        let seconds = timed(|| pipe(program, url, calls, count))? - start_and_end;
        ensure!(seconds > 0.0, "redis-cli needs longer to start than for the calls: ask for more --events");
        Ok(seconds)
    }

    /// Whether the last run has moved every key.
    ///
    /// # Errors
    /// When it has not.
    pub(super) fn check(&self, connection: &mut Connection, names: &Keys) -> anyhow::Result<()> {
        let to = self.to.load(Ordering::Relaxed);
        for keys in self.keys.chunks(1_000) {
            let mut commands = redis::pipe();
            for key in keys {
                commands.cmd("HGET").arg(names.name(key)).arg("commit");
            }
            let commits: Vec<u64> = commands.query(connection).context("read checkpoints")?;
            ensure!(commits.iter().all(|commit| *commit == to), "a checkpoint is not at {to}");
        }
        Ok(())
    }
}

async fn won(claims: &mut JoinSet<Result<GroupClaim, Error>>) -> anyhow::Result<()> {
    let Some(claim) = claims.join_next().await else { return Ok(()) };
    let claim = claim.context("claim a key")??;
    ensure!(matches!(claim, GroupClaim::Won { epoch: EPOCH, .. }), "a new key is not ours: {claim:?}");
    Ok(())
}

fn pipe(program: &Path, url: &str, calls: Stdio, count: usize) -> anyhow::Result<()> {
    let output =
        Command::new(program).args(["-u", url, "--pipe"]).stdin(calls).output().context("start redis-cli")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let all_is_well = said.contains(&format!("errors: 0, replies: {count}\n"));
    ensure!(
        output.status.success() && all_is_well,
        "redis-cli --pipe failed: {said} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// What the board of the runners does with the keys of a call.
#[async_trait]
impl PersistTarget for Claimed {
    async fn persist(&self, keys: &[String]) -> Result<Vec<Result<(), Error>>, Error> {
        let to = Position::new(self.to.load(Ordering::Relaxed), 0);
        let entries: Vec<_> =
            keys.iter().map(|key| OwnedEntry { key: key.clone(), epoch: EPOCH, to: Some(to) }).collect();
        let answers = self.store.advance_owned(OWNER, LEASE, &entries).await?;
        let answer = |answer| match answer {
            OwnedAdvance::Owned(_) => Ok(()),
            OwnedAdvance::Lost => Err(Error::new(ErrorKind::LostOwnership, "write a checkpoint")),
        };
        Ok(answers.into_iter().map(answer).collect())
    }
}
