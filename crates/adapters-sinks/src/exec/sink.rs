//! Hands each event to a program and waits for its answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use highwater_core::model::RecordedEvent;
use highwater_core::ports::Handler;
use highwater_core::{Error, ErrorKind, Failure, Retry, Verdict};

use super::answer::Answer;
use super::process::Process;
use super::settings::ExecSettings;
use crate::invalid::invalid;
use crate::line::write_line;

/// How long a program that broke the protocol may take to end by itself, so that its exit code and its last
/// words are known.
const SETTLE: Duration = Duration::from_secs(1);

const HAND_OVER: &str = "hand an event to the command";

/// Runs a program and hands it each event as a line of JSON ([`write_line`]); the program answers each with a
/// line of JSON, and only then gets the next.
///
/// # The protocol
/// On its standard input the program finds one event a line. For each it writes one line to its standard
/// output, and flushes it:
///
/// ```json
/// {"id":"48570000-0000-4000-8000-000000000007","ok":true}
/// {"id":"48570000-0000-4000-8000-000000000007","ok":false,"error":"no such customer","verdict":"park"}
/// {"id":"48570000-0000-4000-8000-000000000007","ok":false,"error":"busy","verdict":"retry","retry_after":30}
/// ```
///
/// * `id`: the event's, so that an answer too many can never acknowledge an event that nobody has handled.
/// * `ok`: `true` once the effect is durable; `false` where there is none.
/// * `error`: the reason, for logs and dead letters (its first 1,000 characters).
/// * `verdict`: what should happen; left out, the event is retried in order a few times, then the failure
///   policy acts. `retry`: a passing fault, waited out however long, `retry_after` seconds at least where it
///   is given; `park`: this event can never be handled; `skip`: leave it out, with a record; `stop`: stop the
///   runner.
///
/// A line is at most 64 KiB. Nothing else may be written to standard output; what the program writes to
/// standard error goes to the log, line by line (level INFO, fields `command`, `pid`, `line`). An event may
/// come again, after a crash or a time-out: the program tells that by its id. A shell script is enough:
///
/// ```sh
/// while IFS= read -r line; do
///     id=${line#\{\"id\":\"}; id=${id%%\"*}           # the id is always the first key
///     if printf '%s\n' "$line" | curl -sSf -d @- https://example.com/ >&2
///     then printf '{"id":"%s","ok":true}\n' "$id"
///     else printf '{"id":"%s","ok":false,"error":"curl failed","verdict":"retry"}\n' "$id"
///     fi
/// done
/// ```
///
/// # What goes wrong
/// * `ok: false`: what the verdict says, else unclassified. The program goes on.
/// * It ends, or closes a stream, before it has answered: unclassified, and the next attempt starts it again.
///   Its exit code may say more: 75 (`EX_TEMPFAIL`) is transient, 78 (`EX_CONFIG`) fatal.
/// * It says what is no answer to the event: unclassified. It is ended, and started by the next attempt.
/// * It gives no answer within `timeout`: unclassified, since, run alone, it is this event that takes too
///   long. It is killed, and started by the next attempt.
/// * It ends between two events, or with exit code 0 in place of an answer to its second event or a later
///   one: nothing, it has done its share. It is started again at once.
/// * It is not there, or may not be run: fatal. The system cannot start a process now: transient.
///
/// Unclassified, because an event that makes a program fall and a program that falls at every event look
/// alike at first: the runner counts, and tells a bad event from an outage.
///
/// # The process
/// It is started with the first event and runs until the sink is dropped or closed: then its standard input
/// ends, it has the grace time to finish, and is killed. On Unix it leads a process group of its own, and all
/// of the group is killed. There is one at a time; calls that come together wait for each other.
///
/// # Cancellation
/// A call that is dropped ends the process as a drop of the sink does, since a line may be in the pipe by
/// half; the next call waits for that end and starts another.
pub struct ExecSink {
    settings: ExecSettings,
    slot: Mutex<Option<Process>>,
    /// Held by each process to its end, so that two never work on one event.
    alone: Arc<Semaphore>,
}

