//! One bad event, or a broken surrounding?
//!
//! An event whose attempts are used up looks the same whether it is bad itself or what it needs is gone: a
//! table that was dropped under an opaque error, a service that answers nonsense. Setting it aside would be
//! right in the first case; in the second it would empty the log into the dead letters. So before it is set
//! aside, up to four following events are tried under a savepoint that is always rolled back. If one of them
//! passes, the event is to blame. If all fail alike, five different events have failed in a row: an outage;
//! the runner is stalled, and nothing is parked.

/// How many different events, in a row and failing alike, are an outage: the one whose attempts are used up,
/// and four behind it. Fewer would call two neighbouring bad events an outage; more would cost more trials
/// each time.
pub const DIFFERENT_EVENTS: usize = 5;

/// Whether `failing_alike` different events in a row, the exhausted one counted, mean an outage. Where fewer
/// stand in the log, it is none: an event alone at the end of the log can be set aside.
#[must_use]
pub fn is_outage(failing_alike: usize) -> bool {
    failing_alike >= DIFFERENT_EVENTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_different_events_are_an_outage() {
        assert!(!is_outage(1));
        assert!(!is_outage(4));
        assert!(is_outage(5));
    }
}
