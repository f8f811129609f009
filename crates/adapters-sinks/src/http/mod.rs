//! Events to an HTTP receiver, as [CloudEvents 1.0](https://github.com/cloudevents/spec) in JSON.
//!
//! CloudEvents, because a receiver then needs no library of ours: the envelope is a standard, and most
//! frameworks and gateways take it. What a sender has to get right beyond the envelope is what an answer
//! means for the event; [`HttpSink`] has that table.
//!
//! * `settings`: where to, how long, how many.
//! * `cloud_event`, `source`, `lineage`: the text of an event.
//! * `sink`: one event after the other, or in batches.
//! * `answer`, `retry_after`, `excerpt`: what came back, and what it means.

mod answer;
mod cloud_event;
mod excerpt;
mod lineage;
mod retry_after;
mod settings;
mod sink;
mod source;

pub use settings::{HttpBatch, HttpSettings};
pub use sink::HttpSink;
