//! An event log with faults.

use async_trait::async_trait;

use highwater_core::model::{Append, Appended, Filter, Position, RecordedEvent};
use highwater_core::ports::{AppendEvents, EventBatch, EventLog, EventRange, EventReader, HeldBack, Limit};
use highwater_core::{Error, ErrorKind};

use super::plan::Side;
use super::{FaultPlan, Faulty};

#[async_trait]
impl<L: EventLog> EventLog for Faulty<L> {
    async fn head(&self) -> Result<Option<Position>, Error> {
        self.plan.around("log.head", self.inner.head()).await
    }

    async fn open(&self, after: Option<Position>, filter: &Filter) -> Result<Box<dyn EventReader>, Error> {
        let inner = self.plan.around("log.open", self.inner.open(after, filter)).await?;
        Ok(Box::new(FaultyReader { inner, plan: self.plan.clone(), lost: None }))
    }

    async fn event_at(&self, position: Position) -> Result<Option<RecordedEvent>, Error> {
        self.plan.around("log.event_at", self.inner.event_at(position)).await
    }

    async fn count_between(
        &self,
        after: Option<Position>,
        through: Option<Position>,
        filter: &Filter,
    ) -> Result<Option<u64>, Error> {
        self.plan.around("log.count_between", self.inner.count_between(after, through, filter)).await
    }

    async fn held_back(&self) -> Result<Option<HeldBack>, Error> {
        self.plan.around("log.held_back", self.inner.held_back()).await
    }
}

#[async_trait]
impl<L: AppendEvents> AppendEvents for Faulty<L> {
    async fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, Error> {
        self.plan.around("log.append", self.inner.append(appends)).await
    }
}

struct FaultyReader {
    inner: Box<dyn EventReader>,
    plan: FaultPlan,
    /// An answer that was lost on its way: the reader must stand where it stood, so the next call gets it.
    lost: Option<Lost>,
}

enum Lost {
    Batch(EventBatch),
    Range(EventRange),
}

fn mixed() -> Error {
    Error::new(ErrorKind::Invalid, "read on")
        .because("`next` and `next_range` cannot take over each other's lost answer")
}

#[async_trait]
impl EventReader for FaultyReader {
    async fn next(&mut self, limit: Limit) -> Result<EventBatch, Error> {
        self.plan.pass("reader.next", Side::Before).await?;
        if self.lost.is_none() {
            self.lost = Some(Lost::Batch(self.inner.next(limit).await?));
        }
        self.plan.pass("reader.next", Side::After).await?;
        match self.lost.take() {
            Some(Lost::Batch(batch)) => Ok(batch),
            _ => Err(mixed()),
        }
    }

    async fn next_range(&mut self, limit: Limit) -> Result<EventRange, Error> {
        self.plan.pass("reader.next_range", Side::Before).await?;
        if self.lost.is_none() {
            self.lost = Some(Lost::Range(self.inner.next_range(limit).await?));
        }
        self.plan.pass("reader.next_range", Side::After).await?;
        match self.lost.take() {
            Some(Lost::Range(range)) => Ok(range),
            _ => Err(mixed()),
        }
    }

    async fn wait(&mut self) -> Result<(), Error> {
        self.plan.around("reader.wait", self.inner.wait()).await
    }
}
