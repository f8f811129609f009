//! What the runtime drives.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use sqlx::PgConnection;

use highwater_core::failure::Failure;
use highwater_core::model::{Partition, RecordedEvent};
use highwater_core::ports::{ApplySlice, DynProjection, Until};

use super::projection::SqlProjection;

#[async_trait]
impl DynProjection<PgConnection> for SqlProjection {
    async fn apply_slice(&self, slice: ApplySlice<'_>, tx: &mut PgConnection) -> Result<(), Failure> {
        caught(self.apply_on(tx, slice)).await
    }

    fn finds_culprits(&self) -> bool {
        self.ranges()
    }

    async fn apply_until(
        &self,
        events: &[RecordedEvent],
        known: bool,
        tx: &mut PgConnection,
    ) -> Result<Until, Failure> {
        caught(self.apply_until_on(tx, events, known)).await
    }

    async fn setup(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        caught(async { Ok(self.setup_on(tx).await?) }).await
    }

    async fn check(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        caught(async { Ok(self.check_on(tx).await?) }).await
    }

    async fn clear(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        caught(async { Ok(self.clear_on(tx).await?) }).await
    }

    fn takes_ranges(&self) -> bool {
        self.ranges()
    }

    fn for_partition(&self, partition: Partition) -> Option<Arc<dyn DynProjection<PgConnection>>> {
        Some(Arc::new(self.of(partition)))
    }

    fn partition(&self) -> Option<Partition> {
        Self::partition(self)
    }

    fn creates(&self) -> Vec<String> {
        self.created_tables().to_vec()
    }
}

async fn caught<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(Failure::panicked(&*panic)))
}
