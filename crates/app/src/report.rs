//! What a run did.

use std::time::Duration;

use highwater_core::model::{Position, ProjectionName};

use crate::handlers::HandlerReport;

/// How the run of a projection or a handler ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to stop.
    Stopped,
    /// It had settled everything that the log held at the start.
    CaughtUp,
    /// Another instance owned it all the time.
    Busy,
    /// An operator had paused it.
    Paused,
    /// It waited for its surroundings to heal when the run ended.
    Stalled(String),
    /// It could not go on.
    Faulted(String),
}

/// What became of one projection; the counters are of this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionReport {
    /// Which one.
    pub name: ProjectionName,
    /// How it ended.
    pub outcome: Outcome,
    /// Events applied.
    pub applied: u64,
    /// Events set aside.
    pub failed: u64,
    /// Failed events that were applied after all.
    pub recovered: u64,
    /// Events dropped as processed before.
    pub duplicates: u64,
    /// Batches committed.
    pub batches: u64,
    /// Everything up to here is settled.
    pub scanned: Option<Position>,
    /// How long the run took.
    pub took: Duration,
    /// Each partition by itself, where the projection is divided; else empty.
    pub partitions: Vec<PartitionReport>,
}

/// What became of one partition in this instance; the counters are of this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReport {
    /// Which one, from 0.
    pub partition: u32,
    /// How it ended here; `Busy` = another instance had it at the end.
    pub outcome: Outcome,
    /// Events applied.
    pub applied: u64,
    /// Events set aside.
    pub failed: u64,
    /// Everything of the partition up to here is settled; `None` if another instance had it at the end.
    pub scanned: Option<Position>,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// One entry a projection, in the order in which they were named.
    pub projections: Vec<ProjectionReport>,
    /// One entry a handler, in the order in which they were named.
    pub handlers: Vec<HandlerReport>,
}
