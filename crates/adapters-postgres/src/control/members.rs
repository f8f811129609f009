//! Which projections this process is counted for, and where it stands: bookkeeping only, as in `keys`.
//!
//! Who wants to know its rank waits for the next question that is asked anyway, once a second for everything;
//! the answer is as fresh as that question. So ranks cost no questions of their own.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender};
use tokio::sync::oneshot;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::InstanceRank;
use highwater_core::ports::Membership;

use super::command::{Command, Failure};

pub(super) const JOIN: &str = "join the instances of a projection";
const RANK: &str = "count the instances of a projection";

pub(super) type RankReply = oneshot::Sender<Result<InstanceRank, Error>>;

/// Counted for as long as it is kept.
#[derive(Debug)]
pub(super) struct PgMembership {
    projection: String,
    token: i64,
    commands: UnboundedSender<Command>,
}

#[async_trait]
impl Membership for PgMembership {
    async fn rank(&self) -> Result<InstanceRank, Error> {
        let gone = || {
            Error::new(ErrorKind::Unavailable, RANK)
                .with("projection", &self.projection)
                .because("the control connection was closed meanwhile; join again")
        };
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Rank { token: self.token, reply }).map_err(|_closed| gone())?;
        answer.await.unwrap_or_else(|_closed| Err(gone()))
    }
}

impl Drop for PgMembership {
    fn drop(&mut self) {
        if self.commands.send(Command::Leave { token: self.token }).is_err() {
            tracing::trace!("the control connection was closed first, and the membership with it");
        }
    }
}

/// Somebody who waits for being counted.
#[derive(Debug)]
pub(super) struct Joiner {
    pub(super) reply: oneshot::Sender<Result<PgMembership, Error>>,
    /// Weak, as with claims: who waits does not keep the task alive.
    pub(super) commands: WeakUnboundedSender<Command>,
}

/// The memberships of this process as the server is told of them, in one order.
#[derive(Debug, Clone, Default)]
pub(super) struct Roll {
    pub(super) projections: Vec<String>,
    pub(super) tokens: Vec<i64>,
}

#[derive(Debug)]
struct Entry {
    projection: String,
    /// Until the server knows of it.
    joiner: Option<Joiner>,
    waiting: Vec<RankReply>,
}

/// All memberships of this process.
#[derive(Debug, Default)]
pub(super) struct Members {
    entries: BTreeMap<i64, Entry>,
    last_token: i64,
    /// The server does not know the present ones.
    changed: bool,
}

impl Members {
    pub(super) fn join(&mut self, projection: String, joiner: Joiner) {
        self.last_token += 1;
        let entry = Entry { projection, joiner: Some(joiner), waiting: Vec::new() };
        self.entries.insert(self.last_token, entry);
        self.changed = true;
    }

    pub(super) fn leave(&mut self, token: i64) {
        self.changed |= self.entries.remove(&token).is_some();
    }

