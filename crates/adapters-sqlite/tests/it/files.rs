//! Files that are not what they should be: clear errors, and nothing is lost.

use std::fs;
use std::sync::Arc;

use highwater_core::model::{Append, Filter};
use highwater_core::ports::{AppendEvents, EventLog, Limit, UnitOfWork};
use highwater_core::{Error, ErrorKind};
use highwater_sqlite::rusqlite::ErrorCode;
use highwater_sqlite::{SqliteLog, SqliteOptions, SqliteStore};
use highwater_testkit::fixtures::{append_n, append_to, new_event};

use crate::kit::{Place, at, committed, create, key, number, options, transact};

async fn refused(place: &Place, options: &SqliteOptions) -> Error {
    SqliteLog::open(place.file(), options).await.expect_err("the file cannot be used")
}

fn says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    let text = error.chain();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[tokio::test]
async fn x_12_a_newer_schema_is_refused_naming_both_versions_and_the_file() {
    let place = Place::new();
    SqliteLog::open(place.file(), &options()).await.expect("a new file");
    place
        .raw()
        .execute("UPDATE highwater_meta SET value = 99 WHERE key = 'schema_version'", [])
        .expect("a newer version");
    let error = refused(&place, &options()).await;
    says(&error, ErrorKind::Unsupported, &["99", "knows up to 3", "test.db"]);
    assert_eq!(number(&place.raw(), "SELECT value FROM highwater_meta"), 99, "nothing was changed");
}

#[tokio::test]
async fn x_12_a_place_that_cannot_hold_a_database_says_why() {
    let place = Place::new();
    let folder = place.folder.path();
    let open = async |path: std::path::PathBuf| {
        SqliteLog::open(path, &options()).await.expect_err("there is no place for a database")
    };
    says(&open(folder.join("missing/test.db")).await, ErrorKind::Invalid, &["missing", "create it first"]);
    says(&open(folder.to_owned()).await, ErrorKind::Invalid, &["folder"]);
    fs::write(folder.join("plain"), "text").expect("a file");
    says(&open(folder.join("plain/test.db")).await, ErrorKind::Invalid, &["plain", "not a folder"]);
    let error = refused(&place, &options().create(false)).await;
    says(&error, ErrorKind::NotFound, &["test.db", "no such file"]);
    assert!(!place.file().exists());
}

#[tokio::test]
async fn x_12_a_file_that_is_no_database_is_left_as_it_is() {
    let place = Place::new();
    let content = "name,city\n".repeat(1000);
    fs::write(place.file(), &content).expect("a file");
    says(&refused(&place, &options()).await, ErrorKind::Corrupt, &["test.db", "not a SQLite database"]);
    assert_eq!(fs::read_to_string(place.file()).expect("the file"), content);
}

#[tokio::test]
async fn x_12_a_damaged_page_is_corrupt_and_never_an_empty_log() {
    let place = Place::new();
    let log = SqliteLog::open(place.file(), &options()).await.expect("a new file");
    append_n(&log, 3000).await.expect("the log takes events");
    drop(log);
    place.raw().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    let mut bytes = fs::read(place.file()).expect("the file");
    let page = 4096;
    let middle = bytes.len() / 2 / page * page;
    bytes[middle..].iter_mut().step_by(7).for_each(|byte| *byte ^= 0x5a);
    fs::write(place.file(), bytes).expect("the damage");
    let read = async {
        let log = SqliteLog::open(place.file(), &options()).await?;
        let mut reader = log.open(None, &Filter::all()).await?;
        let mut seen = 0;
        loop {
            let batch = reader.next(Limit { events: 100, bytes: 1 << 20 }).await?;
            seen += batch.events.len();
            if batch.caught_up {
                return Ok::<_, Error>(seen);
            }
        }
    };
    let error = read.await.expect_err("half of the file is damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error.chain());
}

#[tokio::test]
async fn x_12_a_truncated_file_is_an_error() {
    let place = Place::new();
    let log = SqliteLog::open(place.file(), &options()).await.expect("a new file");
    append_n(&log, 3000).await.expect("the log takes events");
    drop(log);
    place.raw().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    let file = fs::OpenOptions::new().write(true).open(place.file()).expect("the file");
    file.set_len(file.metadata().expect("its length").len() / 3).expect("a cut");
    let read = async {
        let log = SqliteLog::open(place.file(), &options()).await?;
        let mut reader = log.open(None, &Filter::all()).await?;
        reader.next(Limit { events: 10_000, bytes: 1 << 30 }).await
    };
    let error = read.await.expect_err("two thirds of the file are gone");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error.chain());
}

