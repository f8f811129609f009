//! The user table of the contract suites, in the store in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use highwater_core::Failure;

use super::tx::MemoryTx;
use crate::contract::TestTable;

/// The table `rows` of a [`MemoryStore`](super::MemoryStore), with every capability that a law may ask for.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryTable;

#[async_trait]
impl TestTable<MemoryTx> for MemoryTable {
    async fn put(&self, tx: &mut MemoryTx, key: &str, value: &str) -> Result<(), Failure> {
        Ok(tx.put("rows", key, value)?)
    }

    async fn rows(&self, tx: &mut MemoryTx) -> Result<BTreeMap<String, String>, Failure> {
        let rows = tx.rows("rows")?.into_iter();
        rows.map(|(key, value)| Ok((key, String::from_utf8(value)?))).collect()
    }

    async fn violate_deferred(&self, tx: &mut MemoryTx) -> Option<Result<(), Failure>> {
        let never = |_: &_| Err("the row has no parent".to_owned());
        Some(tx.put("children", "orphan", "1").and_then(|()| tx.defer_check(never)).map_err(Failure::from))
    }

    async fn run_forever(&self, tx: &mut MemoryTx) -> Option<Result<(), Failure>> {
        Some(tx.run_for(Duration::MAX).await.map_err(Failure::from))
    }

    async fn create_table(&self, tx: &mut MemoryTx, table: &str) -> Option<Result<(), Failure>> {
        Some(tx.create_table(table).map_err(Failure::from))
    }

    async fn drop_table(&self, tx: &mut MemoryTx, table: &str) -> Option<Result<(), Failure>> {
        Some(tx.drop_table(table).map_err(Failure::from))
    }

    async fn end_transaction(&self, tx: &mut MemoryTx) -> Option<Result<(), Failure>> {
        Some(tx.end_transaction().map_err(Failure::from))
    }
}
