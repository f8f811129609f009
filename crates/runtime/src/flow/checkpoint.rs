//! Last stage: where the state stands after a batch.
//!
//! Only settled events move it: applied, set aside, or left out by the filter. The scanned bound moves over what
//! the filter leaves out, so that a restart does not look at it again (E-4).

use highwater_core::model::{LastEvent, Position, ProjectionState, RecordedEvent};

/// The state after `settled` of the batch's events, which were read up to `scanned`, are settled.
#[must_use]
pub fn next_state(
    state: &ProjectionState,
    events: &[RecordedEvent],
    settled: usize,
    scanned: Option<Position>,
) -> ProjectionState {
    let last = events.get(..settled).and_then(<[_]>::last);
    let bound = if settled == events.len() { scanned } else { last.map(RecordedEvent::position) };
    ProjectionState {
        last: last.map(LastEvent::from).or_else(|| state.last.clone()),
        scanned: bound.max(last.map(RecordedEvent::position)).max(state.scanned),
        ..state.clone()
    }
}

#[cfg(test)]
mod tests {
    use highwater_core::model::{ProjectionKey, ProjectionName};
    use highwater_testkit::fixtures::event;

    use super::*;

    fn state(scanned: Option<Position>) -> ProjectionState {
        let key = ProjectionKey { name: ProjectionName::new("p").unwrap(), version: 1, partition: 0 };
        ProjectionState::new(key, scanned, String::new(), String::new())
    }

    #[test]
    fn e_4_a_batch_of_foreign_events_moves_the_scanned_bound_only() {
        let next = next_state(&state(None), &[], 0, Some(Position::new(9, 0)));
        assert_eq!((next.scanned, next.last), (Some(Position::new(9, 0)), None));
    }

    #[test]
    fn a_batch_that_stopped_early_ends_at_its_last_settled_event() {
        let events = [event(1, "T", "s-1"), event(2, "T", "s-1"), event(3, "T", "s-1")];
        let next = next_state(&state(None), &events, 2, Some(Position::new(9, 0)));
        assert_eq!(next.scanned, Some(events[1].position()));
        assert_eq!(next.last.map(|last| last.position), Some(events[1].position()));
    }

    #[test]
    fn nothing_settled_moves_nothing() {
        let before = state(Some(Position::new(4, 1)));
        let events = [event(5, "T", "s-1")];
        assert_eq!(next_state(&before, &events, 0, Some(Position::new(5, 0))), before);
    }
}
