//! Lines on a pipe.

use std::io::{self, BufRead, BufReader, Write};
use std::sync::{Arc, Mutex};

use highwater_core::policy::Class;
use highwater_core::ports::DynHandler;
use highwater_sinks::{StdoutSink, write_line};
use highwater_testkit::fixtures::{event, events, hostile_names, nasty_payloads};

use crate::kit::{class, deliver, failure, nasty_event};

#[tokio::test]
async fn x_9_each_event_is_a_line_and_there_when_it_is_acknowledged() {
    let (reader, writer) = io::pipe().unwrap();
    let sink = StdoutSink::to_writer(writer).unwrap();
    let mut events: Vec<_> = (1..).zip(hostile_names()).map(|(n, name)| event(n, &name, &name)).collect();
    // What fits into the buffer of a pipe, since nobody reads until all is written.
    let small = nasty_payloads().into_iter().filter(|nasty| nasty.data.len() < 1024);
    events.extend((100..).zip(small).map(|(n, nasty)| nasty_event(n, &nasty)));
    assert_eq!(deliver(&sink, &events).await, events.len());
    let mut lines = BufReader::new(reader);
    for event in &events {
        let (mut line, mut expected) = (Vec::new(), Vec::new());
        lines.read_until(b'\n', &mut line).unwrap();
        write_line(&mut expected, event);
        assert_eq!(line, expected);
    }
}

#[tokio::test]
async fn a_closed_pipe_stops_the_runner() {
    let (reader, writer) = io::pipe().unwrap();
    let sink = StdoutSink::to_writer(writer).unwrap();
    drop(reader);
    let failed = failure(&sink, &event(1, "T", "s")).await;
    assert_eq!(class(&failed), Class::Fatal);
    assert!(failed.message().contains("closed the pipe"), "{failed}");
}

/// Takes what it is told to take of a write, and then fails once.
#[derive(Clone, Default)]
struct Fickle {
    written: Arc<Mutex<Vec<u8>>>,
    fail_after: Arc<Mutex<Option<usize>>>,
}

impl Write for Fickle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut fail_after = self.fail_after.lock().unwrap();
        let room = match *fail_after {
            Some(0) => {
                *fail_after = None;
                return Err(io::ErrorKind::StorageFull.into());
            }
            Some(room) => room.min(bytes.len()),
            None => bytes.len(),
        };
        *fail_after = fail_after.map(|left| left - room);
        self.written.lock().unwrap().extend_from_slice(&bytes[..room]);
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_line_that_was_cut_does_not_spoil_the_next_one() {
    let out = Fickle::default();
    *out.fail_after.lock().unwrap() = Some(20);
    let sink = StdoutSink::to_writer(out.clone()).unwrap();
    let events = events(2, "T", "s-1");
    assert_eq!(deliver(&sink, &events).await, 3);
    let mut expected = br#"{"id":"48570000-0000"#.to_vec();
    expected.truncate(20);
    expected.push(b'\n');
    for event in &events {
        write_line(&mut expected, event);
    }
    assert_eq!(*out.written.lock().unwrap(), expected);
}

#[tokio::test]
async fn x_11_a_slice_is_written_in_pieces_and_a_failure_names_the_first_that_was_not() {
    let out = Fickle::default();
    let sink = StdoutSink::to_writer(out.clone()).unwrap();
    let payload = format!("\"{}\"", "x".repeat(600 << 10));
    let events: Vec<_> =
        (1..=4).map(|n| highwater_testkit::fixtures::event_with(n, "T", "s", payload.clone())).collect();
    // Two events come to more than a piece: the third begins another.
    *out.fail_after.lock().unwrap() = Some(1300 << 10);
    let failed = sink.handle_slice(&events).await.unwrap_err();
    assert_eq!((class(&failed), failed.index()), (Class::Transient, Some(2)));
    sink.handle_slice(&events[2..]).await.unwrap();
    let written = out.written.lock().unwrap();
    let lines = written.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b"}"));
    assert_eq!(lines.count(), 4);
}

#[tokio::test]
async fn a_dropped_call_leaves_whole_lines() {
    let (reader, writer) = io::pipe().unwrap();
    let sink = StdoutSink::to_writer(writer).unwrap();
    let large = highwater_testkit::fixtures::event_with(1, "T", "s", format!("\"{}\"", "x".repeat(1 << 20)));
    {
        // More than a pipe holds, and nobody reads: given up while it is being written.
        let call = sink.handle_slice(std::slice::from_ref(&large));
        tokio::pin!(call);
        assert!(futures_poll(&mut call).await.is_none());
    }
    let reading = std::thread::spawn(move || BufReader::new(reader).lines().collect::<Result<Vec<_>, _>>());
    let small = event(2, "T", "s");
    sink.handle_slice(std::slice::from_ref(&small)).await.unwrap();
    drop(sink);
    let mut expected = Vec::new();
    for event in [&large, &small] {
        write_line(&mut expected, event);
    }
    let lines = reading.join().unwrap().unwrap();
    assert_eq!(lines.join("\n") + "\n", String::from_utf8(expected).unwrap());
}

/// Polls once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}
