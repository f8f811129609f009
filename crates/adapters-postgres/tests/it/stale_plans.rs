//! Statements of a projection that a connection has prepared, and tables that change under them.

use highwater_core::Failure;
use highwater_core::policy::{Class, Classifier};
use highwater_core::ports::{ReadModelStore, UnitOfWork};
use highwater_postgres::sqlx::{self, Row};
use highwater_postgres::{Database, PgClassifier, PgStore};

use crate::kit::Place;
use crate::store_kit::SOON;

/// Selects all columns, as a projection does that reads what it has written; how many there are.
async fn columns(store: &PgStore) -> Result<usize, Failure> {
    let ran = store.transact(SOON, |mut unit| async move {
        let row = sqlx::query("SELECT * FROM model").fetch_one(unit.tx()).await;
        unit.rollback().await?;
        Ok(row.map(|row| row.columns().len()))
    });
    ran.await.expect("the store answers").map_err(Failure::new)
}

#[tokio::test]
async fn a_table_that_changes_under_a_prepared_statement_costs_one_try() {
    let Some(place) = Place::new().await else { return };
    place.execute("CREATE TABLE model (n int); INSERT INTO model VALUES (1)").await;
    // One connection, which every try would come back to.
    let options = place.options().max_connections(1);
    let store = PgStore::new(&Database::open(&place.url(), &options).await.expect("it opens"));
    assert_eq!(columns(&store).await.expect("a row"), 1);
    for change in 2..=3 {
        place.execute(&format!("ALTER TABLE model ADD COLUMN c{change} int")).await;
        let failure = columns(&store).await.expect_err("the plan is of another table");
        let judged = Classifier::new().with(std::sync::Arc::new(PgClassifier)).failure(&failure);
        assert_eq!((judged.class, judged.code.as_deref()), (Class::Transient, Some("0A000")));
        assert_eq!(
            columns(&store).await.expect("a row"),
            change,
            "the next try has a connection that takes it"
        );
    }
    // Everything else that a server cannot do is as final as ever.
    let cannot = store.transact(SOON, |mut unit| async move {
        let error = sqlx::query("SELECT 1 UNION SELECT 2 FOR UPDATE").execute(unit.tx()).await;
        unit.rollback().await?;
        Ok(error.expect_err("a union has no rows to lock"))
    });
    let failure = Failure::new(cannot.await.expect("the store answers"));
    let judged = Classifier::new().with(std::sync::Arc::new(PgClassifier)).failure(&failure);
    assert_eq!((judged.class, judged.code.as_deref()), (Class::Fatal, Some("0A000")));
}
