//! A projection in Rust whose read model is exact, whatever happens between its batches.
//!
//! Orders are appended to a log, a projection sums them up per customer, and the program stops in the middle and
//! goes on: nothing is counted twice, nothing is left out. One order does not decode: it is parked with its
//! payload, and the others are not touched.
//!
//! `cargo run -p example-exactly-once [FILE]` (default: a new file in the temporary folder)

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use highwater::sqlite::{SqliteLog, SqliteOptions, SqliteTx};
use highwater::{
    Append, AppendEvents, Expected, Failure, Highwater, NewEvent, Projection, RecordedEvent, Report, Waited,
};

#[derive(serde::Deserialize)]
struct OrderPlaced<'e> {
    customer: &'e str,
    cents: i64,
}

struct Revenue;

impl Projection<SqliteTx> for Revenue {
    async fn apply(&self, event: &RecordedEvent, tx: &mut SqliteTx) -> Result<(), Failure> {
        let order: OrderPlaced<'_> = event.json()?;
        tx.prepare_cached(
            "INSERT INTO revenue (customer, orders, cents) VALUES (?1, 1, ?2)
             ON CONFLICT (customer) DO UPDATE SET orders = orders + 1, cents = cents + excluded.cents",
        )?
        .execute((order.customer, order.cents))?;
        Ok(())
    }

    async fn setup(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        tx.execute_batch(
            "CREATE TABLE revenue (customer TEXT PRIMARY KEY, orders INTEGER NOT NULL, cents INTEGER NOT NULL)",
        )?;
        Ok(())
    }

    async fn clear(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        tx.execute("DELETE FROM revenue", ())?;
        Ok(())
    }
}

async fn place(log: &SqliteLog, order: u32, data: String) -> Result<(), highwater::Error> {
    let append = Append {
        stream: format!("order-{order}").into(),
        category: None,
        expected: Expected::Next(0),
        events: vec![NewEvent::json("OrderPlaced", data)],
    };
    log.append(&[append]).await.map(|_places| ())
}

async fn start(file: &PathBuf) -> Result<Highwater, highwater::StartError> {
    Highwater::builder()
        .sqlite(file)
        .projection("revenue", Revenue, |projection| projection.types(["OrderPlaced"]))
        .start()
        .await
}

async fn run_to_the_end(file: &PathBuf) -> Result<Report, Box<dyn Error>> {
    let highwater = start(file).await?;
    let waited = highwater.wait_for_head("revenue", Duration::from_secs(30)).await?;
    if !matches!(waited, Waited::Reached | Waited::Parked) {
        return Err(format!("the projection did not get there: {waited:?}").into());
    }
    Ok(highwater.run_until(std::future::ready(())).await)
}

/// What the read model says of a customer.
#[derive(Debug, PartialEq)]
struct Row {
    customer: String,
    orders: i64,
    cents: i64,
}

async fn example(file: &PathBuf) -> Result<Vec<Row>, Box<dyn Error>> {
    let log = SqliteLog::open(file, &SqliteOptions::default()).await?;
    for order in 0..600 {
        let customer = ["ada", "grace", "edsger"][order as usize % 3];
        let data = match order {
            77 => r#"{"customer":"ada","cents":"a lot"}"#.to_owned(),
            _ => format!(r#"{{"customer":"{customer}","cents":{}}}"#, order * 5),
        };
        place(&log, order, data).await?;
        if order == 300 {
            let report = run_to_the_end(file).await?;
            println!("stopped in the middle: {} applied", report.projections[0].applied);
        }
    }
    let report = run_to_the_end(file).await?;
    println!("and went on: {} applied, none twice", report.projections[0].applied);

    let read = highwater::sqlite::rusqlite::Connection::open(file)?;
    let mut select = read.prepare("SELECT customer, orders, cents FROM revenue ORDER BY customer")?;
    let rows = select
        .query_map((), |row| Ok(Row { customer: row.get(0)?, orders: row.get(1)?, cents: row.get(2)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = match std::env::args_os().nth(1) {
        Some(file) => PathBuf::from(file),
        None => std::env::temp_dir().join(format!("exactly-once-{}.db", std::process::id())),
    };
    for Row { customer, orders, cents } in example(&file).await? {
        println!("{customer:8} {orders:4} orders {:8}.{:02}", cents / 100, cents % 100);
    }
    let highwater = start(&file).await?;
    for failed in highwater.control().failed_events(&Default::default(), 10).await? {
        println!("set aside: {} at {}: {}", failed.event_type, failed.position, failed.message);
    }
    highwater.run_until(std::future::ready(())).await;
    println!("all of it is in {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_order_is_counted_once_and_the_bad_one_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let rows = example(&folder.path().join("orders.db")).await.unwrap();
        let total = |customer: i64| {
            // Order 77, edsger's, does not decode.
            (0..600).filter(|order| order % 3 == customer && *order != 77).map(|order| order * 5).sum::<i64>()
        };
        let row = |customer: &str, orders, cents| Row { customer: customer.to_owned(), orders, cents };
        assert_eq!(
            rows,
            [row("ada", 200, total(0)), row("edsger", 199, total(2)), row("grace", 200, total(1))]
        );
    }
}