#[tokio::test]
async fn x_12_text_in_utf_16_is_refused() {
    let place = Place::new();
    place.raw().execute_batch("PRAGMA encoding = 'UTF-16'; CREATE TABLE t (x)").expect("a database");
    says(&refused(&place, &options()).await, ErrorKind::Unsupported, &["UTF-16", "test.db"]);
}

#[tokio::test]
async fn without_permission_to_migrate_an_old_file_is_refused_unchanged() {
    let place = Place::new();
    place.raw().execute_batch("CREATE TABLE users (x)").expect("the user's table");
    let error = refused(&place, &options().migrate(false)).await;
    says(&error, ErrorKind::Invalid, &["version 0", "needs 3", "migrate"]);
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM sqlite_schema"), 1);
    SqliteLog::open(place.file(), &options()).await.expect("it may migrate");
    SqliteLog::open(place.file(), &options().migrate(false)).await.expect("nothing is left to migrate");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_open_a_new_file_at_once_all_get_it() {
    let place = Arc::new(Place::new());
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let place = place.clone();
            tokio::spawn(async move {
                SqliteStore::open(place.file(), &options().as_another_process()).await.map(|_| ())
            })
        })
        .collect();
    for one in opening {
        one.await.expect("it has not panicked").expect("it opens");
    }
}

/// Room for a few pages more than there are.
fn nearly_full(place: &Place) -> SqliteOptions {
    let pages = number(&place.raw(), "PRAGMA page_count");
    options().max_pages(u32::try_from(pages).expect("a small file") + 4)
}

#[tokio::test]
async fn x_12_an_append_to_a_full_disk_is_unavailable_and_nothing_is_half_there() {
    let place = Place::new();
    let log = SqliteLog::open(place.file(), &options()).await.expect("a new file");
    append_n(&log, 10).await.expect("the log takes events");
    let full = SqliteLog::open(place.file(), &nearly_full(&place)).await.expect("the file opens");
    let call: Vec<Append> = (0..1000).map(|n| append_to("a-1", vec![new_event(100 + n, "A")])).collect();
    let error = full.append(&call).await.expect_err("there is no room");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
    assert_eq!(error.backend_code(), Some("SQLITE_FULL"));
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM highwater_event"), 10);
    full.append(&call[..1]).await.expect("there is room for one, and the handle works on");
    let done = log.append(&call).await.expect("another handle has room");
    assert_eq!(done.iter().filter(|one| one.duplicate).count(), 1);
}

#[tokio::test]
async fn e_16_a_batch_that_fills_the_disk_leaves_nothing() {
    let place = Place::new();
    let read = create(&place.store().await, "p").await;
    place.raw().execute_batch("CREATE TABLE model (x)").expect("the user's table");
    let store = SqliteStore::open(place.file(), &nearly_full(&place)).await.expect("the file opens");
    let next = at(&read, 1);
    let batch = transact(&store, move |mut unit| async move {
        unit.lock(&key("p")).await?;
        unit.savepoint().await?;
        let fill = |unit: &mut highwater_sqlite::SqliteUnit, rows: u32| {
            let sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1)
                       INSERT INTO model SELECT randomblob(3000) FROM c";
            unit.tx().execute(sql, [rows])
        };
        fill(&mut unit, 1).expect("there is room for one");
        let error = fill(&mut unit, 100).expect_err("there is no room");
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
        unit.release().await?;
        unit.commit(&read, &next).await
    });
    // SQLite takes back the statement, or the whole transaction; either way the batch is one.
    let rows = match batch.await {
        Ok(()) => (1, Some(1)),
        Err(_) => (0, None),
    };
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM model"), rows.0);
    assert_eq!(committed(&store, "p").await.scanned.map(highwater_core::model::Position::commit), rows.1);
}
