//! The keys of the calls that anybody may make, and where each run moves them.
//!
//! redis-benchmark can only make up numbers at random. So all contestants do: a random key, and a position whose
//! lower digits are random. Its higher digits are the number of the run, so that whatever a run before has left
//! is behind it, and the first call on each key moves it. There are ten times as many keys as calls one at a time.

use std::cell::Cell;

use anyhow::{Context, ensure};
use highwater::Position;
use highwater::redis::redis::{self, Connection};

/// What redis-benchmark replaces by a random number of twelve digits.
const RANDOM: &str = "__rand_int__";
const LOWER: u64 = 1_000_000_000_000;
/// Keys that are looked at after a run, and how many of them it must have moved at least; a twentieth to a tenth is
/// expected.
const LOOKED_AT: u32 = 2_000;
const LEAST_MOVED: usize = 20;
const PIPELINE: usize = 1_000;

/// The keys, and the number of the last run.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    pub(super) count: u32,
    last_run: Cell<u64>,
}

/// One run's positions are between those of the run before and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunNumber(u64);

impl Keys {
    pub(super) fn new(prefix: String, count: u32) -> Self {
        // Of as many digits to the end, so that all calls are of one length.
        Self { prefix, count, last_run: Cell::new(1_000) }
    }

    /// The next run.
    pub(super) fn run(&self) -> RunNumber {
        self.last_run.set(self.last_run.get() + 1);
        RunNumber(self.last_run.get())
    }

    /// Random calls of a run: keys and positions.
    pub(super) fn calls(&self, run: RunNumber, calls: u32) -> Vec<(String, Position)> {
        let mut rng = fastrand::Rng::with_seed(run.0);
        let mut random = || rng.u32(..self.count);
        (0..calls).map(|_| (key(random()), run.position(random()))).collect()
    }

    /// A key's name in the server.
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}{{highwater}}:checkpoint:{key}", self.prefix)
    }

    /// For redis-benchmark: the name of a random key, and a random position of a run.
    pub(super) fn pattern(&self, run: RunNumber) -> (String, String) {
        (self.name(RANDOM), format!("{}{RANDOM}", run.0))
    }

    /// Creates a checkpoint for each key.
    ///
    /// # Errors
    /// When the server does not take them.
    pub(super) fn seed(&self, connection: &mut Connection) -> anyhow::Result<()> {
        let numbers: Vec<u32> = (0..self.count).collect();
        for numbers in numbers.chunks(PIPELINE) {
            let mut commands = redis::pipe();
            for number in numbers {
                commands.cmd("HSET").arg(self.name(&key(*number)));
                commands.arg(&["commit", "0", "prepare", "0", "updated_at", "0"]).ignore();
            }
            commands.exec(connection).context("create checkpoints")?;
        }
        Ok(())
    }

    /// Deletes every key of ours, also those that others have made below our prefix.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(super) fn clear(&self, connection: &mut Connection) -> anyhow::Result<()> {
        let mut cursor = 0_u64;
        loop {
            let (next, names): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{}*", self.prefix))
                .arg("COUNT")
                .arg(PIPELINE)
                .query(connection)
                .context("look for our keys")?;
            if !names.is_empty() {
                redis::cmd("UNLINK").arg(names).exec(connection).context("delete our keys")?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Whether a run has moved keys.
    ///
    /// # Errors
    /// When it has not.
    pub(super) fn check(&self, connection: &mut Connection, run: RunNumber) -> anyhow::Result<()> {
        let mut commands = redis::pipe();
        for number in 0..self.count.min(LOOKED_AT) {
            commands.cmd("HGET").arg(self.name(&key(number))).arg("commit");
        }
        let commits: Vec<u64> = commands.query(connection).context("read checkpoints")?;
        let moved = commits.into_iter().filter(|commit| commit / LOWER == run.0).count();
        ensure!(moved >= LEAST_MOVED, "only {moved} of {LOOKED_AT} checkpoints were moved");
        Ok(())
    }
}

impl RunNumber {
    fn position(self, random: u32) -> Position {
        Position::new(self.0 * LOWER + u64::from(random), 0)
    }
}

fn key(number: u32) -> String {
    format!("{number:012}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_calls_look_as_those_of_redis_benchmark_do() {
        let keys = Keys::new("p:".to_owned(), 50);
        let (first, second) = (keys.run(), keys.run());
        let (name, commit) = keys.pattern(first);
        for (key, position) in keys.calls(first, 100) {
            assert_eq!(keys.name(&key).len(), name.len());
            assert_eq!(position.commit().to_string().len(), commit.len());
            assert!(key.parse::<u32>().is_ok_and(|number| number < 50));
            assert!(position < second.position(0), "a later run is ahead");
        }
    }
}
