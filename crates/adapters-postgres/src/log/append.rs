//! Appending.
//!
//! A call is one statement, and so one flight and one transaction, however many appends it has. Races with
//! other writers are found by the table's constraints and tried again here, carefully: then the function
//! looks up first what stands there.

use sqlx::{Connection, PgConnection, Row};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Append, Appended};

use super::columns::Columns;
use super::refused::Refused;
use crate::database::Database;
use crate::number::{position, to_u64};
use crate::schema::Statement;

pub(super) const APPEND: &str = "append events";
/// How often a call is tried that loses races; the ones who won have got on each time.
const TRIES: usize = 20;
pub(super) const CALL: &str = "SELECT last_position, last_offset, next_sequence, duplicate \
     FROM highwater.append_all(\
     $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

/// How a call goes about.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// Looks up the ids first in any case.
    careful: bool,
    /// Waits for others that append to the same streams.
    queues: bool,
}

/// Appends in a transaction of its own.
pub(super) async fn append(
    database: &Database,
    statement: &Statement,
    appends: &[Append],
) -> Result<Vec<Appended>, Error> {
    let mut calls = Columns::of(appends)?;
    let mut careful = false;
    let mut lost = None;
    for _ in 0..TRIES {
        match once(database, statement, appends, &calls, careful).await {
            Ok(done) => return Ok(done),
            Err(Refused::Raced(error)) => {
                careful = true;
                lost = Some(error);
            }
            // One by one: then it is known which one it is.
            Err(Refused::Content(_)) if calls.iter().any(|call| call.len() > 1) => {
                calls = one_by_one(appends)?;
            }
            Err(Refused::Content(error)) if appends.len() == 1 => return Err(error.with("append", 0)),
            Err(refused) => return Err(refused.into_error()),
        }
    }
    let error = Error::new(ErrorKind::Contention, APPEND).with("tries", TRIES);
    Err(match lost {
        Some(lost) => error.because(lost),
        None => error,
    })
}

/// Appends in the caller's transaction.
pub(super) async fn append_in(
    connection: &mut PgConnection,
    statement: &Statement,
    appends: &[Append],
) -> Result<Vec<Appended>, Error> {
    let manner = Manner { careful: true, queues: false };
    let mut done = Vec::with_capacity(appends.len());
    for call in &Columns::of(appends)? {
        let answers = run(connection, statement, appends, call, manner).await;
        done.extend(answers.map_err(Refused::into_error)?);
    }
    Ok(done)
}

async fn once(
    database: &Database,
    statement: &Statement,
    appends: &[Append],
    calls: &[Columns<'_>],
    careful: bool,
) -> Result<Vec<Appended>, Refused> {
    let because = |error| Refused::of(error, appends, 0);
    match calls {
        [] => Ok(Vec::new()),
        [call] => {
            let mut connection = database.connection(APPEND).await.map_err(Refused::Because)?;
            let manner = Manner { careful, queues: call.may_queue() };
            run(&mut connection, statement, appends, call, manner).await
        }
        _several => {
            let mut connection = database.connection(APPEND).await.map_err(Refused::Because)?;
            let mut tx =
                connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(because)?;
            let manner = Manner { careful, queues: false };
            let mut done = Vec::with_capacity(appends.len());
            for call in calls {
                let answers = run(&mut tx, statement, appends, call, manner).await;
                done.extend(answers.map_err(|refused| naming(refused, calls, call))?);
            }
            tx.commit().await.map_err(because)?;
            Ok(done)
        }
    }
}

/// A content error names its append where calls have one each.
fn naming(refused: Refused, calls: &[Columns<'_>], call: &Columns<'_>) -> Refused {
    match refused {
        Refused::Content(error) if calls.iter().all(|call| call.len() == 1) => {
            Refused::Because(error.with("append", call.from))
        }
        other => other,
    }
}

fn one_by_one(appends: &[Append]) -> Result<Vec<Columns<'_>>, Error> {
    let mut calls = Vec::with_capacity(appends.len());
    for (index, append) in appends.iter().enumerate() {
        for mut call in
            Columns::of(std::slice::from_ref(append)).map_err(|error| error.with("append", index))?
        {
            call.from = index;
            calls.push(call);
        }
    }
    Ok(calls)
}

async fn run(
    connection: &mut PgConnection,
    statement: &Statement,
    appends: &[Append],
    call: &Columns<'_>,
    manner: Manner,
) -> Result<Vec<Appended>, Refused> {
    let query = sqlx::query(statement.safe()).bind(manner.queues).bind(manner.careful);
    let rows = call
        .bind(query)
        .fetch_all(connection)
        .await
        .map_err(|error| Refused::of(error, appends, call.from))?;
    if rows.len() != call.len() {
        let error =
            Error::new(ErrorKind::Corrupt, APPEND).because("the append function did not answer for each");
        return Err(Refused::Because(error));
    }
    rows.iter().map(|row| answer(row, appends, call.from)).collect()
}

fn answer(row: &sqlx::postgres::PgRow, appends: &[Append], from: usize) -> Result<Appended, Refused> {
    let read = || -> Result<(i64, i32, i64, bool), sqlx::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
    };
    let (commit, prepare, next, duplicate) = read().map_err(|error| Refused::of(error, appends, from))?;
    let last = position(commit, i64::from(prepare)).map_err(Refused::Because)?;
    let next_sequence = to_u64(next, "sequence").map_err(Refused::Because)?;
    Ok(Appended { last, next_sequence, duplicate })
}
