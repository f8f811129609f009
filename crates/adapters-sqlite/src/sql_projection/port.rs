//! What the runtime drives.

use std::panic::{AssertUnwindSafe, catch_unwind};

use async_trait::async_trait;
use highwater_core::failure::Failure;
use highwater_core::ports::{ApplySlice, DynProjection};

use crate::store::SqliteTx;

use super::projection::SqlProjection;

#[async_trait]
impl DynProjection<SqliteTx> for SqlProjection {
    async fn apply_slice(&self, slice: ApplySlice<'_>, tx: &mut SqliteTx) -> Result<(), Failure> {
        caught(|| self.apply_on(tx, slice))
    }

    async fn setup(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        caught(|| Ok(self.setup_on(tx)?))
    }

    async fn check(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        caught(|| Ok(self.check_on(tx)?))
    }

    async fn clear(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        caught(|| Ok(self.clear_on(tx)?))
    }

    fn takes_ranges(&self) -> bool {
        self.ranges()
    }

    fn creates(&self) -> Vec<String> {
        self.created_tables().to_vec()
    }
}

fn caught(work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Failure::panicked(&*panic)))
}
