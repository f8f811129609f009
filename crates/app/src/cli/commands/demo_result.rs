//! What is in the demo's read models: plain tables, read as any other program would.

use std::path::Path;

use serde::Serialize;

use highwater::sqlite::rusqlite::{Connection, OpenFlags, Result as SqlResult, Row};

use crate::cli::error::CliError;
use crate::cli::output::{Table, count};

/// The read models.
#[derive(Serialize)]
pub(super) struct ReadModel {
    airports: Vec<Airport>,
    destinations: Vec<Destination>,
    in_the_air: i64,
    diversions: i64,
    streams: i64,
    events: i64,
}

#[derive(Serialize)]
struct Airport {
    origin: String,
    departures: i64,
    late_over_60: i64,
    delay_minutes: i64,
    cancelled: i64,
}

#[derive(Serialize)]
struct Destination {
    dest: String,
    landings: i64,
    arr_delay_minutes: i64,
    distance_miles: i64,
}

impl ReadModel {
    /// Reads them from the database of the demo.
    pub(super) fn read(database: &Path) -> Result<Self, CliError> {
        Self::try_read(database).map_err(|error| CliError::failed("read the read models").because(&error))
    }

    fn try_read(database: &Path) -> SqlResult<Self> {
        let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Self {
            airports: rows(
                &db,
                "SELECT origin, departures, late_over_60, delay_minutes, cancelled FROM airport_delays \
                 ORDER BY departures DESC",
                |row| {
                    Ok(Airport {
                        origin: row.get(0)?,
                        departures: row.get(1)?,
                        late_over_60: row.get(2)?,
                        delay_minutes: row.get(3)?,
                        cancelled: row.get(4)?,
                    })
                },
            )?,
            destinations: rows(
                &db,
                "SELECT dest, landings, arr_delay_minutes, distance_miles FROM landings \
                 ORDER BY landings DESC, dest LIMIT 5",
                |row| {
                    Ok(Destination {
                        dest: row.get(0)?,
                        landings: row.get(1)?,
                        arr_delay_minutes: row.get(2)?,
                        distance_miles: row.get(3)?,
                    })
                },
            )?,
            in_the_air: number(&db, "SELECT count(*) FROM aircraft WHERE open_flights > 0")?,
            diversions: number(&db, "SELECT count(*) FROM diversions")?,
            streams: number(&db, "SELECT count(*) FROM stream_counts")?,
            events: number(&db, "SELECT coalesce(sum(events), 0) FROM stream_counts")?,
        })
    }

    /// The read models as tables.
    pub(super) fn text(&self) -> String {
        let mut airports =
            Table::new(&["airport", "#departures", "#late > 60 min", "#delay minutes", "#cancelled"]);
        for airport in &self.airports {
            airports.row([
                airport.origin.clone(),
                signed(airport.departures),
                signed(airport.late_over_60),
                signed(airport.delay_minutes),
                signed(airport.cancelled),
            ]);
        }
        let mut destinations = Table::new(&["top destination", "#landings", "#delay minutes", "#miles"]);
        for destination in &self.destinations {
            destinations.row([
                destination.dest.clone(),
                signed(destination.landings),
                signed(destination.arr_delay_minutes),
                signed(destination.distance_miles),
            ]);
        }
        format!(
            "{}\n{}\n{} aircraft are in the air at the end of the week; {} flights were diverted.\n\
             {} events in {} streams, each counted once.\n",
            airports.text("no departures"),
            destinations.text("no landings"),
            signed(self.in_the_air),
            signed(self.diversions),
            signed(self.events),
            signed(self.streams)
        )
    }
}

fn rows<T>(db: &Connection, sql: &str, read: fn(&Row<'_>) -> SqlResult<T>) -> SqlResult<Vec<T>> {
    db.prepare(sql)?.query_map([], read)?.collect()
}

fn number(db: &Connection, sql: &str) -> SqlResult<i64> {
    db.query_row(sql, [], |row| row.get(0))
}

fn signed(number: i64) -> String {
    let digits = count(number.unsigned_abs());
    if number < 0 { format!("-{digits}") } else { digits }
}
