//! Positions as the pair of numbers that the log's columns hold.

use highwater_core::model::Position;

/// A place in the order of the log. It need not be one where an event can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bound {
    pub(super) position: i64,
    pub(super) offset: i32,
}

impl Bound {
    /// Below every position.
    pub(super) const START: Self = Self { position: -1, offset: 0 };

    /// The greatest pair not above `position`: the log has no event beyond its columns' types, so comparing with
    /// the bound is comparing with the position.
    pub(super) fn at(position: Position) -> Self {
        match (i64::try_from(position.commit()), i32::try_from(position.prepare())) {
            (Ok(position), Ok(offset)) => Self { position, offset },
            (Ok(position), Err(_)) => Self { position, offset: i32::MAX },
            (Err(_), _) => Self { position: i64::MAX, offset: i32::MAX },
        }
    }

    /// The bound behind which `position` is the first place.
    pub(super) fn before(position: Position) -> Self {
        let Self { position, offset } = Self::at(position);
        Self { position, offset: offset - 1 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn commit() -> impl Strategy<Value = u64> {
        let most = u64::try_from(i64::MAX).unwrap();
        prop_oneof![0..4u64, most - 2..=most, any::<u64>()]
    }

    fn prepare() -> impl Strategy<Value = u64> {
        let most = u64::try_from(i32::MAX).unwrap();
        prop_oneof![0..4u64, most - 2..=most, any::<u64>()]
    }

    proptest! {
        #[test]
        fn x_5_bounds_compare_as_positions_do(a in (commit(), prepare()), b in (commit(), prepare())) {
            let (event, bound) = (Position::new(a.0, a.1), Position::new(b.0, b.1));
            prop_assume!(i64::try_from(a.0).is_ok() && i32::try_from(a.1).is_ok());
            prop_assert_eq!(Bound::at(event) > Bound::at(bound), event > bound);
            prop_assert_eq!(Bound::at(event) <= Bound::at(bound), event <= bound);
            prop_assert!(Bound::START < Bound::at(event));
            prop_assert!(Bound::before(event) < Bound::at(event));
            let between = Bound::at(bound) > Bound::before(event) && Bound::at(bound) < Bound::at(event);
            prop_assert!(!between);
        }
    }
}
