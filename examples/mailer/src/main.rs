//! A handler whose other side fails: it is away for a while, and refuses one event for good.
//!
//! Mails go out through a provider, four customers at a time, each customer's in order. While the provider is away
//! nothing is given up and nothing overtakes: the handler waits. What the provider refuses becomes a dead letter, and
//! the handler goes on. At the end somebody reads the dead letters and mends them.
//!
//! `cargo run -p example-mailer [FOLDER]` (default: a new folder in the temporary one)

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use highwater::sqlite::{SqliteDeadLetters, SqliteLog, SqliteOptions};
use highwater::{
    Append, AppendEvents, DeadLetters as _, Expected, Failure, Handler, Highwater, NewEvent, OrVerdict as _,
    Outcome, RecordedEvent,
};

const CUSTOMERS: u64 = 8;
const ORDERS: u64 = 5;
/// How many calls of the provider fail before it is back.
const AWAY_FOR: u32 = 6;
const NOBODY: &str = "customer-3@nowhere.example";

/// What the provider answers when it sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Away,
    NoSuchAddress,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Away => "the provider is away",
            Self::NoSuchAddress => "there is no such address",
        })
    }
}

impl Error for Refused {}

/// The other side. It keeps the id of each mail with it, so that a repetition is none.
#[derive(Debug, Default)]
struct Provider {
    calls: u32,
    sent: HashMap<String, Vec<(String, u64)>>,
}

impl Provider {
    fn send(&mut self, id: &str, address: &str, order: u64) -> Result<(), Refused> {
        self.calls += 1;
        if self.calls <= AWAY_FOR {
            return Err(Refused::Away);
        }
        if address == NOBODY {
            return Err(Refused::NoSuchAddress);
        }
        let mails = self.sent.entry(address.to_owned()).or_default();
        if mails.iter().all(|(known, _)| known != id) {
            mails.push((id.to_owned(), order));
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct OrderPlaced<'e> {
    address: &'e str,
    order: u64,
}

/// The handler.
#[derive(Debug, Clone, Default)]
struct Mailer(Arc<Mutex<Provider>>);

impl Mailer {
    fn provider(&self) -> std::sync::MutexGuard<'_, Provider> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for Mailer {
    async fn handle(&self, event: &RecordedEvent) -> Result<(), Failure> {
        let placed: OrderPlaced<'_> = event.json()?;
        let sent = self.provider().send(&event.id().to_string(), placed.address, placed.order);
        // The library cannot know what a provider's errors mean, so they are told: one passes, the other does not.
        match sent {
            Err(Refused::Away) => sent.or_retry(),
            Err(Refused::NoSuchAddress) => sent.or_park(),
            Ok(()) => Ok(()),
        }
    }
}

async fn place_orders(log: &SqliteLog) -> Result<(), Box<dyn Error>> {
    let mut appends = Vec::new();
    for order in 0..ORDERS {
        for customer in 0..CUSTOMERS {
            // One of them gave an address that does not exist, once.
            let host = if (customer, order) == (3, 2) { "nowhere.example" } else { "shop.example" };
            let data = format!(r#"{{"address": "customer-{customer}@{host}", "order": {order}}}"#);
            appends.push(Append {
                stream: format!("customer-{customer}").into(),
                category: None,
                expected: Expected::Next(order),
                events: vec![NewEvent::json("OrderPlaced", data)],
            });
        }
    }
    log.append(&appends).await?;
    Ok(())
}

/// What came of it: the mailer, and the reasons of the dead letters.
async fn example(folder: &Path) -> Result<(Mailer, Vec<String>), Box<dyn Error>> {
    let file = folder.join("shop.db");
    let options = SqliteOptions::default();
    place_orders(&SqliteLog::open(&file, &options).await?).await?;

    let mailer = Mailer::default();
    let highwater = Highwater::builder()
        .sqlite(&file)
        .handler("mails", mailer.clone(), |h| {
            h.types(["OrderPlaced"]).lanes(4).settings(|settings| {
                settings.retry_delay = Duration::from_millis(100); // 1 s by default
                settings.breaker_open_time = Duration::from_millis(200); // 60 s by default
            })
        })
        .start()
        .await?;
    let report = highwater.run_until_caught_up(std::future::pending()).await?;
    let report = &report.handlers[0];
    if report.outcome != Outcome::CaughtUp {
        return Err(format!("the handler did not get there: {:?}", report.outcome).into());
    }
    let totals = &report.totals;
    println!("{} mails sent, {} given up", totals.processed, totals.dead_lettered);

    let letters = SqliteDeadLetters::open(&file, &options).await?;
    let mut reasons = Vec::new();
    for letter in letters.list("mails", None, 100).await? {
        println!("given up: {} in {}: {}", letter.event.position(), letter.event.stream(), letter.message);
        reasons.push(letter.message.clone());
        // Mended by hand: the mail goes to the right address, and then the letter is done with.
        let placed: OrderPlaced<'_> = letter.event.json()?;
        let address = placed.address.replace("nowhere", "shop");
        mailer.provider().send(&letter.event.id().to_string(), &address, placed.order)?;
        letters.remove("mails", letter.generation, letter.event.position()).await?;
    }
    Ok((mailer, reasons))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => std::env::temp_dir().join(format!("mailer-{}", std::process::id())),
    };
    std::fs::create_dir_all(&folder)?;
    let (mailer, _) = example(&folder).await?;
    let provider = mailer.provider();
    let mut sent: Vec<_> = provider.sent.iter().collect();
    sent.sort();
    for (address, mails) in sent {
        println!("{address}: orders {:?}", mails.iter().map(|(_, order)| order).collect::<Vec<_>>());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_mail_is_sent_once_in_the_order_of_its_customer_and_one_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let (mailer, reasons) = example(folder.path()).await.unwrap();
        let provider = mailer.provider();
        assert_eq!(provider.sent.len(), 8);
        for (address, mails) in &provider.sent {
            let orders: Vec<u64> = mails.iter().map(|(_, order)| *order).collect();
            // The one that was mended came last.
            let expected = if address.starts_with("customer-3@") { [0, 1, 3, 4, 2] } else { [0, 1, 2, 3, 4] };
            assert_eq!(orders, expected, "{address}");
        }
        assert_eq!(reasons.len(), 1);
        assert!(reasons[0].contains("there is no such address"), "{reasons:?}");
        assert!(provider.calls > AWAY_FOR + 40, "{} calls", provider.calls);
    }
}
