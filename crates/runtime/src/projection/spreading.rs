//! The partitions of one projection in one instance: how many it may own, which it owns, which it gives up.
//!
//! Each partition has a runner of its own in every instance; who owns it is decided by its claim. What the runners
//! of an instance share stands here: the instance's rank among the others, looked up once a second by whichever
//! runner comes first, and the share that follows from it (the rule is `highwater_core::policy::Spread`). A runner
//! asks for its claim only while the instance has less than its share. So that a partition never lies idle because
//! a count is wrong, one that was refused its turn asks anyway after a while.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_core::Error;
use highwater_core::model::{InstanceRank, ProjectionName};
use highwater_core::policy::{Spread, jittered, share};
use highwater_core::ports::{Membership, Moment, ReadModelStore, Seen};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;

/// How often the other instances are counted: with the second look that a change needs, one that comes gets its
/// first partition within about three seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a runner waits for its turn before it asks although the instance has its share: far longer than what
/// is given up needs to find its new owner.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the partition runners of one projection share in one instance.
pub struct Spreading<S> {
    store: S,
    name: ProjectionName,
    partitions: u32,
    environment: Environment,
    attendance: Mutex<Attendance>,
    looking: tokio::sync::Mutex<Looking>,
    seats: watch::Sender<Seats>,
}

/// Whether this instance is counted.
enum Attendance {
    Out,
    In(Arc<dyn Membership>),
    /// The store does not know its instances.
    Unknown,
}

#[derive(Default)]
struct Looking {
    spread: Spread,
    next: Option<Moment>,
}

#[derive(Debug, Default)]
struct Seats {
    /// Runners of this instance that run, as owners or as stand-bys.
    runners: u32,
    /// The others were counted, or cannot be.
    looked: bool,
    /// How many this instance may own; `None` = all it gets.
    share: Option<u32>,
    /// Runners that are asking for their claim.
    asking: u32,
    owned: BTreeMap<u32, Held>,
}

#[derive(Debug)]
struct Held {
    stop: CancellationToken,
    leaving: bool,
}

impl Seats {
    /// What is owned and not being given up.
    fn staying(&self) -> u32 {
        self.owned.values().map(|held| u32::from(!held.leaving)).sum()
    }

    /// The last ones go: the first sets the read model up, and moves least.
    fn give_up(&mut self, count: u32) {
        let staying = self.owned.values_mut().rev().filter(|held| !held.leaving);
        for (_, held) in (0..count).zip(staying) {
            held.leaving = true;
            held.stop.cancel();
        }
    }
}

enum Ask<'s> {
    Go(Turn<'s>),
    /// Others of this instance are asking, and may be refused.
    Wait,
    /// The instance has its share.
    Full,
}

impl<S: ReadModelStore> Spreading<S> {
    /// For the runners of a projection with so many partitions.
    #[must_use]
    pub fn new(store: S, name: ProjectionName, partitions: u32, environment: Environment) -> Arc<Self> {
        Arc::new(Self {
            store,
            name,
            partitions,
            environment,
            attendance: Mutex::new(Attendance::Out),
            looking: tokio::sync::Mutex::default(),
            seats: watch::Sender::default(),
        })
    }

