//! The connection of a process that has sessions of its own: it listens, and holds the advisory locks.
//!
//! The driver's listener connects again by itself, and silently; with the old session its locks would be gone
//! and nobody would know. So it is given a pool that is closed as soon as it has its one connection: when
//! that is lost, it is lost, and the task is told.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification, PgPool, PgPoolOptions};
use sqlx::{Acquire, Connection, PgConnection};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::InstanceRank;
use highwater_core::ports::{Moment, Owner};

use crate::error::During;
use crate::reach::{self, Reach};

use super::holders::{BEAT, Holder, Holders, LEASE};
use super::link::{ASK, BEATING, CONNECT, GIVE_UP, NOTIFY, Tick, Wishes, ranks};
use super::members::Roll;
use super::names::News;
use super::setup::Setup;
use super::timer::Timer;

/// One session.
pub(super) struct Session {
    listener: PgListener,
    pool: PgPool,
    pid: i32,
    entered: bool,
    holders: Holders,
}

impl Session {
    /// Connects. A session of ours that was lost, `previous`, may still live on the server and hold our
    /// locks.
    pub(super) async fn open(setup: &Setup, previous: Option<i32>) -> Result<Self, Error> {
        setup.connecting(CONNECT, connect(setup, previous)).await
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        (&mut self.listener).acquire().await.during(CONNECT)
    }

    /// Beats and tries what is wanted. Owners that stand still are fenced off, and what they had is tried
    /// again.
    pub(super) async fn tick(&mut self, setup: &Setup, timer: Timer, wishes: &Wishes) -> Result<Tick, Error> {
        if !self.entered {
            let enter = sqlx::query(setup.sql.enter.safe()).bind(&setup.instance.id);
            let connection = self.connection().await?;
            setup.ask(BEATING, async { enter.execute(connection).await.during(BEATING) }).await?;
            self.entered = true;
        }
        let mut tick = self.own(setup, timer, &wishes.wanted, &wishes.roll).await?;
        if tick.stale.is_empty() {
            return Ok(tick.into());
        }
        for holder in std::mem::take(&mut tick.stale) {
            self.fence(setup, &holder, timer.now()).await?;
        }
        let left: Vec<String> = wishes.wanted.iter().filter(|key| !tick.won.contains(key)).cloned().collect();
        let again = self.own(setup, timer, &left, &wishes.roll).await?;
        tick.won.extend(again.won);
        Ok(Tick { won: tick.won, ranks: again.ranks, lost: Vec::new(), next: again.next })
    }

