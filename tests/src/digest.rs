//! The two digests that prove a run, as they are published with the sample events.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::database::Tables;

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every text");
        text
    })
}

/// What the recorder of a run says.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// How many events were handled.
    pub events: u64,
    /// Over the ids in the order in which they were handled.
    pub ids: String,
    /// Over the number of events of each stream.
    pub streams: String,
    /// Events by type.
    pub types: BTreeMap<String, u64>,
}

impl Checked {
    /// Reads the read model of [`crate::projections::RECORDER`], or of its like on another database.
    #[must_use]
    pub fn read(database: &impl Tables) -> Self {
        let ids = database.texts("SELECT id FROM handled ORDER BY nr");
        let counts = database.counts("SELECT stream, events FROM stream_events");
        let lines =
            |texts: &mut dyn Iterator<Item = String>| hex_sha256(texts.collect::<String>().as_bytes());
        Self {
            events: u64::try_from(ids.len()).expect("a count fits"),
            ids: lines(&mut ids.iter().map(|id| format!("{id}\n"))),
            streams: lines(&mut counts.iter().map(|(stream, events)| format!("{stream}\t{events}\n"))),
            types: database.counts("SELECT type, count(*) FROM handled GROUP BY type"),
        }
    }
}
