//! Several events in one request.

use highwater_core::model::RecordedEvent;
use highwater_core::policy::Class;
use highwater_core::ports::DynHandler;
use highwater_sinks::{HttpBatch, HttpSettings, HttpSink};
use highwater_testkit::fixtures::{event_with, events};
use serde_json::Value;

use crate::kit::{class, deliver};
use crate::receiver::{Receiver, Request, status};

fn sink(receiver: &Receiver, max_events: usize) -> HttpSink {
    let batch = Some(HttpBatch { max_events, ..HttpBatch::default() });
    HttpSink::new(HttpSettings { batch, ..receiver.settings() }).unwrap()
}

/// The numbers of the events in a request.
fn numbers(request: &Request) -> Vec<u64> {
    let read: Vec<Value> = serde_json::from_slice(&request.body).unwrap();
    read.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

fn all_numbers(receiver: &Receiver) -> Vec<Vec<u64>> {
    receiver.seen().iter().map(numbers).collect()
}

#[tokio::test]
async fn a_batch_is_an_array_of_cloud_events() {
    let receiver = Receiver::start([]).await;
    let sink = sink(&receiver, 3);
    let events = events(5, "T", "s-1");
    sink.handle_slice(&events).await.unwrap();
    sink.handle_slice(&events[..1]).await.unwrap();
    assert_eq!(all_numbers(&receiver), [vec![1, 2, 3], vec![4, 5], vec![1]]);
    let seen = receiver.seen();
    for request in &seen {
        assert_eq!(request.header("content-type"), "application/cloudevents-batch+json");
    }
    assert_eq!(seen[2].key(), events[0].id().to_string(), "a batch of one has the event's key");
    let read: Vec<Value> = serde_json::from_slice(&seen[0].body).unwrap();
    for (envelope, event) in read.iter().zip(&events) {
        assert_eq!(envelope["specversion"], "1.0");
        assert_eq!(envelope["id"], event.id().to_string());
        assert_eq!(envelope["type"], "T");
        assert_eq!(envelope["source"], "/streams/s-1");
    }
}

#[tokio::test]
async fn a_batch_that_is_posted_again_has_the_same_key() {
    let receiver = Receiver::start([status(503), status(204), status(502)]).await;
    let sink = sink(&receiver, 2);
    let events = events(4, "T", "s-1");
    let failed = sink.handle_slice(&events).await.unwrap_err();
    assert_eq!((class(&failed), failed.index()), (Class::Transient, Some(0)));
    let failed = sink.handle_slice(&events).await.unwrap_err();
    assert_eq!((class(&failed), failed.index()), (Class::Transient, Some(2)), "the first two were taken");
    sink.handle_slice(&events[2..]).await.unwrap();
    assert_eq!(all_numbers(&receiver), [vec![1, 2], vec![1, 2], vec![3, 4], vec![3, 4]]);
    let keys: Vec<String> = receiver.seen().iter().map(|request| request.key().to_owned()).collect();
    assert_eq!((&keys[0], &keys[2]), (&keys[1], &keys[3]));
    assert_ne!(keys[0], keys[2]);
}

#[tokio::test]
async fn a_refused_batch_is_taken_apart_to_find_the_event_that_is_meant() {
    let receiver = Receiver::start([status(204), status(422), status(204), status(400), status(204)]).await;
    let sink = sink(&receiver, 3);
    let events = events(6, "T", "s-1");
    let failed = sink.handle_slice(&events).await.unwrap_err();
    assert_eq!((class(&failed), failed.index()), (Class::Permanent, Some(4)));
    assert!(failed.message().contains(&events[4].id().to_string()), "{failed}");
    // As a runner does: the fifth is parked, and the next goes on.
    sink.handle_slice(&events[5..]).await.unwrap();
    assert_eq!(all_numbers(&receiver), [vec![1, 2, 3], vec![4, 5, 6], vec![4], vec![5], vec![6]]);
}

#[tokio::test]
async fn a_batch_that_is_too_large_for_the_receiver_goes_event_by_event() {
    let receiver = Receiver::start([status(413)]).await;
    let sink = sink(&receiver, 9);
    sink.handle_slice(&events(3, "T", "s-1")).await.unwrap();
    assert_eq!(all_numbers(&receiver), [vec![1, 2, 3], vec![1], vec![2], vec![3]]);
}

#[tokio::test]
async fn a_fatal_answer_takes_no_batch_apart() {
    let receiver = Receiver::start([status(401)]).await;
    let failed = sink(&receiver, 9).handle_slice(&events(3, "T", "s-1")).await.unwrap_err();
    assert_eq!((class(&failed), failed.index()), (Class::Fatal, Some(0)));
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn x_11_a_request_is_bounded_by_bytes() {
    let receiver = Receiver::start([]).await;
    let batch = Some(HttpBatch { max_events: 100, max_bytes: 4096 });
    let sink = HttpSink::new(HttpSettings { batch, ..receiver.settings() }).unwrap();
    let fat =
        |n: u64, size: usize| event_with(n, "T", "s", format!(r#"{{"n":{n},"x":"{}"}}"#, "x".repeat(size)));
    let events: Vec<RecordedEvent> = vec![fat(1, 1000), fat(2, 1000), fat(3, 9000), fat(4, 10), fat(5, 10)];
    sink.handle_slice(&events).await.unwrap();
    assert_eq!(all_numbers(&receiver), [vec![1, 2], vec![3], vec![4, 5]]);
    for request in receiver.seen() {
        assert!(request.body.len() <= 4096 || numbers(&request).len() == 1);
    }
}

#[tokio::test]
async fn without_batches_a_slice_goes_event_by_event_and_the_failed_one_is_named() {
    let receiver = Receiver::start([status(204), status(422)]).await;
    let events = events(4, "T", "s-1");
    let failed = receiver.sink().handle_slice(&events).await.unwrap_err();
    assert_eq!((class(&failed), failed.index()), (Class::Permanent, Some(1)));
    assert_eq!(receiver.seen().len(), 2);
    deliver(&receiver.sink(), &events[2..]).await;
    let keys: Vec<String> = receiver.seen().iter().map(|request| request.key().to_owned()).collect();
    let ids: Vec<String> = events.iter().map(|event| event.id().to_string()).collect();
    assert_eq!(keys, ids);
}
