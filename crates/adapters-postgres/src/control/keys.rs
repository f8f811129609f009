//! Which keys this process wants and which it has: bookkeeping only, nothing here talks to a server.
//!
//! Session locks are counted by the server and so could be taken twice by one process: that a key has one
//! owner in this process is decided here. A key that others hold is tried once a second for all who want it,
//! so a claim waits for the next answer instead of asking by itself. What is won while nobody waits (a runner
//! rests between two claims) is kept for a moment and given to the next claim.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use highwater_core::ports::{Claim, Moment};

use super::command::{Claimant, Failure};
use super::lease::PgLease;

const CLAIM: &str = "claim a projection";
/// How long a key is tried after the last claim for it.
const INTEREST: Duration = Duration::from_secs(3);
/// How long what was won waits for a claim. A runner asks five times a second.
const GRANT: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Entry {
    /// Wanted by these; `asked` once the server has been.
    Wanted { waiting: Vec<Claimant>, asked: bool, until: Moment },
    /// Ours, and nobody has come for it yet.
    Granted { until: Moment },
    /// There is a lease. `ours` is false while the server does not say so.
    Held { token: u64, held: Arc<AtomicBool>, ours: bool },
}

/// All keys that matter to this process.
#[derive(Debug, Default)]
pub(super) struct Keys {
    entries: BTreeMap<String, Entry>,
    next_token: u64,
}

impl Keys {
    /// Somebody claims a key. Answered at once where this process has it, else by [`Keys::won`],
    /// [`Keys::settle`] or [`Keys::refuse`].
    pub(super) fn claim(&mut self, key: String, claimant: Claimant, now: Moment) {
        match self.entries.get_mut(&key) {
            Some(Entry::Held { .. }) => answer_busy(claimant),
            Some(Entry::Granted { .. }) => {
                if let Some(held) = self.grant(&key, vec![claimant]) {
                    self.entries.insert(key, held);
                }
            }
            Some(Entry::Wanted { waiting, until, .. }) => {
                waiting.push(claimant);
                *until = now + INTEREST;
            }
            None => {
                let wanted = Entry::Wanted { waiting: vec![claimant], asked: false, until: now + INTEREST };
                self.entries.insert(key, wanted);
            }
        }
    }

    /// A lease is given up; true if the server is to be told.
    pub(super) fn release(&mut self, key: &str, token: u64) -> bool {
        match self.entries.get(key) {
            Some(Entry::Held { token: present, ours, .. }) if *present == token => {
                let ours = *ours;
                self.entries.remove(key);
                ours
            }
            _ => false,
        }
    }

    /// Forgets what nobody wants any more; answers what is to be given up on the server.
    pub(super) fn expire(&mut self, now: Moment) -> Vec<String> {
        let mut given_up = Vec::new();
        self.entries.retain(|key, entry| match entry {
            Entry::Wanted { waiting, until, .. } => {
                waiting.retain(|claimant| !claimant.reply.is_closed());
                !waiting.is_empty() || *until > now
            }
            Entry::Granted { until } if *until <= now => {
                given_up.push(key.clone());
                false
            }
            Entry::Granted { .. } | Entry::Held { .. } => true,
        });
        given_up
    }

    /// When [`Keys::expire`] has something to give up.
    pub(super) fn next_expiry(&self) -> Option<Moment> {
        let granted = |entry: &Entry| match entry {
            Entry::Granted { until } => Some(*until),
            Entry::Wanted { .. } | Entry::Held { .. } => None,
        };
        self.entries.values().filter_map(granted).min()
    }

