//! A handler as a closure: events leave the log for a place that shares no transaction with it, each at least once.
//!
//! A week of real flights is appended to a log. The handler keeps the departures by airport in a database of its own,
//! as it would in a search index or another service, and stops in the middle and goes on. It may be given an event
//! twice, so the sink tells a repetition by the event's id: at least once in, exactly once kept.
//!
//! `cargo run -p example-handlers [FOLDER]` (default: a new folder in the temporary one)

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::MultiGzDecoder;
use highwater::sqlite::rusqlite::{self, Connection};
use highwater::sqlite::{SqliteLog, SqliteOptions};
use highwater::{
    Append, AppendEvents, Expected, Failure, Highwater, NewEvent, Outcome, RecordedEvent, Report,
};
use serde_json::value::RawValue;

const FLIGHTS: &[u8] = include_bytes!("../../flights/flights-week1.ndjson.gz");

/// A line of the sample.
#[derive(serde::Deserialize)]
struct Line<'l> {
    id: uuid::Uuid,
    stream: &'l str,
    sequence: u64,
    #[serde(rename = "type")]
    event_type: &'l str,
    #[serde(borrow)]
    data: &'l RawValue,
}

#[derive(serde::Deserialize)]
struct Departed<'e> {
    origin: &'e str,
    dep_delay_minutes: i64,
}

/// Appends the lines to the log; those that are there already change nothing.
async fn append(log: &SqliteLog, lines: &[String]) -> Result<(), Box<dyn Error>> {
    for lines in lines.chunks(1_000) {
        let mut appends = Vec::new();
        for line in lines {
            let line: Line<'_> = serde_json::from_str(line)?;
            let mut event = NewEvent::json(line.event_type, line.data.get().to_owned());
            event.id = line.id;
            appends.push(Append {
                stream: line.stream.into(),
                category: None,
                expected: Expected::Next(line.sequence),
                events: vec![event],
            });
        }
        log.append(&appends).await?;
    }
    Ok(())
}

/// The other side: it knows which events it has taken.
#[derive(Clone)]
struct Board(Arc<Mutex<Connection>>);

impl Board {
    fn open(file: &Path) -> rusqlite::Result<Self> {
        let board = Connection::open(file)?;
        board.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE IF NOT EXISTS departures (id BLOB PRIMARY KEY, origin TEXT NOT NULL, delay INTEGER NOT NULL)
             WITHOUT ROWID",
        )?;
        Ok(Self(Arc::new(Mutex::new(board))))
    }

    /// Takes an event; one that it has already changes nothing.
    fn departed(&self, event: &RecordedEvent) -> Result<(), Failure> {
        let departed: Departed<'_> = event.json()?; // does not decode: a dead letter, and the handler goes on
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        board
            .prepare_cached("INSERT INTO departures VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING")?
            .execute((event.id().into_bytes(), departed.origin, departed.dep_delay_minutes))?;
        Ok(())
    }

    fn by_airport(&self) -> rusqlite::Result<Vec<(String, i64, i64)>> {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut select = board
            .prepare("SELECT origin, count(*), sum(delay) FROM departures GROUP BY origin ORDER BY 1")?;
        let rows = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    }
}

async fn run(log: &Path, board: &Board) -> Result<Report, Box<dyn Error>> {
    let board = board.clone();
    let handler = move |event: RecordedEvent| {
        let board = board.clone();
        async move {
            // A database call blocks its thread, so it gets one that may be blocked.
            tokio::task::spawn_blocking(move || board.departed(&event)).await?
        }
    };
    let highwater = Highwater::builder()
        .sqlite(log)
        .handler("departures", handler, |h| {
            h.types(["FlightDeparted"]).settings(|settings| settings.checkpoint_batch_size = 200)
        })
        .start()
        .await?;
    let report = highwater.run_until_caught_up(std::future::pending()).await?;
    match &report.handlers[0].outcome {
        Outcome::CaughtUp => Ok(report),
        other => Err(format!("the handler did not get there: {other:?}").into()),
    }
}

async fn example(folder: &Path) -> Result<Vec<(String, i64, i64)>, Box<dyn Error>> {
    let file = folder.join("flights.db");
    let log = SqliteLog::open(&file, &SqliteOptions::default()).await?;
    let lines = BufReader::new(MultiGzDecoder::new(FLIGHTS)).lines().collect::<Result<Vec<_>, _>>()?;
    let board = Board::open(&folder.join("board.db"))?;

    append(&log, &lines[..4_000]).await?;
    let report = run(&file, &board).await?;
    println!("stopped in the middle: {} handled", report.handlers[0].totals.processed);
    append(&log, &lines).await?;
    let report = run(&file, &board).await?;
    println!("and went on behind its checkpoint: {} handled", report.handlers[0].totals.processed);
    Ok(board.by_airport()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => std::env::temp_dir().join(format!("handlers-{}", std::process::id())),
    };
    std::fs::create_dir_all(&folder)?;
    for (origin, departures, delay) in example(&folder).await? {
        println!("{origin} {departures:5} departures, {delay:6} minutes late");
    }
    println!("all of it is in {}", folder.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_departure_is_on_the_board_once() {
        let folder = tempfile::tempdir().unwrap();
        let rows = example(folder.path()).await.unwrap();
        // The published figures of the sample.
        assert_eq!(rows.iter().map(|(_, departures, _)| departures).sum::<i64>(), 6_063);
        assert_eq!(rows.iter().map(|(_, _, delay)| delay).sum::<i64>(), 55_744);
        assert_eq!(
            rows.iter().map(|(origin, ..)| origin.as_str()).collect::<Vec<_>>(),
            ["EWR", "JFK", "LGA"]
        );
    }
}
