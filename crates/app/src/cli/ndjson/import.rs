//! The import: one thread reads and parses while the log takes what was parsed before.
//!
//! A chunk is appended in one call, so it is in the log as a whole or not at all. Nothing has to be undone
//! when an import ends in the middle: importing the same file again skips what is in, by the events' ids.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use highwater_core::model::{Append, Appended};
use highwater_core::ports::AppendEvents;
use highwater_core::{Error, ErrorKind};

use crate::cli::patience::patiently;

use super::chunks::{BadLine, Chunk, Chunks, Stop};
use super::source::Source;

/// Chunks that are parsed and wait; bounds memory to this times the size of a chunk.
const AHEAD: usize = 3;

/// Bad lines that are kept for the report; the others are only counted.
const BAD_KEPT: usize = 100;

/// How an import goes about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImportOptions {
    /// Events appended in one call: all of them or none.
    pub(crate) batch: NonZeroUsize,
    /// Lines that are no events, and events that the log refuses for what they are, are counted and left out.
    pub(crate) skip_bad_lines: bool,
}

/// What an import did.
#[derive(Debug, Default, Clone)]
pub(crate) struct Imported {
    /// Events that are in the log now and were not before.
    pub(crate) appended: u64,
    /// Events that were in the log already, with the same content.
    pub(crate) already_there: u64,
    /// Lines that were skipped.
    pub(crate) bad: u64,
    /// The first of them.
    pub(crate) bad_lines: Vec<BadLine>,
    /// The last line of which all before it is in the log or was skipped.
    pub(crate) through_line: u64,
}

impl Imported {
    fn settled(&mut self, lines: &[u64], appended: &[Appended]) {
        for one in appended {
            if one.duplicate { self.already_there += 1 } else { self.appended += 1 }
        }
        if let Some(last) = lines.last() {
            self.through_line = self.through_line.max(*last);
        }
    }

    fn skipped(&mut self, line: BadLine) {
        self.bad += 1;
        self.through_line = self.through_line.max(line.line);
        if self.bad_lines.len() < BAD_KEPT {
            self.bad_lines.push(line);
        }
    }
}

/// Why an import did not reach the end of its source.
#[derive(Debug)]
pub(crate) enum Interrupted {
    /// A line is no event.
    Bad(BadLine),
    /// The source could not be read on; the text says why.
    Read(String),
    /// The log refused; the line that it refused, where it is one.
    Append(Option<u64>, Error),
    /// The reading thread ended unexpectedly.
    Reader(Error),
    /// It was asked to stop.
    Stopped,
}

/// Appends all events of `source`. `progress` is called after each chunk.
///
/// # Errors
/// Why it ended early. The first value says what was done in either case: what it counts is in the log.
pub(crate) async fn import(
    log: &dyn AppendEvents,
    source: Source,
    options: ImportOptions,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(&Imported),
) -> (Imported, Result<(), Interrupted>) {
    let gzip = source.is_gzip();
    let (give, mut take) = mpsc::channel(AHEAD);
    let reader = spawn_blocking(move || {
        for chunk in Chunks::new(source.into_reader(), options.batch, options.skip_bad_lines) {
            if give.blocking_send(chunk).is_err() {
                return; // nobody takes them any more
            }
        }
    });
    let mut done = Imported::default();
    let mut stop = pin!(stop);
    let ended = loop {
        let next = tokio::select! {
            biased;
            () = &mut stop => break Err(Interrupted::Stopped),
            next = take.recv() => next,
        };
        match next {
            Some(Ok(chunk)) => {
                let appended = append(log, chunk, options.skip_bad_lines, &mut done).await;
                progress(&done);
                if let Err(interrupted) = appended {
                    break Err(interrupted);
                }
            }
            Some(Err(Stop::Bad(line))) => break Err(Interrupted::Bad(line)),
            Some(Err(Stop::Read(error))) => break Err(Interrupted::Read(Source::explain(gzip, &error))),
            None => break Ok(()),
        }
    };
    take.close();
    drop(take);
    // A reader that waits for standard input ends with the process; nothing is lost by not waiting for it.
    if ended.is_ok()
        && let Err(error) = reader.await
    {
        let error = Error::new(ErrorKind::Other, "read the lines").because(error);
        return (done, Err(Interrupted::Reader(error)));
    }
    (done, ended)
}

async fn append(
    log: &dyn AppendEvents,
    chunk: Chunk,
    skip_bad: bool,
    done: &mut Imported,
) -> Result<(), Interrupted> {
    let Chunk { appends, lines, mut bad } = chunk;
    let appended = append_good(log, &appends, &lines, skip_bad, done, &mut bad).await;
    // Reported in the order of the file, whoever refused them; and none that an interrupted import did not reach.
    bad.sort_by_key(|line| line.line);
    let reached = match &appended {
        Ok(()) => u64::MAX,
        Err(Interrupted::Append(Some(line), _)) => *line,
        Err(_) => done.through_line,
    };
    for line in bad.into_iter().take_while(|line| line.line < reached) {
        done.skipped(line);
    }
    appended
}

