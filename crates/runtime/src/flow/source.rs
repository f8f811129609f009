//! First stage: pieces of the log, read ahead while there is more.
//!
//! A [`Piece`] says behind which position it was read. Whoever applies it compares that with the locked state
//! and throws it away if they differ, so reading ahead can never cost exactness (E-4).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use highwater_core::model::{Filter, Position, RecordedEvent};
use highwater_core::ports::{EventBatch, EventLog, EventRange, EventReader, Limit};
use highwater_core::{Error, ErrorKind};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What one read brought, shared by the pieces that are cut from it.
#[derive(Debug)]
struct Fetched {
    after: Option<Position>,
    batch: EventBatch,
}

/// A contiguous part of what was read.
#[derive(Debug, Clone)]
pub struct Piece {
    fetched: Arc<Fetched>,
    range: Range<usize>,
    after: Option<Position>,
}

impl Piece {
    /// The position behind which it begins.
    #[must_use]
    pub fn after(&self) -> Option<Position> {
        self.after
    }

    /// The events that the filter lets through.
    #[must_use]
    pub fn events(&self) -> &[RecordedEvent] {
        &self.fetched.batch.events[self.range.clone()]
    }

    /// Everything up to here was looked at.
    #[must_use]
    pub fn scanned(&self) -> Option<Position> {
        if self.reaches_end() {
            self.fetched.batch.scanned
        } else {
            self.events().last().map(RecordedEvent::position)
        }
    }

    /// The log ended behind this piece when it was read.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.reaches_end() && self.fetched.batch.caught_up
    }

    /// It is all that one read brought, and more is known to follow: a read ahead of time asks for as much as was
    /// wanted then.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.range.start == 0 && self.reaches_end() && !self.fetched.batch.caught_up
    }

    /// The first `events` of it, or all.
    #[must_use]
    pub fn first(&self, events: usize) -> Self {
        let end = self.range.end.min(self.range.start.saturating_add(events));
        Self { range: self.range.start..end, ..self.clone() }
    }

    /// Up to `events` events that follow this piece in what was read.
    #[must_use]
    pub fn following(&self, events: usize) -> &[RecordedEvent] {
        let all = &self.fetched.batch.events;
        &all[self.range.end..all.len().min(self.range.end.saturating_add(events))]
    }

    fn reaches_end(&self) -> bool {
        self.range.end == self.fetched.batch.events.len()
    }
}

/// One projection's view of a log.
pub struct Source {
    log: Arc<dyn EventLog>,
    filter: Filter,
    read_ahead: usize,
    /// Where reading stands: behind this position the reader, or the task that reads ahead, goes on.
    reading: Reading,
    /// The last read, kept until the state has passed it: a batch that stopped early goes on from here.
    kept: Option<Arc<Fetched>>,
}

enum Reading {
    Nowhere,
    At { reader: Box<dyn EventReader>, after: Option<Position> },
    Ahead { task: ReadAhead, after: Option<Position> },
    RangeAhead { task: RangeTask, after: Option<Position>, limit: Limit },
}

/// A range with its last event.
type LastOfRange = (EventRange, Option<RecordedEvent>);

struct ReadAhead {
    batches: mpsc::Receiver<Result<EventBatch, Error>>,
    limit: Arc<AtomicUsize>,
    reader: JoinHandle<Box<dyn EventReader>>,
}

/// One range that is read while the one before it is applied.
struct RangeTask(JoinHandle<(Box<dyn EventReader>, Result<LastOfRange, Error>)>);

impl Drop for RangeTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Source {
    /// A source of the log's events that `filter` lets through. `read_ahead` batches at most are read before
    /// they are asked for; 0 reads only when asked.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, filter: Filter, read_ahead: usize) -> Self {
        Self { log, filter, read_ahead, reading: Reading::Nowhere, kept: None }
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    /// The piece of the log behind `after`, at most `limit`. Returns at once; empty when there is nothing.
    ///
    /// # Errors
    /// When the log cannot be read. The same call may be tried again.
    pub async fn next(&mut self, after: Option<Position>, limit: Limit) -> Result<Piece, Error> {
        if let Some(piece) = self.piece_of_kept(after, limit.events) {
            return Ok(piece);
        }
        self.kept = None;
        let batch = match self.fetch(after, limit).await {
            Ok(batch) => batch,
            Err(error) => {
                self.reading = Reading::Nowhere;
                return Err(error);
            }
        };
        let fetched = Arc::new(Fetched { after, batch });
        self.kept = Some(fetched.clone());
        let end = fetched.batch.events.len().min(limit.events);
        Ok(Piece { fetched, range: 0..end, after })
    }