    /// A runner begins; this instance is counted until the last one has ended.
    pub(super) fn enter(&self) -> Runs<'_, S> {
        self.seats.send_modify(|seats| seats.runners += 1);
        Runs(self)
    }

    /// Waits until a runner may ask for its claim. `full` is called once if the instance has its share.
    pub(super) async fn turn(&self, full: impl FnOnce() + Send) -> Turn<'_> {
        let mut changes = self.seats.subscribe();
        let mut full = Some(full);
        let in_turn = async {
            loop {
                match self.ask() {
                    Ask::Go(turn) => return turn,
                    Ask::Full => full.take().into_iter().for_each(|full| full()),
                    Ask::Wait => {}
                }
                if changes.changed().await.is_err() {
                    // The sender is a field of self.
                    std::future::pending::<()>().await;
                }
            }
        };
        let patience = jittered(PATIENCE, self.environment.jitter.next_u64());
        tokio::select! {
            biased;
            turn = in_turn => turn,
            () = self.environment.clock.sleep(patience) => Turn { seats: &self.seats, counted: false },
        }
    }

    fn ask(&self) -> Ask<'_> {
        let mut answer = Ask::Wait;
        let turn = |counted| Ask::Go(Turn { seats: &self.seats, counted });
        self.seats.send_if_modified(|seats| {
            match seats.share {
                _ if !seats.looked => {}
                None => answer = turn(false),
                Some(share) if seats.staying() >= share => answer = Ask::Full,
                Some(share) if seats.staying() + seats.asking >= share => {}
                Some(_) => {
                    seats.asking += 1;
                    answer = turn(true);
                }
            }
            false
        });
        answer
    }

    /// Counts the others again and again. Each runner does so beside its work; one look a second is made.
    pub(super) async fn look_around(&self) -> Infallible {
        loop {
            self.look().await;
            let pause = jittered(LOOK_EVERY, self.environment.jitter.next_u64());
            self.environment.clock.sleep(pause).await;
        }
    }

    async fn look(&self) {
        // Another runner is at it.
        let Ok(mut looking) = self.looking.try_lock() else { return };
        let now = self.environment.clock.now();
        if looking.next.is_some_and(|next| now < next) {
            return;
        }
        looking.next = Some(now + LOOK_EVERY / 2);
        let rank = self.rank().await;
        if let Err(error) = &rank {
            // Counted anew at the next look; until then the share stays as it was.
            let seen = Seen::Retrying { error, after: LOOK_EVERY, attempt: 0 };
            self.environment.observer.seen(&self.name, &seen);
        }
        self.seats.send_if_modified(|seats| {
            let before = (seats.looked, seats.share);
            seats.looked = true;
            match rank {
                Ok(Some(rank)) => {
                    seats.share = Some(share(self.partitions, rank));
                    let surplus = looking.spread.look(self.partitions, rank, seats.staying());
                    seats.give_up(surplus);
                }
                Ok(None) => seats.share = None,
                Err(_) => {}
            }
            before != (seats.looked, seats.share)
        });
    }

    async fn rank(&self) -> Result<Option<InstanceRank>, Error> {
        let member = match &*self.attendance() {
            Attendance::Unknown => return Ok(None),
            Attendance::In(member) => Some(member.clone()),
            Attendance::Out => None,
        };
        let member = match member {
            Some(member) => member,
            None => match self.store.join(&self.name).await? {
                Some(member) => {
                    let member: Arc<dyn Membership> = member.into();
                    *self.attendance() = Attendance::In(member.clone());
                    member
                }
                None => {
                    *self.attendance() = Attendance::Unknown;
                    return Ok(None);
                }
            },
        };
        let rank = member.rank().await;
        if rank.is_err() {
            *self.attendance() = Attendance::Out;
        }
        rank.map(Some)
    }

    fn attendance(&self) -> MutexGuard<'_, Attendance> {
        self.attendance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runner that runs.
pub(super) struct Runs<'s, S: ReadModelStore>(&'s Spreading<S>);

impl<S: ReadModelStore> Drop for Runs<'_, S> {
    fn drop(&mut self) {
        let mut last = false;
        self.0.seats.send_modify(|seats| {
            seats.runners -= 1;
            last = seats.runners == 0;
            if last {
                (seats.looked, seats.share) = (false, None);
            }
        });
        if !last {
            return;
        }
        *self.0.attendance() = Attendance::Out;
        if let Ok(mut looking) = self.0.looking.try_lock() {
            *looking = Looking::default();
        }
    }
}

/// The permission to ask for a claim.
pub(super) struct Turn<'s> {
    seats: &'s watch::Sender<Seats>,
    counted: bool,
}

impl<'s> Turn<'s> {
    /// The claim was won: the partition is owned until the seat is dropped. `stop` is cancelled when it is to be
    /// given up.
    pub(super) fn won(self, partition: u32, stop: CancellationToken) -> Seat<'s> {
        let seats = self.seats;
        seats.send_modify(|seats| {
            seats.owned.insert(partition, Held { stop, leaving: false });
        });
        Seat { seats, partition }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.seats.send_modify(|seats| seats.asking -= 1);
        }
    }
}

/// A partition that is owned.
pub(super) struct Seat<'s> {
    seats: &'s watch::Sender<Seats>,
    partition: u32,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.seats.send_modify(|seats| {
            seats.owned.remove(&self.partition);
        });
    }
}

impl<S> fmt::Debug for Spreading<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spreading")
            .field("name", &self.name)
            .field("partitions", &self.partitions)
            .field("seats", &*self.seats.borrow())
            .finish_non_exhaustive()
    }
}
