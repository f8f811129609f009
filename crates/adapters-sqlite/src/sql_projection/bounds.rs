//! Positions as the pairs of `i64` that SQLite compares.

use highwater_core::model::Position;

/// A place in the order of the log, as two columns hold it. It need not be one where an event can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bound {
    pub(super) position: i64,
    pub(super) offset: i64,
}

impl Bound {
    /// Below every position.
    pub(super) const START: Self = Self { position: -1, offset: 0 };

    /// The greatest pair not above `position`: a log in SQLite has no event beyond `i64`, so comparing with
    /// the bound is comparing with the position.
    pub(super) fn at(position: Position) -> Self {
        match (i64::try_from(position.commit()), i64::try_from(position.prepare())) {
            (Ok(position), Ok(offset)) => Self { position, offset },
            (Ok(position), Err(_)) => Self { position, offset: i64::MAX },
            (Err(_), _) => Self { position: i64::MAX, offset: i64::MAX },
        }
    }

    /// The bound behind which `position` is the first place.
    pub(super) fn before(position: Position) -> Self {
        let Self { position, offset } = Self::at(position);
        if offset > 0 {
            Self { position, offset: offset - 1 }
        } else {
            Self { position: position - 1, offset: i64::MAX }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn half() -> impl Strategy<Value = u64> {
        let most = u64::try_from(i64::MAX).unwrap();
        prop_oneof![0..4u64, most - 2..=most, any::<u64>()]
    }

    proptest! {
        #[test]
        fn x_5_bounds_compare_as_positions_do(a in (half(), half()), b in (half(), half())) {
            let (event, bound) = (Position::new(a.0, a.1), Position::new(b.0, b.1));
            prop_assume!(i64::try_from(a.0).is_ok() && i64::try_from(a.1).is_ok());
            prop_assert_eq!(Bound::at(event) > Bound::at(bound), event > bound);
            prop_assert_eq!(Bound::at(event) <= Bound::at(bound), event <= bound);
            prop_assert!(Bound::START < Bound::at(event));
            prop_assert!(Bound::before(event) < Bound::at(event));
            let between = Bound::at(bound) > Bound::before(event) && Bound::at(bound) < Bound::at(event);
            prop_assert!(!between);
        }
    }
}