    async fn own(
        &mut self,
        setup: &Setup,
        timer: Timer,
        wanted: &[String],
        roll: &Roll,
    ) -> Result<Answer, Error> {
        let connection = self.connection().await?;
        let query = sqlx::query_as(setup.sql.own.safe())
            .bind(&setup.instance.id)
            .bind(&setup.instance.name)
            .bind(wanted)
            .bind(&roll.projections)
            .bind(&roll.tokens)
            .bind(i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX));
        let (clock, won, ids, beats, places, sizes): Owned =
            setup.ask(BEATING, async { query.fetch_one(connection).await.during(BEATING) }).await?;
        let ranks = ranks(places, sizes)?;
        if wanted.is_empty() {
            return Ok(Answer { won, ranks, stale: Vec::new(), next: BEAT });
        }
        let holders = ids.into_iter().zip(beats).map(|(id, beat)| Holder { id, beat }).collect();
        let verdict = self.holders.look(clock, timer.now(), holders);
        Ok(Answer { won, ranks, stale: verdict.stale, next: verdict.next })
    }

    async fn fence(&mut self, setup: &Setup, holder: &Holder, now: Moment) -> Result<(), Error> {
        const FENCE: &str = "end the sessions of an owner that stands still";
        let connection = self.connection().await?;
        let query = sqlx::query_scalar(setup.sql.fence.safe()).bind(&holder.id).bind(holder.beat);
        let outcome: String =
            setup.ask(FENCE, async { query.fetch_one(connection).await.during(FENCE) }).await?;
        match outcome.as_str() {
            "fenced" => {
                self.holders.fenced(&holder.id, now);
                tracing::warn!(instance = holder.id, "an owner has stood still; its sessions were ended");
            }
            "refused" => {
                self.holders.refused(&holder.id, now);
                tracing::warn!(
                    instance = holder.id,
                    "an owner stands still, and the server does not permit to end its sessions: run all \
                     instances as one role, or grant pg_signal_backend"
                );
            }
            _beats_again => {}
        }
        Ok(())
    }

    pub(super) async fn release(&mut self, setup: &Setup, keys: &[String]) -> Result<(), Error> {
        let connection = self.connection().await?;
        let query = sqlx::query(setup.sql.disown.safe()).bind(keys);
        setup.ask(GIVE_UP, async { query.execute(connection).await.during(GIVE_UP) }).await?;
        Ok(())
    }

    pub(super) async fn owner(&mut self, setup: &Setup, key: &str) -> Result<Option<Owner>, Error> {
        let connection = self.connection().await?;
        let query = sqlx::query_scalar(setup.sql.owner.safe()).bind(key);
        let name: Option<Option<String>> =
            setup.ask(ASK, async { query.fetch_optional(connection).await.during(ASK) }).await?;
        Ok(name.flatten().map(|name| Owner { name }))
    }

    pub(super) async fn tell(&mut self, setup: &Setup, news: &[News]) -> Result<(), Error> {
        let connection = self.connection().await?;
        // A hint need not outlive a crash of the server: nothing waits for the disk.
        let query = sqlx::query(
            "SELECT pg_notify(channel, ''), set_config('synchronous_commit', 'off', true)
             FROM unnest($1) AS channel",
        )
        .bind(setup.channels.of(news));
        setup.ask(NOTIFY, async { query.execute(connection).await.during(NOTIFY) }).await?;
        Ok(())
    }

    pub(super) async fn ping(&mut self, setup: &Setup) -> Result<(), Error> {
        let connection = self.connection().await?;
        setup.ask(CONNECT, async { connection.ping().await.during(CONNECT) }).await
    }

    /// Waits for news of others. Returns also with `None`, for what does not matter. An error is the end of
    /// the session. May be dropped at any time.
    pub(super) async fn hear(&mut self, setup: &Setup) -> Result<Option<News>, Error> {
        match self.listener.try_recv().await.during(CONNECT)? {
            Some(notification) if self.is_own(&notification) => Ok(None),
            Some(notification) => Ok(setup.channels.what(notification.channel())),
            None => Err(Error::new(ErrorKind::Unavailable, CONNECT).because("the server has closed it")),
        }
    }

    fn is_own(&self, notification: &PgNotification) -> bool {
        i32::try_from(notification.process_id()).is_ok_and(|pid| pid == self.pid)
    }

    /// Gives everything up.
    pub(super) async fn leave(&mut self, setup: &Setup) -> Result<(), Error> {
        if !self.entered {
            return Ok(());
        }
        let connection = self.connection().await?;
        let query = sqlx::query(setup.sql.leave.safe()).bind(&setup.instance.id);
        setup.ask(GIVE_UP, async { query.execute(connection).await.during(GIVE_UP) }).await?;
        Ok(())
    }

    /// Ends the session. Dropping it does so, too, but without saying when.
    pub(super) async fn close(self, setup: &Setup) {
        drop(self.listener);
        let closed = async {
            self.pool.close().await;
            Ok(())
        };
        if let Err(error) = setup.ask(CONNECT, closed).await {
            tracing::debug!(error = error.chain(), "the control connection was not closed in order");
        }
    }
}

/// The columns of `own`.
type Owned = (i64, Vec<String>, Vec<String>, Vec<i64>, Vec<i32>, Vec<i32>);

/// What one question was answered with.
struct Answer {
    won: Vec<String>,
    ranks: Vec<InstanceRank>,
    stale: Vec<Holder>,
    next: Duration,
}

impl From<Answer> for Tick {
    fn from(answer: Answer) -> Self {
        Self { won: answer.won, ranks: answer.ranks, lost: Vec::new(), next: answer.next }
    }
}

async fn connect(setup: &Setup, previous: Option<i32>) -> Result<Session, Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .acquire_timeout(setup.connect_timeout)
        .connect_lazy_with(setup.connect.clone());
    // The listener would wait for a server that refuses connections, and then say only that it has waited.
    let mut first = reach::from_pool(&pool, &Reach::default(), Duration::ZERO, CONNECT).await?;
    if let Some(pid) = previous {
        sqlx::query(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
             WHERE pid = $1 AND application_name = current_setting('application_name')",
        )
        .bind(pid)
        .execute(&mut *first)
        .await
        .during(CONNECT)?;
    }
    drop(first);
    let listener = PgListener::connect_with(&pool).await.during(CONNECT)?;
    // It is closed by the call; what the future waits for is that the connection comes back.
    drop(pool.close());
    let mut session = Session { listener, pool, pid: 0, entered: false, holders: Holders::default() };
    session.listener.ignore_pool_close_event(true);
    session.listener.eager_reconnect(false);
    if setup.notify {
        session.listener.listen_all(setup.channels.all()).await.during(CONNECT)?;
    }
    session.pid = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(session.connection().await?)
        .await
        .during(CONNECT)?;
    Ok(session)
}
