//! Positions as SQLite compares them, and where the log ends.

use rusqlite::{CachedStatement, Connection, OptionalExtension};

use highwater_core::model::Position;

/// A pair of `i64` with the same order among the log's rows as the position it stands for: no row is beyond
/// `i64`, so whatever is can be cut to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) position: i64,
    pub(super) offset: i64,
}

impl Bound {
    /// Below every row.
    pub(super) const START: Self = Self { position: -1, offset: -1 };

    pub(super) fn of(position: Option<Position>) -> Self {
        let Some(position) = position else { return Self::START };
        match (i64::try_from(position.commit()), i64::try_from(position.prepare())) {
            (Ok(position), Ok(offset)) => Self { position, offset },
            (Ok(position), Err(_)) => Self { position, offset: i64::MAX },
            (Err(_), _) => Self { position: i64::MAX, offset: i64::MAX },
        }
    }
}

/// The last row at or below `position`.
pub(super) fn last_until(conn: &Connection, position: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    first_row(
        conn.prepare_cached(
            "SELECT position, \"offset\" FROM highwater_event WHERE position <= ?1
             ORDER BY position DESC, \"offset\" DESC LIMIT 1",
        )?,
        position,
    )
}

/// The first row behind `position`.
pub(super) fn first_behind(conn: &Connection, position: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    first_row(
        conn.prepare_cached(
            "SELECT position, \"offset\" FROM highwater_event WHERE position > ?1
             ORDER BY position, \"offset\" LIMIT 1",
        )?,
        position,
    )
}

fn first_row(mut select: CachedStatement<'_>, position: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    select.query_row([position], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_5_a_position_beyond_the_log_is_behind_everything() {
        let most = i64::MAX.unsigned_abs();
        let bound = |position, offset| Bound { position, offset };
        assert_eq!(Bound::of(None), Bound::START);
        assert_eq!(Bound::of(Some(Position::new(3, 7))), bound(3, 7));
        assert_eq!(Bound::of(Some(Position::new(3, most + 1))), bound(3, i64::MAX));
        assert_eq!(Bound::of(Some(Position::new(most + 1, 0))), bound(i64::MAX, i64::MAX));
        assert_eq!(Bound::of(Some(Position::MAX)), bound(i64::MAX, i64::MAX));
    }
}