    /// The extent of the piece behind `after`, with its last event.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn next_range(&mut self, after: Option<Position>, limit: Limit) -> Result<LastOfRange, Error> {
        self.kept = None;
        let (reader, range) = match &mut self.reading {
            Reading::RangeAhead { task, after: standing, limit: asked }
                if *standing == after && asked.events <= limit.events && asked.bytes <= limit.bytes =>
            {
                let died = |error| Error::new(ErrorKind::Other, "read ahead").because(error);
                (&mut task.0).await.map_err(died)?
            }
            _elsewhere => {
                let reader = self.reader_at(after).await?;
                read_range(self.log.clone(), reader, limit).await
            }
        };
        self.reading = Reading::Nowhere;
        let (range, last) = range?;
        let standing = range.scanned.max(after);
        self.reading = if self.read_ahead > 0 && !range.caught_up {
            let task = RangeTask(tokio::spawn(read_range(self.log.clone(), reader, limit)));
            Reading::RangeAhead { task, after: standing, limit }
        } else {
            Reading::At { reader, after: standing }
        };
        Ok((range, last))
    }

    /// Waits until there may be something new behind what was read. A hint.
    ///
    /// # Errors
    /// When the log can no longer be watched.
    pub async fn wait(&mut self) -> Result<(), Error> {
        match &mut self.reading {
            Reading::At { reader, .. } => reader.wait().await,
            Reading::Nowhere | Reading::Ahead { .. } | Reading::RangeAhead { .. } => Ok(()),
        }
    }

    fn piece_of_kept(&self, after: Option<Position>, events: usize) -> Option<Piece> {
        let fetched = self.kept.as_ref()?;
        let all = &fetched.batch.events;
        let from = after.map_or(0, |after| all.partition_point(|event| event.position() <= after));
        // Only a place inside what was read: at its end there may be news.
        let inside = after >= fetched.after && from < all.len();
        inside.then(|| Piece {
            fetched: fetched.clone(),
            range: from..all.len().min(from.saturating_add(events)),
            after,
        })
    }

    async fn fetch(&mut self, after: Option<Position>, limit: Limit) -> Result<EventBatch, Error> {
        if let Reading::Ahead { task, after: standing } = &mut self.reading
            && *standing == after
        {
            task.limit.store(limit.events, Ordering::Relaxed);
            match task.batches.recv().await {
                Some(Ok(batch)) => {
                    *standing = batch.scanned.max(after);
                    return Ok(batch);
                }
                Some(Err(error)) => return Err(error),
                // The task reached the end of the log and gave its reader back.
                None => {
                    let reader = (&mut task.reader)
                        .await
                        .map_err(|died| Error::new(ErrorKind::Other, "read ahead").because(died))?;
                    self.reading = Reading::At { reader, after };
                }
            }
        }
        let mut reader = self.reader_at(after).await?;
        let batch = reader.next(limit).await?;
        let standing = batch.scanned.max(after);
        self.reading = if self.read_ahead > 0 && !batch.caught_up {
            Reading::Ahead { task: read_ahead(reader, limit, self.read_ahead), after: standing }
        } else {
            Reading::At { reader, after: standing }
        };
        Ok(batch)
    }

    /// The reader, standing behind `after`.
    async fn reader_at(&mut self, after: Option<Position>) -> Result<Box<dyn EventReader>, Error> {
        match std::mem::replace(&mut self.reading, Reading::Nowhere) {
            Reading::At { reader, after: standing } if standing == after => Ok(reader),
            _elsewhere => self.log.open(after, &self.filter).await,
        }
    }
}

async fn read_range(
    log: Arc<dyn EventLog>,
    mut reader: Box<dyn EventReader>,
    limit: Limit,
) -> (Box<dyn EventReader>, Result<LastOfRange, Error>) {
    let range = async {
        let range = reader.next_range(limit).await?;
        let Some(position) = range.last else { return Ok((range, None)) };
        match log.event_at(position).await? {
            Some(last) => Ok((range, Some(last))),
            None => Err(Error::new(ErrorKind::Corrupt, "read the last event of a range again")
                .with("position", position)),
        }
    }
    .await;
    (reader, range)
}

/// Reads until the end of the log, an error, or nobody listens any more.
fn read_ahead(mut reader: Box<dyn EventReader>, limit: Limit, batches: usize) -> ReadAhead {
    let (sender, receiver) = mpsc::channel(batches);
    let events = Arc::new(AtomicUsize::new(limit.events));
    let wanted = events.clone();
    let task = tokio::spawn(async move {
        // A place is reserved before reading, so that no more than `batches` are held.
        while let Ok(place) = sender.reserve().await {
            let limit = Limit { events: wanted.load(Ordering::Relaxed), bytes: limit.bytes };
            let batch = reader.next(limit).await;
            let last = batch.as_ref().map_or(true, |batch| batch.caught_up);
            place.send(batch);
            if last {
                break;
            }
        }
        reader
    });
    ReadAhead { batches: receiver, limit: events, reader: task }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("filter", &self.filter).finish_non_exhaustive()
    }
}
