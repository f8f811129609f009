//! A file to import: the sample of flights over and over.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use uuid::Uuid;

use super::baseline::Line;

/// Writes `lines` lines to `to`: the sample file over and over, each time with streams and ids of its own.
pub(crate) fn repeat_sample(sample: &Path, to: &Path, lines: u32) -> anyhow::Result<()> {
    let file = File::create(to).with_context(|| format!("create {}", to.display()))?;
    let mut out = GzEncoder::new(BufWriter::new(file), Compression::default());
    let mut left = lines;
    let mut time = 0_u32;
    while left > 0 {
        let before = left;
        let source = File::open(sample).with_context(|| format!("open {}", sample.display()))?;
        for text in BufReader::new(GzDecoder::new(BufReader::new(source))).lines() {
            if left == 0 {
                break;
            }
            let text = text.with_context(|| format!("read {}", sample.display()))?;
            let line: Line<'_> = serde_json::from_str(&text).context("parse a line of the sample")?;
            let id = Uuid::new_v5(&line.id, &time.to_be_bytes());
            let Line { stream, category, sequence, event_type, time: at, data, metadata, .. } = line;
            write!(out, r#"{{"id":"{id}","stream":"{stream}-r{time}","stream_type":"{category}","#)?;
            write!(out, r#""sequence":{sequence},"type":"{event_type}","time":"{at}","#)?;
            writeln!(out, r#""data":{data},"metadata":{metadata}}}"#)?;
            left -= 1;
        }
        anyhow::ensure!(left < before, "{} has no lines", sample.display());
        time += 1;
    }
    out.finish()?.flush()?;
    Ok(())
}
