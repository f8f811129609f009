//! Many writers of every kind at once, and readers throughout.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use highwater_core::model::{Expected, Filter, NewEvent, Position, RecordedEvent};
use highwater_core::ports::{AppendEvents, EventLog, EventReader, Limit};
use highwater_postgres::sqlx::{self, AssertSqlSafe, Connection, Executor, Row};
use highwater_postgres::{PgConnection, PgLog};
use highwater_testkit::fixtures::append_to;
use tokio::time::timeout;

use super::session::Session;
use crate::kit::Place;

const WRITERS: u64 = 16;
const TURNS: u64 = 90;

/// A small generator: each writer has its own sequence of choices, the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

struct Writer {
    number: u64,
    dice: Dice,
    log: PgLog,
    connection: PgConnection,
    schema: String,
    prepares: bool,
}

impl Writer {
    async fn new(place: &Place, log: &PgLog, number: u64) -> Self {
        let mut connection = place.raw().await;
        let row = sqlx::query("SHOW max_prepared_transactions")
            .fetch_one(&mut connection)
            .await
            .expect("an answer");
        // Two at a time at most, however many writers there are: the server has few places.
        let prepares = number < 2 && row.get::<String, _>(0) != "0";
        let dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (number + 1) << 20);
        Self { number, dice, log: log.clone(), connection, schema: place.schema().to_owned(), prepares }
    }

    async fn run(&mut self, sql: &str) {
        self.connection
            .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
            .await
            .expect("the statement runs");
    }

    /// Holds the transaction open for up to 3 ms.
    async fn linger(&mut self) {
        let ms = self.dice.throw(4);
        self.run(&format!("SELECT pg_sleep({ms}.0 / 1000)")).await;
    }

    async fn append(&mut self) {
        let stream = format!("own-{}-{}", self.number, self.dice.throw(3));
        let events = (0..=self.dice.throw(3)).map(|_| NewEvent::json("Stressed", "{}")).collect();
        let done = self.log.append_in(&mut self.connection, &[append_to(&stream, events)]).await;
        done.expect("nobody else writes to this stream");
    }

    async fn turn(&mut self) {
        match self.dice.throw(8) {
            0 | 1 => {
                let events = vec![NewEvent::json("Stressed", "{}")];
                let append = append_to("shared", events);
                self.log.append(&[append]).await.expect("any place will do");
            }
            2 => {
                // Several in one call, of which the last may be refused.
                let mut call = vec![
                    append_to(&format!("own-{}", self.number), vec![NewEvent::json("Stressed", "{}")]),
                    append_to("shared", vec![NewEvent::json("Stressed", "{}")]),
                ];
                if self.dice.throw(2) == 0 {
                    call[1].expected = Expected::Next(1 << 40);
                    self.log.append(&call).await.expect_err("it expects a wrong sequence");
                } else {
                    self.log.append(&call).await.expect("any place will do");
                }
            }
            3 => {
                self.run("BEGIN").await;
                self.append().await;
                self.linger().await;
                self.run("ROLLBACK").await;
            }
            4 => {
                self.run("BEGIN").await;
                for _ in 0..=self.dice.throw(3) {
                    self.append().await;
                    self.linger().await;
                }
                self.run("COMMIT").await;
            }
            5 => {
                // The gate may be taken in the savepoint that is rolled back.
                self.run("BEGIN").await;
                if self.dice.throw(2) == 0 {
                    self.append().await;
                }
                self.run("SAVEPOINT s").await;
                self.append().await;
                let end = if self.dice.throw(3) == 0 { "RELEASE s" } else { "ROLLBACK TO s" };
                self.run(end).await;
                self.linger().await;
                self.append().await;
                self.run("COMMIT").await;
            }
            6 if self.prepares => {
                let name = format!("{}_{}", self.schema, self.number);
                self.run("BEGIN").await;
                self.append().await;
                self.run(&format!("PREPARE TRANSACTION '{name}'")).await;
                self.linger().await;
                let end = if self.dice.throw(2) == 0 { "COMMIT" } else { "ROLLBACK" };
                self.run(&format!("{end} PREPARED '{name}'")).await;
            }
            _ => {
                // A client that is gone in the middle.
                let mut doomed = PgConnection::connect_with(&self.log.database().pool().connect_options())
                    .await
                    .expect("a connection");
                doomed.execute(sqlx::raw_sql("BEGIN")).await.expect("a transaction");
                let events = vec![NewEvent::json("Stressed", "{}")];
                let append = append_to(&format!("doomed-{}", self.number), events);
                self.log.append_in(&mut doomed, &[append]).await.expect("a valid append");
                drop(doomed);
            }
        }
    }
}

/// What a reader found, in its order.
type Found = Vec<Position>;

/// The hint, with a timer beside it.
async fn wait(reader: &mut dyn EventReader) {
    if let Ok(woken) = timeout(Duration::from_millis(20), reader.wait()).await {
        woken.expect("the log is watched");
    }
}