/// Appends what is an event; what the log refuses for what it is becomes a bad line.
async fn append_good(
    log: &dyn AppendEvents,
    appends: &[Append],
    lines: &[u64],
    skip_bad: bool,
    done: &mut Imported,
    bad: &mut Vec<BadLine>,
) -> Result<(), Interrupted> {
    let mut from = 0;
    while from < appends.len() {
        let (rest, rest_lines) = (&appends[from..], &lines[from..]);
        let error = match patiently(|| log.append(rest)).await {
            Ok(appended) => {
                done.settled(rest_lines, &appended);
                break;
            }
            Err(error) => error,
        };
        let culprit = culprit(&error, rest);
        let Some(index) = culprit.filter(|_| skip_bad && is_about_the_event(error.kind())) else {
            return Err(Interrupted::Append(culprit.map(|index| rest_lines[index]), error));
        };
        if index > 0 {
            let before = patiently(|| log.append(&rest[..index])).await;
            let appended = before.map_err(|error| Interrupted::Append(None, error))?;
            done.settled(&rest_lines[..index], &appended);
        }
        bad.push(BadLine { line: rest_lines[index], what: error.chain() });
        from += index + 1;
    }
    Ok(())
}

/// The append that failed, as the log says in the error's context.
fn culprit(error: &Error, appends: &[Append]) -> Option<usize> {
    let (_, index) = error.context().iter().find(|(key, _)| *key == "append")?;
    index.parse::<usize>().ok().filter(|index| *index < appends.len())
}

/// Whether waiting cannot help and other events may pass.
fn is_about_the_event(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WrongExpectedSequence
            | ErrorKind::EventIdReused
            | ErrorKind::Unstorable
            | ErrorKind::Invalid
            | ErrorKind::Decode
            | ErrorKind::Constraint
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use uuid::Uuid;

    use highwater_core::model::Position;

    use super::*;

    /// Takes events of any type but `Bad`, each id once; all of a call or nothing.
    #[derive(Default)]
    struct Memory {
        ids: Mutex<HashMap<Uuid, Position>>,
        down_from: Option<usize>,
    }

    #[async_trait]
    impl AppendEvents for Memory {
        async fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, Error> {
            let mut ids = self.ids.lock().unwrap();
            if self.down_from.is_some_and(|from| ids.len() >= from) {
                return Err(Error::new(ErrorKind::Unavailable, "append"));
            }
            if let Some(bad) = appends.iter().position(|append| &*append.events[0].event_type == "Bad") {
                return Err(Error::new(ErrorKind::Unstorable, "append").with("append", bad));
            }
            let mut answers = Vec::new();
            for append in appends {
                let next = Position::new(u64::try_from(ids.len()).unwrap() + 1, 0);
                let duplicate = ids.contains_key(&append.events[0].id);
                let last = *ids.entry(append.events[0].id).or_insert(next);
                answers.push(Appended { last, next_sequence: 1, duplicate });
            }
            Ok(answers)
        }
    }

    fn event(number: u32, event_type: &str) -> String {
        format!(
            r#"{{"id":"00000000-0000-0000-0000-{number:012}","stream":"s","type":"{event_type}","time":"2013-01-01T10:17:00Z","data":{{}}}}"#
        )
    }

    async fn run(
        log: &Memory,
        lines: &[String],
        skip_bad_lines: bool,
    ) -> (Imported, Result<(), Interrupted>) {
        let text: &'static str = lines.join("\n").leak();
        let source = Source::from_bytes("test", text.as_bytes()).unwrap();
        let options = ImportOptions { batch: NonZeroUsize::new(3).unwrap(), skip_bad_lines };
        import(log, source, options, std::future::pending(), |_| ()).await
    }

    #[tokio::test]
    async fn importing_again_skips_what_is_in() {
        let log = Memory::default();
        let lines: Vec<String> = (1..=7).map(|number| event(number, "T")).collect();
        let (first, ended) = run(&log, &lines, false).await;
        assert!(ended.is_ok());
        assert_eq!((first.appended, first.already_there, first.through_line), (7, 0, 7));
        let (second, _) = run(&log, &lines, false).await;
        assert_eq!((second.appended, second.already_there), (0, 7));
    }

    #[tokio::test]
    async fn x_12_an_import_that_ends_early_says_what_is_in() {
        let log = Memory { down_from: Some(3), ..Memory::default() };
        let lines: Vec<String> = (1..=7).map(|number| event(number, "T")).collect();
        let (done, ended) = run(&log, &lines, false).await;
        assert!(matches!(ended, Err(Interrupted::Append(None, _))), "{ended:?}");
        assert_eq!((done.appended, done.through_line), (3, 3));

        let log = Memory::default();
        let lines = [event(1, "T"), event(2, "T"), event(3, "T"), event(4, "T"), event(5, "Bad")];
        let (done, ended) = run(&log, &lines, false).await;
        assert!(matches!(ended, Err(Interrupted::Append(Some(5), _))), "{ended:?}");
        assert_eq!((done.appended, done.through_line), (3, 3), "the chunk of the bad event is not in");
    }

    #[tokio::test]
    async fn bad_lines_are_skipped_on_request_and_everything_else_is_in() {
        let log = Memory::default();
        let lines =
            [event(1, "Bad"), event(2, "T"), "{".to_owned(), event(3, "Bad"), event(4, "T"), event(5, "T")];
        let (done, ended) = run(&log, &lines, true).await;
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!((done.appended, done.bad, done.through_line), (3, 3, 6));
        let mut bad: Vec<u64> = done.bad_lines.iter().map(|bad| bad.line).collect();
        bad.sort_unstable();
        assert_eq!(bad, [1, 3, 4]);
    }

    #[tokio::test]
    async fn x_6_it_stops_when_asked() {
        let log = Memory::default();
        let source = Source::from_bytes("test", event(1, "T").leak().as_bytes()).unwrap();
        let options = ImportOptions { batch: NonZeroUsize::MIN, skip_bad_lines: false };
        let (done, ended) = import(&log, source, options, std::future::ready(()), |_| ()).await;
        assert!(matches!(ended, Err(Interrupted::Stopped)));
        assert_eq!(done.appended, 0);
    }
}
