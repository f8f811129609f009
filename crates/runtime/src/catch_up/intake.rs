//! First stage: pieces of the log, read while earlier ones are handled.
//!
//! A read that has begun goes on while the runner does other things, and is never begun anew because a lane
//! has finished meanwhile. Its rest before (a hint or the poll timer where the log has ended, a backoff where
//! it failed) is part of it. After a failure the log is opened again behind what was read: nothing is passed
//! over, and what comes a second time is dropped (B-7, B-13).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use highwater_core::model::{Filter, Position, RecordedEvent};
use highwater_core::policy::{Backoff, Class, jittered};
use highwater_core::ports::{Clock, EventBatch, EventLog, EventReader, Limit};
use highwater_core::progress::processed_before;
use highwater_core::{Error, ErrorKind};

use super::runner::CatchUpRunner;
use crate::environment::Environment;

/// What a read brought.
pub(super) enum News {
    Batch {
        events: Vec<RecordedEvent>,
        duplicates: u64,
        scanned: Option<Position>,
    },
    /// It failed, and will be tried again.
    Trouble {
        error: Error,
        after: Duration,
        attempt: u32,
    },
    /// It failed for good.
    Fault(Error),
}

pub(super) struct Intake {
    log: Arc<dyn EventLog>,
    filter: Filter,
    environment: Environment,
    poll_interval: Duration,
    backoff: Backoff,
    /// Everything up to here was read.
    through: Option<Position>,
    /// Reading ends here; `None` = never.
    until: Option<Position>,
    /// The log is to be compared with what was read of it when it is opened (E-7).
    check: bool,
    stage: Stage,
    rest: Rest,
    caught_up: bool,
    attempt: u32,
}

type Reader = Box<dyn EventReader>;

enum Stage {
    /// Nothing is under way; the reader, if the log is open.
    Idle(Option<Reader>),
    Reading(BoxFuture<'static, (Option<Reader>, Result<EventBatch, Error>)>),
    Done,
}

/// What comes before a read.
#[derive(Clone, Copy)]
enum Rest {
    No,
    ForEvents(Duration),
    Pause(Duration),
}

impl Intake {
    /// An intake of what is behind `after`. With `until` it ends there, or where the log ends.
    pub(super) fn new(
        runner: &CatchUpRunner,
        after: Option<Position>,
        until: Option<Position>,
        check: bool,
    ) -> Self {
        let done = until.is_some() && until <= after;
        Self {
            log: runner.log.clone(),
            filter: runner.filter.clone(),
            environment: runner.environment.clone(),
            poll_interval: runner.settings.poll_interval,
            backoff: runner.settings.backoff(),
            through: after,
            until,
            check,
            stage: if done { Stage::Done } else { Stage::Idle(None) },
            rest: Rest::No,
            caught_up: done,
            attempt: 0,
        }
    }

    /// The last read reached the end of the log, or where reading ends.
    pub(super) fn caught_up(&self) -> bool {
        self.caught_up
    }

    /// There will be no more.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// How often in a row reading has failed.
    pub(super) fn failed(&self) -> u32 {
        self.attempt
    }

    /// Reads on. Dropping the future keeps what is under way; a limit holds for the read that it begins.
    pub(super) async fn next(&mut self, limit: Limit) -> News {
        if let Stage::Idle(reader) = &mut self.stage {
            let read = Read {
                log: self.log.clone(),
                filter: self.filter.clone(),
                clock: self.environment.clock.clone(),
                reader: reader.take(),
                after: self.through,
                check: self.check,
            };
            self.stage = Stage::Reading(Box::pin(read.run(self.rest, limit)));
        }
        let (reader, came) = match &mut self.stage {
            Stage::Reading(reading) => reading.await,
            Stage::Idle(_) | Stage::Done => std::future::pending().await,
        };
        self.stage = Stage::Idle(reader);
        match came {
            Ok(batch) => self.took(batch),
            Err(error) => self.failed_with(error),
        }
    }

    fn took(&mut self, batch: EventBatch) -> News {
        let EventBatch { mut events, mut scanned, caught_up } = batch;
        self.attempt = 0;
        self.check = false;
        let duplicates = processed_before(&events, self.through);
        events.drain(..duplicates);
        self.caught_up = caught_up;
        if let Some(until) = self.until {
            let wanted = processed_before(&events, self.until);
            if caught_up || wanted < events.len() || scanned >= self.until {
                events.truncate(wanted);
                scanned = scanned.map(|scanned| scanned.min(until));
                self.caught_up = true;
                self.stage = Stage::Done;
            }
        }
        let last = events.last().map(RecordedEvent::position);
        scanned = scanned.max(last);
        self.through = self.through.max(scanned);
        self.rest = if caught_up {
            Rest::ForEvents(jittered(self.poll_interval, self.environment.jitter.next_u64()))
        } else {
            Rest::No
        };
        News::Batch { events, duplicates: u64::try_from(duplicates).unwrap_or(u64::MAX), scanned }
    }

    fn failed_with(&mut self, error: Error) -> News {
        // It may be another log when it is back.
        self.stage = Stage::Idle(None);
        self.check = true;
        if self.environment.classifier.error(&error).class == Class::Fatal {
            self.stage = Stage::Done;
            return News::Fault(error);
        }
        let after = self.backoff.delay(self.attempt, self.environment.jitter.next_u64());
        self.attempt = self.attempt.saturating_add(1);
        self.rest = Rest::Pause(after);
        News::Trouble { error, after, attempt: self.attempt }
    }
}

/// One read, with what comes before it.
struct Read {
    log: Arc<dyn EventLog>,
    filter: Filter,
    clock: Arc<dyn Clock>,
    reader: Option<Reader>,
    after: Option<Position>,
    check: bool,
}

impl Read {
    async fn run(mut self, rest: Rest, limit: Limit) -> (Option<Reader>, Result<EventBatch, Error>) {
        match rest {
            Rest::No => {}
            Rest::Pause(pause) => self.clock.sleep(pause).await,
            Rest::ForEvents(poll) => self.wait(poll).await,
        }
        let opened = match self.reader.take() {
            Some(reader) => Ok(reader),
            None => open(&*self.log, &self.filter, self.after, self.check).await,
        };
        match opened {
            Ok(mut reader) => {
                let came = reader.next(limit).await;
                (Some(reader), came)
            }
            Err(error) => (None, Err(error)),
        }
    }

    async fn wait(&mut self, poll: Duration) {
        let deaf = match &mut self.reader {
            None => false,
            Some(reader) => tokio::select! {
                biased;
                hint = reader.wait() => hint.is_err(),
                () = self.clock.sleep(poll) => false,
            },
        };
        if deaf {
            // A log that cannot be watched is polled.
            self.clock.sleep(poll).await;
        }
    }
}

/// Opens the log behind `after`; with `check` only a log that goes as far as that.
async fn open(
    log: &dyn EventLog,
    filter: &Filter,
    after: Option<Position>,
    check: bool,
) -> Result<Reader, Error> {
    if check && let Some(after) = after {
        let head = log.head().await?;
        if head.is_none_or(|head| head < after) {
            let ends = head.map_or_else(|| "is empty".to_owned(), |head| format!("ends at {head}"));
            return Err(Error::new(
                ErrorKind::CheckpointMismatch,
                format!(
                    "resume from the checkpoint: it stands at {after} and the log {ends}; this is another log, or it \
                     was restored from a backup: name the right one, or reset the checkpoint to where the handler is \
                     to go on, or trust the checkpoint, if you know that the log goes on from there"
                ),
            ));
        }
    }
    log.open(after, filter).await
}