    /// Whether there is a key that the server has not been asked for.
    pub(super) fn any_new(&self) -> bool {
        self.entries.values().any(|entry| matches!(entry, Entry::Wanted { asked: false, .. }))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is to be asked for.
    pub(super) fn wanted(&self) -> Vec<String> {
        self.filter(|entry| matches!(entry, Entry::Wanted { .. } | Entry::Held { ours: false, .. }))
    }

    /// What is ours on the server.
    pub(super) fn ours(&self) -> Vec<String> {
        self.filter(|entry| matches!(entry, Entry::Granted { .. } | Entry::Held { ours: true, .. }))
    }

    fn filter(&self, choose: impl Fn(&Entry) -> bool) -> Vec<String> {
        self.entries.iter().filter(|(_, entry)| choose(entry)).map(|(key, _)| key.clone()).collect()
    }

    /// The server has given these to us.
    pub(super) fn won(&mut self, keys: Vec<String>, now: Moment) {
        for key in keys {
            let entry = match self.entries.remove(&key) {
                Some(Entry::Wanted { waiting, .. }) => {
                    self.grant(&key, waiting).unwrap_or(Entry::Granted { until: now + GRANT })
                }
                Some(Entry::Held { token, held, ours: _ }) => {
                    held.store(true, Ordering::SeqCst);
                    tracing::info!(key, "taken back after the control connection was lost");
                    Entry::Held { token, held, ours: true }
                }
                Some(granted @ Entry::Granted { .. }) => granted,
                // Nobody wants it any more: it expires, and is given up, at once.
                None => Entry::Granted { until: now },
            };
            self.entries.insert(key, entry);
        }
    }

    /// The server has been asked for all that is wanted: who still waits is told that another one has it.
    pub(super) fn settle(&mut self) {
        for entry in self.entries.values_mut() {
            if let Entry::Wanted { waiting, asked, .. } = entry {
                *asked = true;
                waiting.drain(..).for_each(answer_busy);
            }
        }
    }

    /// The server cannot be asked.
    pub(super) fn refuse(&mut self, failure: &Failure) {
        for (key, entry) in &mut self.entries {
            if let Entry::Wanted { waiting, asked, .. } = entry {
                *asked = false;
                for claimant in waiting.drain(..) {
                    answer(claimant, Err(failure.error(CLAIM, key)));
                }
            }
        }
    }

    /// The leases that the server does not confirm.
    pub(super) fn void(&self) -> Vec<String> {
        self.filter(|entry| matches!(entry, Entry::Held { ours: false, .. }))
    }

    /// These are ours no longer; answers those that a lease was given for.
    pub(super) fn lost(&mut self, keys: &[String]) -> Vec<String> {
        let mut leases = Vec::new();
        for key in keys {
            match self.entries.get_mut(key) {
                Some(Entry::Held { held, ours, .. }) => {
                    held.store(false, Ordering::SeqCst);
                    *ours = false;
                    leases.push(key.clone());
                }
                Some(Entry::Granted { .. }) => {
                    self.entries.remove(key);
                }
                Some(Entry::Wanted { .. }) | None => {}
            }
        }
        leases
    }

    /// Gives what was won to the first who is still there; the others are told that it is taken. `None` if
    /// nobody is there.
    fn grant(&mut self, key: &str, waiting: Vec<Claimant>) -> Option<Entry> {
        let mut entry = None;
        for claimant in waiting {
            if entry.is_some() {
                answer_busy(claimant);
                continue;
            }
            if claimant.reply.is_closed() {
                continue;
            }
            let Some(commands) = claimant.commands.upgrade() else { continue };
            self.next_token += 1;
            let (token, held) = (self.next_token, Arc::new(AtomicBool::new(true)));
            let lease = PgLease { key: key.to_owned(), token, held: held.clone(), commands };
            // Should the claimant leave right now, the lease that it does not take gives itself up.
            answer(claimant, Ok(Claim::Owned(lease)));
            entry = Some(Entry::Held { token, held, ours: true });
        }
        entry
    }
}

fn answer_busy(claimant: Claimant) {
    answer(claimant, Ok(Claim::Busy));
}

fn answer(claimant: Claimant, answer: Result<Claim<PgLease>, highwater_core::Error>) {
    if claimant.reply.send(answer).is_err() {
        tracing::trace!("a claim was given up before it was answered");
    }
}

#[cfg(test)]
mod tests {
    use highwater_core::error::{Error, ErrorKind};
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::sync::oneshot::{self, Receiver};

    use super::super::command::Command;
    use super::*;

    type Answer = Receiver<Result<Claim<PgLease>, Error>>;

    struct Desk {
        keys: Keys,
        sender: UnboundedSender<Command>,
        commands: UnboundedReceiver<Command>,
    }

    impl Desk {
        fn new() -> Self {
            let (sender, commands) = unbounded_channel();
            Self { keys: Keys::default(), sender, commands }
        }

        fn claim(&mut self, key: &str, now: Moment) -> Answer {
            let (reply, answer) = oneshot::channel();
            self.keys.claim(key.to_owned(), Claimant { reply, commands: self.sender.downgrade() }, now);
            answer
        }

        fn won(&mut self, key: &str, now: Moment) {
            self.keys.won(vec![key.to_owned()], now);
        }

