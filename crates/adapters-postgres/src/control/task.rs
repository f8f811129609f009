//! The task behind the handles: connects, serves what is asked, and connects again.
//!
//! It lives as long as a handle does, be it only a lease, and ends with the last one. Nothing that is asked
//! of it makes it wait for anything but the server, and for that not longer than a few seconds; a
//! projection's handler is never in its way, so that the heartbeat says that the process lives, not that its
//! work is quick.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use uuid::Uuid;

use highwater_core::error::Error;
use highwater_core::policy::Backoff;
use highwater_core::ports::{Moment, Owner};

use crate::options::Ownership;

use super::command::{Command, Failure};
use super::keys::Keys;
use super::link::{ASK, Link, Wishes};
use super::members::Members;
use super::names::News;
use super::setup::Setup;
use super::timer::Timer;

/// The shortest pause between two notifications, and between two ticks out of turn.
const COALESCE: Duration = Duration::from_millis(10);
/// The shortest pause between two ticks for the sake of a rank.
const COUNT: Duration = Duration::from_millis(500);
/// How often a connection that is otherwise silent is tried.
const PING: Duration = Duration::from_secs(10);
/// A connection that was lost after this long is made again at once.
const STEADY: Duration = Duration::from_secs(1);
const RECONNECT: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };

type OwnerReply = oneshot::Sender<Result<Option<Owner>, Error>>;

/// The task.
pub(super) struct Task {
    setup: Arc<Setup>,
    commands: UnboundedReceiver<Command>,
    timer: Timer,
    keys: Keys,
    members: Members,
    /// To be given up on the server.
    releases: Vec<String>,
    questions: Vec<(String, OwnerReply)>,
    closing: Vec<oneshot::Sender<()>>,
    /// Nobody has a handle any more.
    abandoned: bool,
    /// Why there is no connection, where the last attempt has failed.
    down: Option<Failure>,
    /// Something was given up, and others have not been told.
    released: bool,
    /// The locks of a lost session have not been asked for again.
    reclaiming: bool,
    tick_at: Option<Moment>,
    ticked_at: Moment,
    notify_at: Moment,
    ping_at: Moment,
}

impl Task {
    pub(super) fn new(setup: Arc<Setup>, commands: UnboundedReceiver<Command>) -> Self {
        Self {
            setup,
            commands,
            timer: Timer::start(),
            keys: Keys::default(),
            members: Members::default(),
            releases: Vec::new(),
            questions: Vec::new(),
            closing: Vec::new(),
            abandoned: false,
            down: None,
            released: false,
            reclaiming: false,
            tick_at: None,
            ticked_at: Moment::default(),
            notify_at: Moment::default(),
            ping_at: Moment::default(),
        }
    }

    /// Runs until nobody holds a handle any more.
    pub(super) async fn run(mut self) {
        self.serve_until_closed().await;
        for reply in self.closing {
            if reply.send(()).is_err() {
                tracing::trace!("nobody waits for the end of the control connection");
            }
        }
    }

    async fn serve_until_closed(&mut self) {
        let mut previous = None;
        let mut attempt = 0;
        loop {
            let Some(connected) = self.connect(previous).await else { return };
            let since = self.timer.now();
            let error = match connected {
                Ok(mut link) => {
                    previous = link.pid().or(previous);
                    let Some(error) = self.serve(&mut link).await else {
                        self.end(link).await;
                        return;
                    };
                    error
                }
                Err(error) => error,
            };
            self.fell(&error);
            if self.timer.now().since(since) >= STEADY {
                attempt = 0;
                continue;
            }
            let pause = RECONNECT.delay(attempt, Uuid::new_v4().as_u64_pair().0);
            attempt = attempt.saturating_add(1);
            if !self.pause(pause).await {
                return;
            }
        }
    }