impl ExecSink {
    /// A sink of these settings. The program is started with the first event.
    ///
    /// # Errors
    /// `Invalid`, naming every violation.
    pub fn new(settings: ExecSettings) -> Result<Self, Error> {
        settings.validate().map_err(|violations| invalid("set up the exec sink", &violations))?;
        Ok(Self { settings, slot: Mutex::new(None), alone: Arc::new(Semaphore::new(1)) })
    }

    /// Ends the program in order, and waits for it: at most the grace time, and what killing takes. A drop
    /// does the same in the background, which does not survive the end of the runtime: then the program is
    /// killed at once. An event that is handed over afterwards starts it again.
    pub async fn close(&self) {
        let mut slot = self.slot.lock().await;
        if let Some(process) = slot.take() {
            process.end(self.settings.grace).await;
        }
        // One that a dropped call has left behind may still be ending. The semaphore is never closed.
        drop(self.alone.acquire().await);
    }

    async fn give(&self, event: &RecordedEvent) -> Result<(), Failure> {
        let mut line = Vec::new();
        write_line(&mut line, event);
        let mut slot = self.slot.lock().await;
        loop {
            // Taken out: if this call is dropped, the process ends with it.
            let mut process = self.ready(&mut slot).await?;
            let exchanged = timeout(self.settings.timeout, process.exchange(&line, event.id())).await;
            let before = process.has_answered();
            match exchanged {
                Ok(Ok(answer)) => {
                    *slot = Some(process);
                    return self.result(event, answer);
                }
                Ok(Err(fault)) => {
                    let (end, words) = process.end(SETTLE.min(self.settings.grace)).await;
                    // It was on its way out after the event before; a fresh one takes this event.
                    if before && fault.is_farewell(&end) {
                        continue;
                    }
                    let error = self.error(fault.kind(&end), event).with("end", end);
                    return Err(with_last_words(error, &words).because(fault.to_string()).into());
                }
                Err(_) => {
                    let (_, words) = process.end(Duration::ZERO).await;
                    let error = self.error(ErrorKind::Timeout, event);
                    let error = error.with("timeout", format!("{:?}", self.settings.timeout));
                    let why = "it gave no answer in time and was killed";
                    return Err(with_last_words(error, &words).because(why).into());
                }
            }
        }
    }

    /// The running program; started if there is none.
    async fn ready(&self, slot: &mut Option<Process>) -> Result<Process, Error> {
        if let Some(mut process) = slot.take() {
            if !process.has_ended() {
                return Ok(process);
            }
            process.end(Duration::ZERO).await;
        }
        let waiting = Arc::clone(&self.alone).acquire_owned();
        match timeout(self.settings.timeout, waiting).await {
            Ok(Ok(alone)) => Process::start(&self.settings, alone),
            Ok(Err(_)) => Err(Error::new(ErrorKind::Closed, "start the command")),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "start the command")
                .with("command", self.settings.program())
                .because("the process before it has not ended yet")),
        }
    }

    fn result(&self, event: &RecordedEvent, answer: Answer) -> Result<(), Failure> {
        let Answer::Failed { reason, verdict, retry_after } = answer else { return Ok(()) };
        let kind = if verdict == Some(Verdict::Retry) { ErrorKind::Unavailable } else { ErrorKind::Other };
        let mut error = self.error(kind, event).because(reason);
        if let Some(wait) = retry_after {
            error = error.retry(Retry::After(wait));
        }
        let failure = Failure::new(error);
        Err(match verdict {
            Some(verdict) => failure.verdict(verdict),
            None => failure,
        })
    }

    fn error(&self, kind: ErrorKind, event: &RecordedEvent) -> Error {
        Error::new(kind, HAND_OVER).with("command", self.settings.program()).with("event", event.id())
    }
}

fn with_last_words(error: Error, words: &str) -> Error {
    if words.is_empty() { error } else { error.with("last words", format!("\"{words}\"")) }
}

impl Handler for ExecSink {
    async fn handle(&self, event: &RecordedEvent) -> Result<(), Failure> {
        self.give(event).await
    }
}

impl fmt::Debug for ExecSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSink").field("settings", &self.settings).finish_non_exhaustive()
    }
}
