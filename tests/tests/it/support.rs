//! What several suites read out of the binary's JSON.

use highwater_tests::{Folder, Random};
use serde_json::Value;

/// A projection's row in `status --json`.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) phase: String,
    pub(crate) owner: Option<String>,
    pub(crate) position: Option<String>,
    pub(crate) head: Option<String>,
    pub(crate) epoch: u64,
    pub(crate) generation: u64,
    pub(crate) all: Value,
}

impl Status {
    /// How many failed events there are in this state.
    pub(crate) fn failed(&self, state: &str) -> u64 {
        self.all[state].as_u64().unwrap_or_else(|| panic!("no count of {state} in {}", self.all))
    }
}

/// Where a projection stands.
pub(crate) fn status(folder: &Folder, projection: &str) -> Status {
    let all = folder.json(&["status"]);
    let row = all["projections"].as_array().into_iter().flatten().find(|row| row["name"] == projection);
    let row = row.unwrap_or_else(|| panic!("no {projection} in {all}")).clone();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let number = |key: &str| row[key].as_u64().unwrap_or_else(|| panic!("no {key} in {row}"));
    Status {
        phase: text(&row["phase"]).unwrap_or_else(|| panic!("no phase in {row}")),
        owner: text(&row["owner"]),
        position: text(&row["position"]),
        head: text(&all["head"]),
        epoch: number("epoch"),
        generation: number("generation"),
        all: row,
    }
}

/// How many events the recorder has handled; 0 before it has a table.
pub(crate) fn recorded(folder: &Folder) -> i64 {
    folder.database().try_number("SELECT count(*) FROM handled").unwrap_or(0)
}

/// What `import --json` says: appended, there already, left out.
pub(crate) fn imported(done: &Value) -> (i64, i64, i64) {
    let number = |key: &str| done[key].as_i64().unwrap_or_else(|| panic!("no {key} in {done}"));
    (number("appended"), number("already_there"), number("bad"))
}

/// A failed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) position: String,
    pub(crate) id: String,
    pub(crate) stream: String,
    pub(crate) state: String,
    pub(crate) class: String,
    pub(crate) message: String,
    pub(crate) attempts: u64,
}

fn failed(rows: &Value) -> Vec<Failed> {
    let rows = rows.as_array().unwrap_or_else(|| panic!("no list: {rows}"));
    rows.iter()
        .map(|row| {
            let text =
                |key: &str| row[key].as_str().unwrap_or_else(|| panic!("no {key} in {row}")).to_owned();
            Failed {
                position: text("position"),
                id: text("id"),
                stream: text("stream"),
                state: text("state"),
                class: text("class"),
                message: text("message"),
                attempts: row["attempts"].as_u64().unwrap_or_else(|| panic!("no attempts in {row}")),
            }
        })
        .collect()
}

/// The failed events of a projection.
pub(crate) fn failed_events(folder: &Folder, projection: &str) -> Vec<Failed> {
    failed(&folder.json(&["failed-events", "list", "--projection", projection, "--limit", "10000"]))
}

/// The dead letters of a projection.
pub(crate) fn dead_letters(folder: &Folder, projection: &str) -> Vec<Failed> {
    failed(&folder.json(&["dead-letters", "list", "--projection", projection, "--limit", "10000"]))
}

/// Σ quantity × price over decimal texts, exactly, with two decimals.
pub(crate) fn decimal_sum<'p>(lines: impl Iterator<Item = (i64, &'p str)>) -> String {
    const SCALE: u32 = 6;
    let total: i128 = lines.map(|(quantity, price)| i128::from(quantity) * scaled(price, SCALE)).sum();
    let unit = 10_i128.pow(SCALE);
    let (sign, total) = if total < 0 { ("-", -total) } else { ("", total) };
    let decimals = total % unit;
    let cent = unit / 100;
    assert_eq!(decimals % cent, 0, "the sum has no parts of a penny");
    format!("{sign}{}.{:02}", total / unit, decimals / cent)
}

fn scaled(text: &str, scale: u32) -> i128 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let places = u32::try_from(decimals.len()).expect("few decimals");
    assert!(places <= scale, "{text} has more decimals than money has");
    let digits = format!("{}{decimals}", whole.trim_start_matches('-'));
    let number: i128 = digits.parse().unwrap_or_else(|_| panic!("{text} is not a decimal"));
    let number = number * 10_i128.pow(scale - places);
    if whole.starts_with('-') { -number } else { number }
}

/// A line of an import: an event of `stream` with this payload, its id made of stream and sequence.
pub(crate) fn line(stream: &str, sequence: u64, event_type: &str, data: &str) -> String {
    let id = id_of(stream, sequence);
    format!(
        "{{\"id\":\"{id}\",\"stream\":\"{stream}\",\"sequence\":{sequence},\"type\":\"{event_type}\",\
         \"time\":\"2024-05-01T12:00:00Z\",\"data\":{data},\"metadata\":{{}}}}\n"
    )
}

/// An id that follows from stream and sequence.
pub(crate) fn id_of(stream: &str, sequence: u64) -> String {
    let seed =
        stream.bytes().fold(sequence, |seed, byte| seed.wrapping_mul(257).wrapping_add(u64::from(byte)));
    let mut random = Random::new(seed);
    let mut part = |bound: u64| random.below(bound);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        part(1 << 32),
        part(1 << 16),
        part(1 << 12),
        part(1 << 12),
        part(1 << 48)
    )
}

#[test]
fn sums_of_decimals_are_exact() {
    let sum = |lines: &[(i64, &str)]| decimal_sum(lines.iter().copied());
    assert_eq!(sum(&[(6, "2.55"), (6, "3.39"), (-1, "27.5")]), "8.14");
    assert_eq!(sum(&[(-3, "0.1"), (1, "0.2")]), "-0.10");
    assert_eq!(sum(&[(2, "10")]), "20.00");
}
