//! A log of your own: implement two small traits, and every runner works on it.
//!
//! The "log" here is a text file with one event a line; what follows the file's end is waited for. The read model
//! is in SQLite, so it is exact, although the log knows nothing of transactions. Check your own adapter with the
//! contract suites in `highwater-testkit`: one test for each law of the port.
//!
//! `cargo run -p example-custom-port`

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use highwater::core::model::{EventParts, Filter};
use highwater::core::ports::{EventBatch, EventLog, EventRange, EventReader, Limit};
use highwater::sqlite::SqliteTx;
use highwater::{ContentType, Error, ErrorKind, Failure, Highwater, Position, Projection, RecordedEvent};

/// Lines `stream type payload`; the number of the line is the position.
#[derive(Clone)]
struct LineLog {
    file: PathBuf,
}

impl LineLog {
    fn events(&self) -> Result<Vec<RecordedEvent>, Error> {
        let text = std::fs::read_to_string(&self.file).map_err(|cause| {
            Error::new(ErrorKind::Unavailable, "read the log")
                .with("file", self.file.display())
                .because(cause)
        })?;
        let mut events: Vec<RecordedEvent> = Vec::new();
        for (line, number) in text.lines().zip(1_u64..) {
            let [stream, event_type, data] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                return Err(Error::new(ErrorKind::Corrupt, "read a line of the log").with("line", number));
            };
            let sequence = events.iter().filter(|event| event.stream() == stream).count() as u64;
            events.push(RecordedEvent::new(EventParts {
                position: Position::new(number, 0),
                id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, format!("lines/{number}").as_bytes()),
                stream: stream.into(),
                category: stream.split('-').next().unwrap_or_default().into(),
                sequence,
                event_type: event_type.into(),
                time_micros: 0,
                content_type: ContentType::Json,
                data: data.to_owned().into(),
                metadata: Default::default(),
            }));
        }
        Ok(events)
    }
}

#[async_trait]
impl EventLog for LineLog {
    async fn head(&self) -> Result<Option<Position>, Error> {
        Ok(self.events()?.last().map(RecordedEvent::position))
    }

    async fn open(&self, after: Option<Position>, filter: &Filter) -> Result<Box<dyn EventReader>, Error> {
        Ok(Box::new(LineReader { log: self.clone(), after, filter: filter.clone() }))
    }

    async fn event_at(&self, position: Position) -> Result<Option<RecordedEvent>, Error> {
        Ok(self.events()?.into_iter().find(|event| event.position() == position))
    }

    async fn count_between(
        &self,
        after: Option<Position>,
        through: Option<Position>,
        filter: &Filter,
    ) -> Result<Option<u64>, Error> {
        let matching = |event: &RecordedEvent| {
            Some(event.position()) > after
                && Some(event.position()) <= through
                && filter.matches(event.event_type(), event.stream())
        };
        Ok(Some(self.events()?.iter().filter(|event| matching(event)).count() as u64))
    }
}

struct LineReader {
    log: LineLog,
    after: Option<Position>,
    filter: Filter,
}

#[async_trait]
impl EventReader for LineReader {
    async fn next(&mut self, limit: Limit) -> Result<EventBatch, Error> {
        let ahead: Vec<_> =
            self.log.events()?.into_iter().filter(|event| Some(event.position()) > self.after).collect();
        let mut batch = EventBatch { scanned: self.after, caught_up: true, ..EventBatch::default() };
        let mut bytes = 0;
        for event in ahead {
            if self.filter.matches(event.event_type(), event.stream()) {
                bytes += event.size();
                if batch.events.len() == limit.events || (bytes > limit.bytes && !batch.events.is_empty()) {
                    batch.caught_up = false;
                    break;
                }
                batch.scanned = Some(event.position());
                batch.events.push(event);
            } else {
                batch.scanned = Some(event.position());
            }
        }
        self.after = batch.scanned;
        Ok(batch)
    }

    async fn next_range(&mut self, _limit: Limit) -> Result<EventRange, Error> {
        Err(Error::new(ErrorKind::Unsupported, "read a range: this log is in no database"))
    }

    async fn wait(&mut self) -> Result<(), Error> {
        // No hint to give: the runner's own poll timer looks again.
        std::future::pending().await
    }
}

struct Words;

impl Projection<SqliteTx> for Words {
    async fn apply(&self, event: &RecordedEvent, tx: &mut SqliteTx) -> Result<(), Failure> {
        let said: String = event.json()?;
        for word in said.split_whitespace() {
            tx.prepare_cached(
                "INSERT INTO words (word, times) VALUES (?1, 1) ON CONFLICT (word) DO UPDATE SET times = times + 1",
            )?
            .execute([word])?;
        }
        Ok(())
    }

    async fn setup(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        tx.execute_batch("CREATE TABLE words (word TEXT PRIMARY KEY, times INTEGER NOT NULL)")?;
        Ok(())
    }
}

async fn count_words(log: &Path, database: &Path) -> Result<(), Box<dyn StdError>> {
    let highwater = Highwater::builder()
        .log(Arc::new(LineLog { file: log.to_owned() }))
        .sqlite(database)
        .projection("words", Words, |projection| projection.types(["Said"]))
        .start()
        .await?;
    let waited = highwater.wait_for_head("words", Duration::from_secs(30)).await?;
    println!("{waited:?}");
    highwater.run_until(std::future::ready(())).await;
    Ok(())
}

async fn example(folder: &Path) -> Result<Vec<(String, i64)>, Box<dyn StdError>> {
    let (log, database) = (folder.join("log.txt"), folder.join("words.db"));
    std::fs::write(&log, "a-1 Said \"to be or not to be\"\na-2 Thought \"quiet\"\n")?;
    count_words(&log, &database).await?;
    let more = std::fs::read_to_string(&log)? + "a-1 Said \"to do is to be\"\n";
    std::fs::write(&log, more)?;
    count_words(&log, &database).await?;

    let read = highwater::sqlite::rusqlite::Connection::open(&database)?;
    let mut select = read.prepare("SELECT word, times FROM words ORDER BY times DESC, word")?;
    let rows = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let folder = std::env::temp_dir().join(format!("custom-port-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    for (word, times) in example(&folder).await? {
        println!("{word:5} {times}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_words_of_both_runs_are_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let words = example(folder.path()).await.unwrap();
        let expected = [("to", 4), ("be", 3), ("do", 1), ("is", 1), ("not", 1), ("or", 1)];
        assert_eq!(words, expected.map(|(word, times)| (word.to_owned(), times)));
    }
}
