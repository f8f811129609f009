//! Projections in Rust.

use anyhow::ensure;
use highwater::postgres::PgConnection;
use highwater::{Failure, Highwater, Projection, ProjectionOptions, RecordedEvent};
use sqlx::Executor;

use super::{NAME, Run, Way};
use crate::data::{EVENT_TYPE, Sold};
use crate::postgres::baseline;
use crate::postgres::read_model::{SCHEMA, UPSERT};

/// Event by event.
struct Balance;

impl Projection<PgConnection> for Balance {
    async fn apply(&self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), Failure> {
        let sold: Sold<'_> = event.json()?;
        sqlx::query(UPSERT).bind(sold.account).bind(sold.cents).execute(tx).await?;
        Ok(())
    }

    async fn setup(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        tx.execute(SCHEMA).await?;
        Ok(())
    }
}

/// A batch at a time.
struct BalanceInBatches;

impl Projection<PgConnection> for BalanceInBatches {
    async fn apply(&self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), Failure> {
        Balance.apply(event, tx).await
    }

    async fn apply_batch(&self, events: &[RecordedEvent], tx: &mut PgConnection) -> Result<(), Failure> {
        let mut sold = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            sold.push(event.json().map_err(|error| Failure::from(error).at(index))?);
        }
        baseline::insert(tx, &sold).await?;
        Ok(())
    }

    async fn setup(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        Balance.setup(tx).await
    }
}

pub(super) async fn start(run: &Run) -> anyhow::Result<Highwater> {
    ensure!(run.log == run.store, "a projection in Rust reads the log of its own database here");
    let builder = Highwater::builder().postgres(&run.store);
    let options =
        |projection: ProjectionOptions| projection.types([EVENT_TYPE]).settings(|settings| run.set(settings));
    let builder = match run.way {
        Way::RustBatch => builder.projection(NAME, BalanceInBatches, options),
        Way::Apply | Way::On | Way::Rust => builder.projection(NAME, Balance, options),
    };
    Ok(builder.start().await?)
}
