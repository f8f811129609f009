//! A projection in Rust, event by event.

use std::path::Path;

use highwater::sqlite::SqliteTx;
use highwater::{Failure, Highwater, Projection, RecordedEvent};

use super::{NAME, Pace};
use crate::data::{EVENT_TYPE, Sold};
use crate::sqlite::read_model::{BALANCE_SCHEMA, UPSERT};

struct Balance;

impl Projection<SqliteTx> for Balance {
    async fn apply(&self, event: &RecordedEvent, tx: &mut SqliteTx) -> Result<(), Failure> {
        let sold: Sold<'_> = event.json()?;
        tx.prepare_cached(UPSERT)?.execute((sold.account, sold.cents))?;
        Ok(())
    }

    async fn setup(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        tx.execute_batch(BALANCE_SCHEMA)?;
        Ok(())
    }
}

pub(super) async fn start(database: &Path, pace: Pace) -> anyhow::Result<Highwater> {
    let options = |projection: highwater::ProjectionOptions| {
        projection.types([EVENT_TYPE]).settings(|settings| pace.set(settings))
    };
    Ok(Highwater::builder().sqlite(database).projection(NAME, Balance, options).start().await?)
}
