//! Forced flushes: each is a ticket on which the worker crosses off its keys (C-10).

use std::collections::HashMap;
use std::sync::Arc;

use highwater_core::Error;

use crate::persistence::queue::Key;

/// What became of the keys that were dirty when a flush was forced. Each of them is in exactly one of the
/// lists.
#[derive(Debug, Clone, Default)]
pub struct ForceReport {
    /// Written and confirmed.
    pub flushed: Vec<String>,
    /// Refused by the target, or their call failed. They stay dirty.
    pub failed: Vec<KeyFailure>,
    /// Tried, but without an answer within the time: they may have been written. They stay dirty.
    pub timed_out: Vec<String>,
    /// Not tried: the time was over before it was their turn, or the circuit breaker opened. They stay dirty.
    pub not_attempted: Vec<String>,
}

/// Why a key was not written.
#[derive(Debug, Clone)]
pub struct KeyFailure {
    /// The key.
    pub key: String,
    /// Why; keys of one failed call share it.
    pub error: Arc<Error>,
}

impl ForceReport {
    /// How many keys were dirty when the flush was forced.
    #[must_use]
    pub fn snapshot(&self) -> usize {
        self.flushed.len() + self.failed.len() + self.timed_out.len() + self.not_attempted.len()
    }

    /// Whether all of them are durable.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.flushed.len() == self.snapshot()
    }
}

/// The forced flushes that are waited for.
#[derive(Debug, Default)]
pub(super) struct Forces {
    tickets: HashMap<u64, Ticket>,
    numbers: u64,
}

#[derive(Debug)]
struct Ticket {
    /// Calls from this number on were made after the flush was forced; failures of others say nothing to it.
    first_flight: u64,
    ignores_open_breaker: bool,
    /// Keys that are not crossed off.
    open: HashMap<Key, Open>,
    report: ForceReport,
}

#[derive(Debug)]
struct Open {
    /// This mark is to become durable.
    mark: u64,
    /// A call with it has timed out.
    timed_out: bool,
}

impl Forces {
    /// A ticket for these keys, up to these marks.
    pub(super) fn open(
        &mut self,
        keys: Vec<(Key, u64)>,
        first_flight: u64,
        ignores_open_breaker: bool,
    ) -> u64 {
        let open = keys.into_iter().map(|(key, mark)| (key, Open { mark, timed_out: false })).collect();
        let ticket = Ticket { first_flight, ignores_open_breaker, open, report: ForceReport::default() };
        self.numbers += 1;
        self.tickets.insert(self.numbers, ticket);
        self.numbers
    }

    /// Whether all keys of a ticket are crossed off.
    pub(super) fn is_done(&self, ticket: u64) -> bool {
        self.tickets.get(&ticket).is_none_or(|ticket| ticket.open.is_empty())
    }

    /// Ends a ticket: keys that are not crossed off have timed out where they were tried, or are flying.
    pub(super) fn close(&mut self, ticket: u64, is_flying: impl Fn(&str) -> bool) -> Option<ForceReport> {
        let Ticket { open, mut report, .. } = self.tickets.remove(&ticket)?;
        for (key, open) in open {
            let list = if open.timed_out || is_flying(&key) {
                &mut report.timed_out
            } else {
                &mut report.not_attempted
            };
            list.push(key.to_string());
        }
        Some(report)
    }

    /// A key was written up to the mark `covered`.
    pub(super) fn written(&mut self, key: &Key, covered: u64) {
        for ticket in self.tickets.values_mut() {
            if ticket.open.get(key).is_some_and(|open| open.mark <= covered) {
                ticket.open.remove(key);
                ticket.report.flushed.push(key.to_string());
            }
        }
    }

    /// A key failed in a call.
    pub(super) fn failed(&mut self, key: &Key, flight: u64, error: &Arc<Error>) {
        for ticket in self.since(flight) {
            if ticket.open.remove(key).is_some() {
                ticket.report.failed.push(KeyFailure { key: key.to_string(), error: error.clone() });
            }
        }
    }

    /// A call timed out. Its keys are tried again, in halves; one that was alone is done with.
    pub(super) fn timed_out(&mut self, keys: &[Key], flight: u64) {
        for ticket in self.since(flight) {
            if let [only] = keys {
                if ticket.open.remove(only).is_some() {
                    ticket.report.timed_out.push(only.to_string());
                }
                continue;
            }
            for key in keys {
                if let Some(open) = ticket.open.get_mut(key) {
                    open.timed_out = true;
                }
            }
        }
    }

    /// Whether a ticket waits for this key.
    pub(super) fn wants(&self, key: &str) -> bool {
        self.tickets.values().any(|ticket| ticket.open.contains_key(key))
    }

    /// Whether a ticket waits for this key that is to be tried even while the circuit breaker is open.
    pub(super) fn insists_on(&self, key: &str) -> bool {
        self.tickets.values().any(|ticket| ticket.ignores_open_breaker && ticket.open.contains_key(key))
    }

    fn since(&mut self, flight: u64) -> impl Iterator<Item = &mut Ticket> {
        self.tickets.values_mut().filter(move |ticket| ticket.first_flight <= flight)
    }
}
