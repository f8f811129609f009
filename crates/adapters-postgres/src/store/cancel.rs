//! Ending a statement that nobody waits for any more.
//!
//! The driver keeps to itself what a cancel request needs. So each transaction holds, beside its real locks,
//! a shared advisory lock on a number of its own, its mark: whoever holds it is the backend to cancel, and
//! once the transaction is over nobody does. A backend that was merely known by its process id could be
//! somebody else's by the time the request arrives.

use sqlx::Connection;
use uuid::Uuid;

use highwater_core::error::Error;

use crate::database::Database;
use crate::error::During;
use crate::reach::connect;

const CANCEL: &str = "cancel a statement";

/// A number that no other transaction has.
pub(super) fn mark() -> i64 {
    let (_, low) = Uuid::new_v4().as_u64_pair();
    i64::from_ne_bytes(low.to_ne_bytes())
}

/// Cancels what the transaction with this mark is doing; nothing if it is over. On a connection of its own,
/// since those of the pool may all be waiting for this one.
pub(super) async fn cancel(database: &Database, mark: i64) -> Result<(), Error> {
    let mut side = connect(&database.pool().connect_options(), CANCEL).await?;
    sqlx::query(
        "SELECT pg_cancel_backend(pid) FROM pg_locks
         WHERE locktype = 'advisory' AND objsubid = 1 AND pid IS NOT NULL
             AND ((classid::bigint << 32) | objid::bigint) = $1
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .bind(mark)
    .persistent(false)
    .execute(&mut side)
    .await
    .during(CANCEL)?;
    side.close().await.during(CANCEL)
}
