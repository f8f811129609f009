//! What was processed before is dropped: a reader that reconnects, or that was opened before another batch
//! moved the state, may return it again (B-7).

use crate::model::{Position, RecordedEvent};

/// How many events at the head of `events`, which are in log order, stand at or below `through`, the processed
/// place (`None` = nothing was processed): these are dropped.
#[must_use]
pub fn processed_before(events: &[RecordedEvent], through: Option<Position>) -> usize {
    through.map_or(0, |through| events.partition_point(|event| event.position() <= through))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::model::{ContentType, EventParts};

    fn events(positions: &[(u64, u64)]) -> Vec<RecordedEvent> {
        let event = |&(commit, prepare): &(u64, u64)| {
            RecordedEvent::new(EventParts {
                position: Position::new(commit, prepare),
                id: Uuid::nil(),
                stream: "s".into(),
                category: "s".into(),
                sequence: 0,
                event_type: "T".into(),
                time_micros: 0,
                content_type: ContentType::Json,
                data: Bytes::new(),
                metadata: Bytes::new(),
            })
        };
        positions.iter().map(event).collect()
    }

    fn left(positions: &[(u64, u64)], through: Option<(u64, u64)>) -> (usize, Vec<Position>) {
        let events = events(positions);
        let through = through.map(|(commit, prepare)| Position::new(commit, prepare));
        let dropped = processed_before(&events, through);
        (dropped, events[dropped..].iter().map(RecordedEvent::position).collect())
    }

    #[test]
    fn b_7_at_or_below_is_a_duplicate() {
        let log = [(1, 0), (1, 1), (2, 0), (3, 0)];
        assert_eq!(left(&log, None).0, 0);
        assert_eq!(left(&log, Some((0, 9))).0, 0);
        let (dropped, rest) = left(&log, Some((1, 1)));
        assert_eq!((dropped, rest), (2, vec![Position::new(2, 0), Position::new(3, 0)]));
        assert_eq!(left(&log, Some((1, 0))).0, 1, "events of one append call are told apart");
        assert_eq!(left(&log, Some((u64::MAX, u64::MAX))), (4, vec![]));
        assert_eq!(left(&[], Some((1, 0))).0, 0);
    }
}
