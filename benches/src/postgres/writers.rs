//! Eight writers that append, one event a call, and how long each call takes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use highwater::core::ports::Clock;
use highwater::postgres::PgLog;
use highwater::{Append, AppendEvents, Expected, NewEvent, TokioClock};

use crate::data::{EVENT_TYPE, STREAMS, account, payload};

pub(crate) const WRITERS: u32 = 8;

/// How long, and how fast.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) time: Duration,
    /// Calls a second, of all writers together; `None` = as many as they can.
    pub(crate) rate: Option<f64>,
}

/// What the writers saw.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// How long each call took.
    pub(crate) calls: Vec<Duration>,
    /// How long it took in all.
    pub(crate) time: Duration,
}

impl Written {
    /// Calls a second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.calls.len()).unwrap_or(u32::MAX)) / self.time.as_secs_f64()
    }
}

/// Runs the writers. No two append to the same stream, so that they wait for nothing but the log.
///
/// # Errors
/// When an append fails.
pub(crate) async fn run(log: &Arc<PgLog>, load: Load) -> anyhow::Result<Written> {
    let clock = TokioClock::new();
    let started = clock.now();
    let tasks: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write(log.clone(), load, writer))).collect();
    let mut calls = Vec::new();
    for task in tasks {
        calls.extend(task.await.context("a writer ended")??);
    }
    Ok(Written { calls, time: clock.now().since(started) })
}

async fn write(log: Arc<PgLog>, load: Load, writer: u32) -> anyhow::Result<Vec<Duration>> {
    let clock = TokioClock::new();
    let mut rng = fastrand::Rng::with_seed(u64::from(writer));
    let started = clock.now();
    let end = started + load.time;
    let pause = load.rate.map(|rate| Duration::from_secs_f64(f64::from(WRITERS) / rate));
    // Writers that are paced begin one after the other.
    let mut due = started + pause.map_or(Duration::ZERO, |pause| pause * writer / WRITERS);
    let mut calls = Vec::new();
    loop {
        if let Some(pause) = pause {
            let left = due.since(clock.now());
            if !left.is_zero() {
                clock.sleep(left).await;
            }
            due = due + pause;
        }
        let began = clock.now();
        if began >= end {
            return Ok(calls);
        }
        let stream = rng.u32(..STREAMS / WRITERS) * WRITERS + writer;
        let event = NewEvent::json(EVENT_TYPE, payload(&mut rng, stream));
        log.append(&[append(account(stream), event)]).await?;
        calls.push(clock.now().since(began));
    }
}

/// An append of one event, wherever the stream is.
pub(crate) fn append(stream: String, event: NewEvent) -> Append {
    Append { stream: stream.into(), category: None, expected: Expected::Any, events: vec![event] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_writer_has_as_many_streams_of_its_own() {
        assert_eq!(STREAMS % WRITERS, 0);
    }
}
