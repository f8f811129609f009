//! Lines of JSON into the log's table, a thousand a transaction.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use chrono::DateTime;
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::open;

const LINES_A_TRANSACTION: i64 = 1_000;

pub(crate) const INSERT: &str = "INSERT INTO highwater_event \
     (position, \"offset\", id, stream, category, sequence, type, time, data, metadata) \
     VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// A line of the sample files, whose names and payloads have no escapes outside `data` and `metadata`.
#[derive(Deserialize)]
pub(crate) struct Line<'a> {
    pub(crate) id: Uuid,
    pub(crate) stream: &'a str,
    #[serde(rename = "stream_type")]
    pub(crate) category: &'a str,
    pub(crate) sequence: i64,
    #[serde(rename = "type")]
    pub(crate) event_type: &'a str,
    pub(crate) time: &'a str,
    #[serde(borrow)]
    pub(crate) data: &'a RawValue,
    #[serde(borrow)]
    pub(crate) metadata: &'a RawValue,
}

/// Imports a gzip'd file into the empty log in `database`. A commit that fails ends it; nothing is looked up.
pub(crate) fn import(database: &Path, file: &Path) -> anyhow::Result<()> {
    let conn = open(database)?;
    let mut insert = conn.prepare(INSERT)?;
    let source = File::open(file).with_context(|| format!("open {}", file.display()))?;
    let mut reader = BufReader::with_capacity(1 << 16, GzDecoder::new(BufReader::new(source)));
    let mut text = String::new();
    let mut number = 0_i64;
    while reader.read_line(&mut text)? > 0 {
        let line: Line<'_> =
            serde_json::from_str(&text).with_context(|| format!("parse line {}", number + 1))?;
        let time = DateTime::parse_from_rfc3339(line.time)?.timestamp_micros();
        if number % LINES_A_TRANSACTION == 0 {
            conn.execute_batch(if number == 0 { "BEGIN IMMEDIATE" } else { "COMMIT; BEGIN IMMEDIATE" })?;
        }
        number += 1;
        insert.execute((
            number,
            line.id.as_bytes(),
            line.stream,
            line.category,
            line.sequence,
            line.event_type,
            time,
            line.data.get(),
            line.metadata.get(),
        ))?;
        text.clear();
    }
    if number > 0 {
        conn.execute_batch("COMMIT")?;
    }
    Ok(())
}
