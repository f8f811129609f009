//! The connection of a process behind a pooler in transaction mode: ownership by rows that run out.
//!
//! Each transaction may be another session of the server's. So nothing here outlives one: no locks of a
//! session, no LISTEN, and no prepared statement, which is why even a single question is a transaction.

use std::time::Duration;

use sqlx::{Connection, PgConnection, Postgres, Transaction};

use highwater_core::error::Error;
use highwater_core::ports::Owner;

use crate::error::During;
use crate::reach;

use super::holders::BEAT;
use super::link::{ASK, BEATING, CONNECT, GIVE_UP, Tick, Wishes, ranks};
use super::setup::Setup;

/// One connection, of ours to the pooler.
pub(super) struct Rows {
    connection: PgConnection,
}

impl Rows {
    pub(super) async fn open(setup: &Setup) -> Result<Self, Error> {
        let connecting = reach::connect(&setup.connect, CONNECT);
        Ok(Self { connection: setup.connecting(CONNECT, connecting).await? })
    }

    /// Renews what is held and takes of what is wanted that which nobody has.
    pub(super) async fn tick(&mut self, setup: &Setup, wishes: &Wishes) -> Result<Tick, Error> {
        let term = i64::try_from(setup.term.as_millis()).unwrap_or(i64::MAX);
        let connection = &mut self.connection;
        let ask = async {
            let mut tx = begin(connection, BEATING).await?;
            let answer: (Vec<String>, Vec<String>, Vec<i32>, Vec<i32>) =
                sqlx::query_as(setup.sql.renew.safe())
                    .bind(&setup.instance.id)
                    .bind(&setup.instance.name)
                    .bind(&wishes.held)
                    .bind(&wishes.wanted)
                    .bind(&wishes.roll.projections)
                    .bind(&wishes.roll.tokens)
                    .bind(term)
                    .persistent(false)
                    .fetch_one(&mut *tx)
                    .await
                    .during(BEATING)?;
            tx.commit().await.during(BEATING)?;
            Ok(answer)
        };
        let (kept, won, places, sizes) = setup.ask(BEATING, ask).await?;
        let renewal = setup.term * 3 / 10;
        let next: Duration = if wishes.wanted.len() > won.len() { BEAT.min(renewal) } else { renewal };
        let lost = wishes.held.iter().filter(|key| !kept.contains(key)).cloned().collect();
        Ok(Tick { won, ranks: ranks(places, sizes)?, lost, next })
    }

    /// Gives up these, or all.
    pub(super) async fn release(&mut self, setup: &Setup, keys: Option<&[String]>) -> Result<(), Error> {
        let connection = &mut self.connection;
        let ask = async {
            let mut tx = begin(connection, GIVE_UP).await?;
            sqlx::query(setup.sql.give_up.safe())
                .bind(&setup.instance.id)
                .bind(keys)
                .persistent(false)
                .execute(&mut *tx)
                .await
                .during(GIVE_UP)?;
            tx.commit().await.during(GIVE_UP)
        };
        setup.ask(GIVE_UP, ask).await
    }

    pub(super) async fn owner(&mut self, setup: &Setup, key: &str) -> Result<Option<Owner>, Error> {
        let connection = &mut self.connection;
        let ask = async {
            let mut tx = begin(connection, ASK).await?;
            let name: Option<String> = sqlx::query_scalar(setup.sql.leaseholder.safe())
                .bind(key)
                .persistent(false)
                .fetch_optional(&mut *tx)
                .await
                .during(ASK)?;
            tx.commit().await.during(ASK)?;
            Ok(name.map(|name| Owner { name }))
        };
        setup.ask(ASK, ask).await
    }

    pub(super) async fn close(self) -> Result<(), Error> {
        self.connection.close().await.during(CONNECT)
    }
}

async fn begin<'c>(
    connection: &'c mut PgConnection,
    operation: &'static str,
) -> Result<Transaction<'c, Postgres>, Error> {
    // A role's default may be stricter, and would turn two claims at a time into an error.
    connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.during(operation)
}
