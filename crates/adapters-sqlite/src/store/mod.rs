//! The transactional store of read models.
//!
//! A batch is one job on a blocking thread: the thread begins the transaction, polls the job's future to its
//! end and rolls back what was not committed. The connection moves in with the job and out again, so nothing
//! waits for a thread of its own, and a projection's statements and temp views stay with its connection.

mod authorizer;
mod claim;
mod control;
mod created;
mod deferred;
mod failed_rows;
mod job;
mod owned_tables;
mod session;
mod sqlite_store;
mod state_row;
mod tx;
mod unit;

pub use claim::SqliteLease;
pub use sqlite_store::SqliteStore;
pub use tx::SqliteTx;
pub use unit::SqliteUnit;