    /// Answered by [`Members::settle`] or [`Members::refuse`].
    pub(super) fn rank(&mut self, token: i64, reply: RankReply) {
        // There is an entry for as long as there is a membership.
        if let Some(entry) = self.entries.get_mut(&token) {
            entry.waiting.push(reply);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the server is to be told of a change.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// Whether somebody waits for a rank.
    pub(super) fn awaited(&self) -> bool {
        self.entries.values().any(|entry| !entry.waiting.is_empty())
    }

    /// What the server is told.
    pub(super) fn roll(&self) -> Roll {
        let projections = self.entries.values().map(|entry| entry.projection.clone()).collect();
        Roll { projections, tokens: self.entries.keys().copied().collect() }
    }

    /// The server was told of these, and has answered with the ranks of all.
    pub(super) fn settle(&mut self, roll: &Roll, ranks: Vec<InstanceRank>) {
        self.changed = false;
        for (token, rank) in roll.tokens.iter().zip(ranks) {
            let Some(entry) = self.entries.get_mut(token) else { continue };
            for reply in entry.waiting.drain(..) {
                answer(reply, Ok(rank));
            }
            let Some(Joiner { reply, commands }) = entry.joiner.take() else { continue };
            let Some(commands) = commands.upgrade().filter(|_| !reply.is_closed()) else {
                self.leave(*token);
                continue;
            };
            // Should the joiner leave right now, the membership that it does not take gives itself up.
            let membership = PgMembership { projection: entry.projection.clone(), token: *token, commands };
            answer(reply, Ok(membership));
        }
    }

    /// The server cannot be asked. Who was counted remains so, as soon as it can be.
    pub(super) fn refuse(&mut self, failure: &Failure) {
        self.entries.retain(|_, entry| {
            for reply in entry.waiting.drain(..) {
                answer(reply, Err(failure.error(RANK, &entry.projection)));
            }
            match entry.joiner.take() {
                Some(joiner) => {
                    answer(joiner.reply, Err(failure.error(JOIN, &entry.projection)));
                    false
                }
                None => true,
            }
        });
    }
}

fn answer<T>(reply: oneshot::Sender<Result<T, Error>>, answer: Result<T, Error>) {
    if reply.send(answer).is_err() {
        tracing::trace!("a question was given up before it was answered");
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn a_member_is_told_to_the_server_before_it_is_one_and_again_when_it_has_left() {
        let (sender, mut commands) = unbounded_channel();
        let mut members = Members::default();
        let mut join = |projection: &str| {
            let (reply, answer) = oneshot::channel();
            members.join(projection.to_owned(), Joiner { reply, commands: sender.downgrade() });
            answer
        };
        let (mut first, mut second, gone) = (join("p"), join("p"), join("q"));
        drop(gone);
        assert!(members.changed() && first.try_recv().is_err());
        let roll = members.roll();
        assert_eq!(
            (&roll.projections[..], &roll.tokens[..]),
            (&["p", "p", "q"].map(String::from)[..], &[1, 2, 3][..])
        );
        let rank = |rank| InstanceRank { rank, instances: 2 };
        members.settle(&roll, vec![rank(0), rank(1), rank(0)]);
        let (first, _second) =
            (first.try_recv().unwrap().unwrap(), second.try_recv().unwrap().expect("both are counted"));
        assert!(members.changed(), "who does not wait any more is not one");
        assert_eq!(members.roll().tokens, [1, 2]);

        let (reply, mut answer) = oneshot::channel();
        members.rank(first.token, reply);
        assert!(members.awaited());
        members.settle(&members.roll(), vec![rank(0), rank(1)]);
        assert_eq!(answer.try_recv().unwrap().unwrap(), rank(0));
        assert!(!members.awaited() && !members.changed());

        drop(first);
        let Command::Leave { token } = commands.try_recv().unwrap() else { panic!("it leaves") };
        members.leave(token);
        assert!(members.changed());
        assert_eq!(members.roll().tokens, [2]);
    }

    #[test]
    fn without_a_server_nobody_joins_and_who_has_joined_stays() {
        let (sender, _commands) = unbounded_channel();
        let mut members = Members::default();
        let (reply, mut joined) = oneshot::channel();
        members.join("p".to_owned(), Joiner { reply, commands: sender.downgrade() });
        members.settle(&members.roll(), vec![InstanceRank { rank: 0, instances: 1 }]);
        let member = joined.try_recv().unwrap().unwrap();
        let (reply, mut refused) = oneshot::channel();
        members.join("p".to_owned(), Joiner { reply, commands: sender.downgrade() });
        let (reply, mut rank) = oneshot::channel();
        members.rank(member.token, reply);
        members.refuse(&Failure::new(&Error::new(ErrorKind::Timeout, "connect")));
        assert_eq!(refused.try_recv().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(rank.try_recv().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(members.roll().tokens, [member.token]);
    }
}
