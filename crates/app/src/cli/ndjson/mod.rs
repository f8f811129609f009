//! Events as lines of JSON, for import and export.
//!
//! One line is one event (here in two):
//!
//! ```json
//! {"id": "…", "stream": "case-7", "stream_type": "case", "sequence": 0, "type": "Opened",
//!  "time": "2013-01-01T10:17:00Z", "data": {…}, "metadata": {…}}
//! ```
//!
//! * `id` (a UUID) is required: it makes importing a file twice harmless.
//! * `stream_type` is the category; left out, it is what stands before the first `-` of the stream's name.
//! * `sequence` is honoured as the expected one; left out, the event goes to the stream's end.
//! * `time` is RFC 3339, with at most microseconds.
//! * `data` and `metadata` are kept as written, byte for byte, whatever JSON they are. A payload that is no
//!   JSON on one line travels as `data_text` (a JSON string that holds the text), opaque bytes as
//!   `data_base64`; the same for `metadata`. A time outside the years 0 to 9999 travels as `time_micros`.
//!
//! What export writes, import reads back to the same events; and a file whose lines have this order of keys
//! and no blanks between them is written again byte for byte.

mod chunks;
mod import;
mod line;
mod lines;
mod names;
#[cfg(test)]
mod round_trip;
mod source;

pub(crate) use chunks::{Chunks, Stop};
pub(crate) use import::{ImportOptions, Imported, Interrupted, import};
pub(crate) use source::Source;

pub(crate) use highwater::sinks::write_line;
