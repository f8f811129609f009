//! Events as lines on standard output, for a pipe or a file.
//!
//! A thread of its own does the writing. Standard output may block for as long as nobody reads it, and
//! neither the async threads nor the end of the process may wait for that; and a line that was begun is
//! written to its end even where the call that asked for it was given up, so that no half line stands before
//! the next one.

use std::fmt;
use std::io::{self, Write};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use highwater_core::model::RecordedEvent;
use highwater_core::ports::Handler;
use highwater_core::{Error, ErrorKind, Failure, Verdict};

use crate::line::write_line;

/// Lines are handed to the writing thread when they have come to this many bytes; bounds memory.
const PIECE: usize = 1 << 20;

/// Writes each event as a line ([`write_line`]) to standard output, or to another writer.
///
/// An event counts as handled when its line was written and flushed: the operating system has it. Whether the
/// program at the other end of a pipe has read it, nobody can say; where that matters, let that program run
/// under an `ExecSink`, which waits for an answer to each event.
///
/// # Failures
/// * The reader has closed the pipe (`| head`): fatal, the runner stops with this event unhandled.
/// * Anything else, such as a full disk behind a redirection: transient. A line that was cut by it is ended,
///   so that the next attempt begins on a line of its own; a reader finds one line there that is no event.
///
/// While nobody reads, a call waits without limit: the time-out is the runner's.
pub struct StdoutSink {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    lines: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
}

impl StdoutSink {
    /// Writes to this process's standard output. Nothing else may write there meanwhile: logs belong on
    /// standard error.
    ///
    /// # Errors
    /// `Unavailable` when the system gives no thread.
    pub fn new() -> Result<Self, Error> {
        Self::to_writer(io::stdout())
    }

    /// Writes to this writer instead. It is flushed after each event or batch, and dropped some time after
    /// the sink.
    ///
    /// # Errors
    /// `Unavailable` when the system gives no thread.
    pub fn to_writer(writer: impl Write + Send + 'static) -> Result<Self, Error> {
        let (jobs, inbox) = mpsc::channel(1);
        thread::Builder::new()
            .name("highwater-stdout".to_owned())
            .spawn(move || write_jobs(writer, inbox))
            .map_err(|error| {
            Error::new(ErrorKind::Unavailable, "start the thread that writes to standard output")
                .because(error)
        })?;
        Ok(Self { jobs })
    }

    async fn write(&self, lines: Vec<u8>) -> Result<(), Failure> {
        let (done, answer) = oneshot::channel();
        let ended = || stopped(Error::new(ErrorKind::Closed, WRITE).because("the writing thread has ended"));
        self.jobs.send(Job { lines, done }).await.map_err(|_| ended())?;
        match answer.await.map_err(|_| ended())? {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(stopped(Error::new(ErrorKind::Closed, WRITE).because("its reader has closed the pipe")))
            }
            Err(error) => Err(Error::new(ErrorKind::Unavailable, WRITE).because(error).into()),
        }
    }
}

const WRITE: &str = "write an event to standard output";

fn stopped(error: Error) -> Failure {
    Failure::new(error).verdict(Verdict::Stop)
}

/// Ends when the sink is gone and everything that it handed over is written.
fn write_jobs(mut writer: impl Write, mut inbox: mpsc::Receiver<Job>) {
    let mut cut = false;
    while let Some(Job { lines, done }) = inbox.blocking_recv() {
        let written = write_whole(&mut writer, &lines, cut);
        cut = written.is_err();
        if done.send(written).is_err() {
            tracing::trace!("a line was written that nobody waits for any more");
        }
    }
}

fn write_whole(writer: &mut impl Write, lines: &[u8], cut: bool) -> io::Result<()> {
    if cut {
        writer.write_all(b"\n")?;
    }
    writer.write_all(lines)?;
    writer.flush()
}

impl Handler for StdoutSink {
    async fn handle(&self, event: &RecordedEvent) -> Result<(), Failure> {
        let mut line = Vec::new();
        write_line(&mut line, event);
        self.write(line).await
    }

    async fn handle_batch(&self, events: &[RecordedEvent]) -> Result<(), Failure> {
        let mut written = 0;
        let mut lines = Vec::new();
        for (index, event) in events.iter().enumerate() {
            write_line(&mut lines, event);
            if lines.len() >= PIECE || index + 1 == events.len() {
                // No failure here is about an event: the first that was not written stands for all.
                let piece = std::mem::take(&mut lines);
                self.write(piece).await.map_err(|failure| failure.at(written))?;
                written = index + 1;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for StdoutSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdoutSink").finish_non_exhaustive()
    }
}
