//! The stages of an event's way, in order: source, dedup, apply, dead letter, checkpoint.
//!
//! Every runner is put together from these, so that each rule of delivery stands in one place. The await points
//! at which a process may die are the calls to the ports in these files; the crash tests cut a run at each.

pub mod source;

pub mod dedup;

pub mod apply;

pub mod dead_letter;

pub mod checkpoint;
