//! How many partitions an instance keeps when others want some: evenly, in order, without thrash.
//!
//! Nobody coordinates. Each instance knows its rank among the live ones, so each can work out its share alone, and
//! the shares add up to all partitions. One that has more than its share stops a few in order; whoever has less
//! takes what is free. What could make that swing is damped:
//!
//! * A rank must be seen twice in a row before anything is given up for it: an instance that restarts, or that
//!   joins and fails, moves nothing.
//! * Half of what is too much goes at a time, so that a count which was wrong costs half.
//! * What was given up and came back, since nobody took it, is kept for a while that doubles each time.
//!
//! That every partition has an owner does not depend on the count: an instance that has its share still asks for
//! more, only rarely (see the runtime).

use crate::model::InstanceRank;

/// After giving something up in vain, so many looks pass before the next try; it doubles each time.
const REST: u32 = 10;
/// And at most so many: ten minutes of a look a second.
const LONGEST_REST: u32 = 600;

/// How many of `partitions` an instance of this rank should own: as many as each other, those of the lowest ranks
/// one more where they do not divide evenly. The shares of all ranks add up to `partitions`.
#[must_use]
pub fn share(partitions: u32, rank: InstanceRank) -> u32 {
    let instances = rank.instances.max(1);
    partitions / instances + u32::from(rank.rank < partitions % instances)
}

/// Decides when an instance gives partitions up.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    seen: Option<InstanceRank>,
    /// What should be left of the last giving up.
    left: Option<u32>,
    /// How often in a row what was given up came back.
    in_vain: u32,
    /// Looks to let pass.
    rest: u32,
}

impl Spread {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A look at the other instances, at regular intervals: how many of the `owned` partitions to give up now.
    /// Those that are being given up already are not counted as owned.
    #[must_use]
    pub fn look(&mut self, partitions: u32, rank: InstanceRank, owned: u32) -> u32 {
        if self.seen != Some(rank) {
            *self = Self { seen: Some(rank), ..Self::default() };
            return 0;
        }
        let surplus = owned.saturating_sub(share(partitions, rank));
        if surplus == 0 {
            return 0;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return 0;
        }
        if self.left.take().is_some_and(|left| owned > left) {
            self.rest =
                REST.saturating_mul(1_u32.checked_shl(self.in_vain).unwrap_or(u32::MAX)).min(LONGEST_REST);
            self.in_vain = self.in_vain.saturating_add(1);
            return 0;
        }
        let given_up = surplus.div_ceil(2);
        self.left = Some(owned - given_up);
        given_up
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rank(rank: u32, instances: u32) -> InstanceRank {
        InstanceRank { rank, instances }
    }

    proptest! {
        #[test]
        fn shares_add_up_and_differ_by_one_at_most(partitions in 1..=1024_u32, instances in 1..40_u32) {
            let shares: Vec<u32> = (0..instances).map(|n| share(partitions, rank(n, instances))).collect();
            prop_assert_eq!(shares.iter().sum::<u32>(), partitions);
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }

        /// Instances come and go; after each change, within a few looks, everyone has its share, nothing is
        /// without an owner, and no more moved than had to.
        #[test]
        fn it_converges_and_moves_nothing_twice(
            partitions in 1..40_u32,
            changes in proptest::collection::vec(any::<(bool, prop::sample::Index)>(), 1..12),
        ) {
            let mut free = partitions;
            let mut instances: Vec<(Spread, u32)> = vec![(Spread::new(), 0)];
            for (comes, which) in changes {
                if comes || instances.len() == 1 {
                    instances.push((Spread::new(), 0));
                } else {
                    let (_, owned) = instances.remove(which.index(instances.len()));
                    free += owned;
                }
                let count = u32::try_from(instances.len()).unwrap();
                let must_move: u32 = (0..).zip(&instances)
                    .map(|(n, (_, owned))| owned.saturating_sub(share(partitions, rank(n, count)))).sum();
                let mut moved = 0;
                for _ in 0..10 {
                    for (n, (spread, owned)) in (0..).zip(&mut instances) {
                        let rank = rank(n, count);
                        let given_up = spread.look(partitions, rank, *owned);
                        *owned -= given_up;
                        free += given_up;
                        moved += given_up;
                        let taken = share(partitions, rank).saturating_sub(*owned).min(free);
                        *owned += taken;
                        free -= taken;
                    }
                }
                let owned: Vec<u32> = instances.iter().map(|(_, owned)| *owned).collect();
                let shares: Vec<u32> = (0..count).map(|n| share(partitions, rank(n, count))).collect();
                prop_assert_eq!((owned, free), (shares, 0));
                prop_assert_eq!(moved, must_move);
            }
        }
    }

    #[test]
    fn a_rank_that_does_not_last_moves_nothing() {
        let mut spread = Spread::new();
        for n in 0..100 {
            assert_eq!(spread.look(8, rank(0, 1 + n % 2), 8), 0);
        }
    }

    #[test]
    fn what_nobody_takes_is_given_up_ever_more_rarely() {
        let mut spread = Spread::new();
        let times = (0..10_000).filter(|_| spread.look(4, rank(0, 2), 4) > 0).count();
        assert!((5..30).contains(&times), "{times}");
        assert_eq!(spread.look(4, rank(1, 3), 4), 0);
        assert_eq!(spread.look(4, rank(1, 3), 4), 2, "another rank is news");
    }

    #[test]
    fn what_was_taken_leaves_no_grudge() {
        let mut spread = Spread::new();
        let given: Vec<u32> = [8, 8, 6, 5, 4, 4].map(|owned| spread.look(8, rank(0, 2), owned)).into();
        assert_eq!(given, [0, 2, 1, 1, 0, 0]);
    }
}