async fn follow(mut reader: Box<dyn EventReader>, events: usize, quiet: Arc<AtomicBool>) -> Found {
    let mut found = Vec::new();
    let mut scanned = None;
    loop {
        let ended = quiet.load(Ordering::Acquire);
        let batch = reader.next(Limit { events, bytes: 1 << 20 }).await.expect("the log can be read");
        assert!(batch.scanned >= scanned, "the scanned bound went back");
        scanned = batch.scanned;
        found.extend(batch.events.iter().map(RecordedEvent::position));
        assert!(found.last().copied() <= scanned);
        if batch.caught_up {
            if ended {
                return found;
            }
            wait(&mut *reader).await;
        }
    }
}

/// Reads extents, and then the rows between them, as SQL in the server does.
async fn follow_ranges(
    log: PgLog,
    place: Arc<Place>,
    filter: Filter,
    quiet: Arc<AtomicBool>,
) -> (Found, u64) {
    let mut reader = log.open(None, &filter).await.expect("the log can be opened");
    let mut session = Session::new(&place).await;
    let (mut found, mut counted, mut after) = (Vec::new(), 0, (0_i64, -1_i64));
    loop {
        let ended = quiet.load(Ordering::Acquire);
        let range =
            reader.next_range(Limit { events: 50, bytes: 1 << 20 }).await.expect("the log can be read");
        if let Some(last) = range.last {
            let (position, offset) = (last.commit().cast_signed(), last.prepare().cast_signed());
            let sql = format!(
                "SELECT position FROM highwater.event WHERE (position, \"offset\") > {after:?} \
                 AND (position, \"offset\") <= ({position}, {offset}) ORDER BY position, \"offset\""
            );
            let rows = session.numbers(&sql).await;
            assert_eq!(u64::try_from(rows.len()), Ok(range.events), "between {after:?} and {last}");
            counted += range.events;
            found.extend(rows.into_iter().map(|position| Position::new(position.unsigned_abs(), 0)));
            after = (position, offset);
        }
        if range.caught_up {
            if ended {
                return (found, counted);
            }
            wait(&mut *reader).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_2_readers_see_what_was_committed_whatever_writers_do() {
    let Some(place) = Place::new().await else { return };
    let place = Arc::new(place);
    let log = PgLog::new(&place.database().await);
    let elsewhere = PgLog::new(&place.database().await);
    let quiet = Arc::new(AtomicBool::new(false));
    let everything = Filter::types(["*"]);
    let mut readers = Vec::new();
    for (log, filter, events) in [
        (&log, &Filter::all(), 1000),
        (&elsewhere, &Filter::all(), 7),
        (&log, &everything, 100),
        (&elsewhere, &everything, 1000),
    ] {
        let reader = log.open(None, filter).await.expect("the log can be opened");
        readers.push(tokio::spawn(follow(reader, events, quiet.clone())));
    }
    let ranges = [Filter::all(), everything]
        .map(|filter| tokio::spawn(follow_ranges(elsewhere.clone(), place.clone(), filter, quiet.clone())));
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let mut writer = Writer::new(&place, &log, number).await;
        writers.push(tokio::spawn(async move {
            for _ in 0..TURNS {
                writer.turn().await;
            }
        }));
    }
    for writer in writers {
        writer.await.expect("the writer has not panicked");
    }
    // Sessions that were dropped end when the server notices.
    let mut session = Session::new(&place).await;
    let open = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 \
                AND classid = 'highwater.position'::regclass";
    while session.number(open).await > 0 {
        tokio::task::yield_now().await;
    }
    quiet.store(true, Ordering::Release);

    let committed: Vec<Position> = {
        let mut reader = log.open(None, &Filter::all()).await.expect("the log can be opened");
        let batch =
            reader.next(Limit { events: 1 << 20, bytes: 1 << 30 }).await.expect("the log can be read");
        let mut next: HashMap<String, u64> = HashMap::new();
        for event in &batch.events {
            let expected = next.entry(event.stream().to_owned()).or_default();
            assert_eq!(event.sequence(), *expected, "stream {} was turned round", event.stream());
            *expected += 1;
        }
        batch.events.iter().map(RecordedEvent::position).collect()
    };
    let rows = session.number("SELECT count(*) FROM highwater.event").await;
    assert_eq!(i64::try_from(committed.len()), Ok(rows));
    let dead = session.number("SELECT last_value FROM highwater.position").await
        - session.number("SELECT count(DISTINCT position) FROM highwater.event").await;
    assert!(rows > 1000 && dead > 150, "{rows} rows and {dead} dead numbers prove little");
    for reader in readers {
        let found = reader.await.expect("the reader has not panicked");
        assert!(found == committed, "{} of {} events, or in another order", found.len(), committed.len());
    }
    let positions: Vec<u64> = committed.iter().map(|at| at.commit()).collect();
    for reader in ranges {
        let (found, counted) = reader.await.expect("the reader has not panicked");
        assert_eq!(i64::try_from(counted), Ok(rows));
        assert_eq!(found.iter().map(|at| at.commit()).collect::<Vec<_>>(), positions);
    }
}
