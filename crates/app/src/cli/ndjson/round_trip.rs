//! What is written is read again, byte for byte.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use highwater_core::model::{
    Append, ContentType, EventParts, Expected, Position, RecordedEvent, category_of,
};

use crate::cli::ndjson::line::parse_line;
use crate::cli::ndjson::names::Names;
use crate::cli::ndjson::write_line;

fn recorded(append: &Append) -> RecordedEvent {
    let event = &append.events[0];
    let Expected::Next(sequence) = append.expected else { panic!("a written line has a sequence") };
    RecordedEvent::new(EventParts {
        position: Position::new(1, 0),
        id: event.id,
        stream: append.stream.clone(),
        category: append.category.clone().unwrap_or_else(|| category_of(&append.stream).into()),
        sequence,
        event_type: event.event_type.clone(),
        time_micros: event.time_micros.expect("a written line has a time"),
        content_type: event.content_type,
        data: event.data.clone(),
        metadata: event.metadata.clone(),
    })
}

fn line(data: &[u8], content_type: ContentType, metadata: &[u8], time_micros: i64) -> String {
    let event = RecordedEvent::new(EventParts {
        position: Position::new(1, 0),
        id: Uuid::nil(),
        stream: Arc::from("a\u{7}\"\u{7f}\u{2028}-1"),
        category: Arc::from("a"),
        sequence: u64::MAX,
        event_type: Arc::from("T"),
        time_micros,
        content_type,
        data: Bytes::copy_from_slice(data),
        metadata: Bytes::copy_from_slice(metadata),
    });
    let mut out = Vec::new();
    write_line(&mut out, &event);
    let text = String::from_utf8(out).unwrap();
    let body = text.strip_suffix('\n').expect("a line ends");
    assert!(!body.contains('\n'), "one line: {body}");
    let again =
        recorded(&parse_line(&Bytes::copy_from_slice(body.as_bytes()), &mut Names::default()).unwrap());
    assert_eq!(again.data(), data);
    assert_eq!(again.metadata(), metadata);
    assert_eq!(again.stream(), event.stream());
    assert_eq!(again.sequence(), u64::MAX);
    assert_eq!(again.time_micros(), time_micros);
    assert_eq!(again.content_type(), content_type);
    body.to_owned()
}

#[test]
fn x_9_every_payload_comes_back_byte_for_byte() {
    assert!(line(b"{\"a\": 1}", ContentType::Json, b"{}", 0).ends_with(r#""data":{"a": 1},"metadata":{}}"#));
    assert!(line(b" 1", ContentType::Json, b"", 0).ends_with(r#""data_text":" 1"}"#));
    assert!(line(b"{\n}", ContentType::Json, b"", 0).contains("data_text"));
    assert!(line(b"not json", ContentType::Json, b"", 0).contains("data_text"));
    assert!(line(b"null", ContentType::Json, b"null", 0).contains(r#""data":null"#));
    assert!(line(b"\xff\x00", ContentType::Binary, b"{}", 0).contains("data_base64"));
    assert!(line(b"{}", ContentType::Binary, b"{}", i64::MIN).contains("time_micros"));
}

fn written_again(lines: &[u8]) -> usize {
    let mut names = Names::default();
    let (mut out, mut count) = (Vec::new(), 0);
    for text in lines.split_inclusive(|byte| *byte == b'\n') {
        let bytes = Bytes::copy_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
        out.clear();
        write_line(&mut out, &recorded(&parse_line(&bytes, &mut names).unwrap()));
        assert!(out == text, "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(300)]));
        count += 1;
    }
    count
}

#[test]
fn the_sample_file_is_written_again_byte_for_byte() {
    assert_eq!(written_again(&crate::cli::demo::sample_events()), 12_107);
}

/// The hostile ones, where they are at hand.
#[test]
fn x_9_all_sample_files_are_written_again_byte_for_byte() {
    let Some(folder) = std::env::var_os("HIGHWATER_TEST_DATA") else {
        eprintln!("skipped: HIGHWATER_TEST_DATA names no folder with sample files");
        return;
    };
    for (name, events) in [("nasty", 1_663), ("retail-small", 14_022), ("webhooks", 726)] {
        let path = std::path::Path::new(&folder).join(format!("{name}.ndjson.gz"));
        let mut lines = Vec::new();
        let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut lines).unwrap();
        assert_eq!(written_again(&lines), events, "{name}");
    }
}