        /// What a dropped lease has sent, done.
        fn release(&mut self) -> bool {
            match self.commands.try_recv().unwrap() {
                Command::Release { key, token } => self.keys.release(&key, token),
                other => panic!("{other:?}"),
            }
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    fn owned(mut answer: Answer) -> PgLease {
        match answer.try_recv().unwrap().unwrap() {
            Claim::Owned(lease) => lease,
            Claim::Busy => panic!("it was won"),
        }
    }

    fn is_busy(mut answer: Answer) -> bool {
        matches!(answer.try_recv().unwrap().unwrap(), Claim::Busy)
    }

    #[test]
    fn e_11_one_claim_of_a_process_wins_and_a_released_key_is_given_up() {
        let mut desk = Desk::new();
        let (gone, first, second) = (desk.claim("p", at(0)), desk.claim("p", at(0)), desk.claim("p", at(0)));
        drop(gone);
        assert!(desk.keys.any_new());
        assert_eq!(desk.keys.wanted(), ["p"]);
        desk.won("p", at(0));
        desk.keys.settle();
        let lease = owned(first);
        assert!(is_busy(second) && lease.is_held());
        let third = desk.claim("p", at(1));
        assert!(is_busy(third), "session locks count, so the server would have said yes");
        assert_eq!((desk.keys.ours(), desk.keys.wanted()), (vec!["p".to_owned()], vec![]));
        drop(lease);
        assert!(desk.release());
        assert!(desk.keys.is_empty());
    }

    #[test]
    fn a_key_that_others_hold_is_tried_for_as_long_as_somebody_asks() {
        let mut desk = Desk::new();
        let answer = desk.claim("p", at(0));
        desk.keys.settle();
        assert!(is_busy(answer));
        assert!(!desk.keys.any_new(), "from now on it is one of those that are asked for together");
        assert_eq!(desk.keys.expire(at(2)), Vec::<String>::new());
        assert_eq!(desk.keys.wanted(), ["p"]);
        let mut waiting = desk.claim("p", at(2));
        assert!(waiting.try_recv().is_err(), "it waits for the next answer");
        desk.keys.expire(at(60));
        assert_eq!(desk.keys.wanted(), ["p"], "who waits is interested");
        drop(waiting);
        desk.keys.expire(at(60));
        assert!(desk.keys.is_empty());
    }

    #[test]
    fn what_is_won_between_two_claims_waits_for_the_next_one_but_not_for_ever() {
        let mut desk = Desk::new();
        drop(desk.claim("p", at(0)));
        desk.won("p", at(1));
        let lease = owned(desk.claim("p", at(1)));
        drop(lease);
        assert!(desk.release());
        drop(desk.claim("p", at(2)));
        desk.won("p", at(2));
        assert_eq!(desk.keys.next_expiry(), Some(at(3)));
        assert_eq!(desk.keys.expire(at(3)), ["p"]);
        assert!(desk.keys.is_empty());
    }

    #[test]
    fn a_lost_lock_is_wanted_again_and_is_not_given_up_when_it_is_not_ours() {
        let mut desk = Desk::new();
        let answer = desk.claim("p", at(0));
        desk.won("p", at(0));
        let lease = owned(answer);
        assert_eq!(desk.keys.lost(&["p".to_owned()]), ["p"]);
        assert!(!lease.is_held());
        assert_eq!(desk.keys.wanted(), ["p"]);
        assert_eq!(desk.keys.void(), ["p"]);
        assert!(is_busy(desk.claim("p", at(1))), "this process has a runner for it");
        desk.won("p", at(1));
        assert!(lease.is_held() && desk.keys.void().is_empty());
        desk.keys.lost(&["p".to_owned()]);
        drop(lease);
        assert!(!desk.release(), "the server has nothing to give up");
        assert!(desk.keys.is_empty());
    }

    #[test]
    fn an_earlier_lease_does_not_give_up_a_later_one() {
        let mut desk = Desk::new();
        let answer = desk.claim("p", at(0));
        desk.won("p", at(0));
        drop(owned(answer));
        let Command::Release { key, token } = desk.commands.try_recv().unwrap() else { panic!() };
        assert!(desk.keys.release(&key, token));
        let answer = desk.claim("p", at(0));
        desk.won("p", at(0));
        let _lease = owned(answer);
        assert!(!desk.keys.release(&key, token));
        assert_eq!(desk.keys.ours(), ["p"]);
    }

    #[test]
    fn without_a_server_claims_are_refused_and_asked_again_later() {
        let mut desk = Desk::new();
        let mut answer = desk.claim("p", at(0));
        desk.keys.settle();
        assert!(matches!(answer.try_recv(), Ok(Ok(Claim::Busy))));
        let mut answer = desk.claim("p", at(0));
        desk.keys.refuse(&Failure::new(&Error::new(ErrorKind::Timeout, "connect")));
        assert_eq!(answer.try_recv().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(desk.keys.any_new());
    }
}