    /// `None` if nobody needs the connection any more. Who asks meanwhile waits for the outcome, unless the
    /// last one was a failure. An end waits for it as well where there is something to tell, as when a process
    /// has appended and is done.
    async fn connect(&mut self, previous: Option<i32>) -> Option<Result<Link, Error>> {
        let setup = self.setup.clone();
        let mut opening = std::pin::pin!(Link::open(&setup, previous));
        loop {
            self.refuse();
            if self.ending() && (self.down.is_some() || !self.signals_due()) {
                return None;
            }
            tokio::select! {
                biased;
                opened = &mut opening => return Some(opened),
                command = self.commands.recv(), if !self.abandoned => match command {
                    Some(command) => self.take(command),
                    None => self.abandoned = true,
                },
            }
        }
    }

    fn ending(&self) -> bool {
        self.abandoned || !self.closing.is_empty()
    }

    fn signals_due(&self) -> bool {
        self.setup.notify && self.setup.signals.is_due()
    }

    /// False if nobody needs the connection any more.
    async fn pause(&mut self, pause: Duration) -> bool {
        let end = self.timer.now() + pause;
        loop {
            self.refuse();
            if self.ending() {
                return false;
            }
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.take(command),
                    None => return false,
                },
                () = self.timer.until(end) => return true,
            }
        }
    }

    /// Serves on a connection; `None` once nobody needs it any more, else why it has ended.
    async fn serve(&mut self, link: &mut Link) -> Option<Error> {
        let now = self.timer.now();
        if self.down.take().is_some() || self.reclaiming {
            tracing::info!("the control connection stands again");
        }
        // What was said meanwhile was said to nobody.
        self.setup.signals.bump(News::Appended);
        self.setup.signals.bump(News::Committed);
        self.tick_at = Some(now);
        self.ping_at = now + PING;
        loop {
            while let Ok(command) = self.commands.try_recv() {
                self.take(command);
            }
            if self.ending() {
                return None;
            }
            if let Err(error) = self.work(link).await {
                return Some(error);
            }
            let wake = self.wake();
            tokio::select! {
                biased;
                command = self.commands.recv() => self.take(command?),
                heard = link.hear(&self.setup) => match heard {
                    Ok(Some(news)) => self.heard(news),
                    Ok(None) => {}
                    Err(error) => return Some(error),
                },
                () = self.timer.until(wake) => {}
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Claim { key, claimant } => self.keys.claim(key, claimant, self.timer.now()),
            Command::Release { key, token } => {
                if self.keys.release(&key, token) {
                    self.releases.push(key);
                }
            }
            Command::Join { projection, joiner } => self.members.join(projection, joiner),
            Command::Leave { token } => self.members.leave(token),
            Command::Rank { token, reply } => self.members.rank(token, reply),
            Command::Owner { key, reply } => self.questions.push((key, reply)),
            Command::Announce => {}
            Command::Close { reply } => self.closing.push(reply),
        }
    }

    fn heard(&mut self, news: News) {
        self.setup.signals.bump(news);
        if news == News::Released && !self.keys.is_empty() {
            let at = self.timer.now().max(self.ticked_at + COALESCE);
            self.tick_at = Some(self.tick_at.map_or(at, |planned| planned.min(at)));
        }
    }

    /// Does everything that is due.
    async fn work(&mut self, link: &mut Link) -> Result<(), Error> {
        let now = self.timer.now();
        self.releases.extend(self.keys.expire(now));
        if !self.releases.is_empty() {
            link.release(&self.setup, &self.releases).await?;
            self.releases.clear();
            self.released = true;
        }
        if self.tick_due().is_some_and(|at| at <= now) {
            self.tick(link).await?;
        }
        while let Some((key, reply)) = self.questions.pop() {
            if reply.is_closed() {
                continue;
            }
            let asked = link.owner(&self.setup, &key).await;
            let failure = asked.as_ref().err().map(Failure::new);
            let answer = match &failure {
                Some(failure) => Err(failure.error(ASK, &key)),
                None => asked,
            };
            if reply.send(answer).is_err() {
                tracing::trace!("a question was given up before it was answered");
            }
            if let Some(failure) = failure {
                return Err(failure.error(ASK, &key));
            }
        }
        self.tell(link).await?;
        if self.timer.now() >= self.ping_at {
            link.ping(&self.setup).await?;
            self.ping_at = self.timer.now() + PING;
        }
        Ok(())
    }

    /// When the server is to be asked next; `None` if there is nothing to ask.
    fn tick_due(&self) -> Option<Moment> {
        if self.keys.any_new() || self.members.changed() {
            return Some(Moment::default());
        }
        if self.keys.is_empty() && self.members.is_empty() {
            return None;
        }
        let planned = self.tick_at.unwrap_or_default();
        Some(if self.members.awaited() { planned.min(self.ticked_at + COUNT) } else { planned })
    }

    async fn tick(&mut self, link: &mut Link) -> Result<(), Error> {
        let (held, wanted, roll) = (self.keys.ours(), self.keys.wanted(), self.members.roll());
        let wishes = Wishes { held, wanted, roll };
        self.ticked_at = self.timer.now();
        let tick = link.tick(&self.setup, self.timer, &wishes).await?;
        let now = self.timer.now();
        self.keys.won(tick.won, now);
        self.keys.settle();
        self.members.settle(&wishes.roll, tick.ranks);
        let mut lost = self.keys.lost(&tick.lost);
        if std::mem::take(&mut self.reclaiming) {
            lost = self.keys.void();
        }
        if !lost.is_empty() {
            tracing::warn!(keys = ?lost, "another instance has taken over");
        }
        self.tick_at = Some(now + tick.next);
        self.ping_at = now + PING;
        Ok(())
    }

    /// Tells others what has happened since the last time, at most every few milliseconds.
    async fn tell(&mut self, link: &mut Link) -> Result<(), Error> {
        let now = self.timer.now();
        if !(self.released || self.setup.signals.is_due()) || now < self.notify_at {
            return Ok(());
        }
        self.notify_at = now + COALESCE;
        let news = self.take_news();
        let told = link.tell(&self.setup, &news).await;
        if told.is_err() {
            for news in news {
                self.setup.signals.mark(news);
            }
        }
        told
    }

    fn take_news(&mut self) -> Vec<News> {
        let mut news = self.setup.signals.take_due();
        if std::mem::take(&mut self.released) {
            news.push(News::Released);
        }
        news
    }

    fn wake(&self) -> Moment {
        let told = (self.released || self.setup.signals.is_due()).then_some(self.notify_at);
        [self.tick_due(), self.keys.next_expiry(), told].into_iter().flatten().fold(self.ping_at, Moment::min)
    }

    /// The connection is gone, or could not be made.
    fn fell(&mut self, error: &Error) {
        let failure = Failure::new(error);
        let leases = match self.setup.ownership {
            // The locks have gone with the session. What others are given meanwhile, the epoch keeps apart.
            Ownership::Session => {
                self.releases.clear();
                let ours = self.keys.ours();
                self.keys.lost(&ours)
            }
            Ownership::Lease => Vec::new(),
        };
        self.reclaiming |= !leases.is_empty();
        if self.down.is_none() {
            tracing::warn!(
                error = failure.chain(),
                keys = ?leases,
                "there is no control connection; what was owned is claimed again when there is one"
            );
        } else {
            tracing::debug!(error = failure.chain(), "the control connection cannot be made");
        }
        self.down = Some(failure);
        self.refuse();
    }

    /// Answers all who wait, if the server is known to be away.
    fn refuse(&mut self) {
        let Some(failure) = &self.down else { return };
        self.keys.refuse(failure);
        self.members.refuse(failure);
        for (key, reply) in self.questions.drain(..) {
            if reply.send(Err(failure.error(ASK, &key))).is_err() {
                tracing::trace!("a question was given up before it was answered");
            }
        }
    }

    /// A clean end: what is ours is free at once, and those who stand by are told.
    async fn end(&mut self, link: Link) {
        let ours = self.keys.ours();
        let owned = !ours.is_empty() || !self.releases.is_empty();
        self.keys.lost(&ours);
        self.released |= owned;
        let news = self.take_news();
        let counted = !self.members.is_empty() || self.members.changed();
        if let Err(error) = link.close(&self.setup, &news, owned || counted).await {
            tracing::debug!(error = error.chain(), "the control connection was not closed in order");
        }
    }
}
