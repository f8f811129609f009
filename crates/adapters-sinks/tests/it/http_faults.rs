//! A receiver that does not answer in order, or not at all.

use std::time::Duration;

use tokio::net::TcpListener;

use highwater_core::policy::Class;
use highwater_sinks::{HttpSettings, HttpSink};
use highwater_testkit::fixtures::{event, events};

use crate::kit::{class, deliver, failure};
use crate::receiver::{Answer, Receiver, settings};
use crate::rude::{Manner, Rude};

#[tokio::test]
async fn every_event_arrives_in_order_through_broken_connections() {
    let rude = Rude::start([
        Manner::Reset,
        Manner::Say(""),
        Manner::Say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbroken o"),
        Manner::Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbro"),
        Manner::Say("SSH-2.0-OpenSSH_9.6\r\n"),
        Manner::Say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nbroken o"),
        Manner::Say("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
        Manner::Reset,
    ])
    .await;
    let events = events(3, "T", "s-1");
    let sink = HttpSink::new(settings(&rude.url)).unwrap();
    assert_eq!(deliver(&sink, &events).await, 10);
    let ids: Vec<String> = events.iter().map(|event| event.id().to_string()).collect();
    let expected: Vec<&str> =
        [7, 2, 1].into_iter().zip(&ids).flat_map(|(times, id)| vec![id.as_str(); times]).collect();
    assert_eq!(rude.keys(), expected);
}

#[tokio::test]
async fn a_status_counts_though_its_body_breaks_off() {
    let rude =
        Rude::start([Manner::Say("HTTP/1.1 422 Nope\r\nContent-Length: 100\r\n\r\nno such customer")]).await;
    let sink = HttpSink::new(settings(&rude.url)).unwrap();
    let failure = failure(&sink, &event(1, "T", "s")).await;
    assert_eq!(class(&failure), Class::Permanent);
    assert!(failure.message().contains("no such customer"), "{failure}");
}

#[tokio::test]
async fn x_11_an_answer_without_end_costs_neither_memory_nor_time() {
    let rude = Rude::start([
        Manner::Flood("HTTP/1.1 500 Internal Server Error\r\n\r\n"),
        Manner::Flood("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
    ])
    .await;
    let sink = HttpSink::new(settings(&rude.url)).unwrap();
    let event = event(1, "T", "s");
    let failed = failure(&sink, &event).await;
    assert_eq!(class(&failed), Class::Transient);
    assert!(failed.message().len() < 800, "{failed}");
    assert_eq!(deliver(&sink, &[event]).await, 1);
}

#[tokio::test]
async fn nobody_there_is_a_passing_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/s3cr3t", listener.local_addr().unwrap());
    drop(listener);
    let failed = failure(&HttpSink::new(settings(&url)).unwrap(), &event(1, "T", "s")).await;
    assert_eq!(class(&failed), Class::Transient);
    let text = failed.message();
    assert!(text.contains("cannot be reached") && text.contains("127.0.0.1"), "{text}");
    assert!(!text.contains("s3cr3t"), "{text}");
}

#[tokio::test]
async fn an_unknown_host_is_a_passing_fault() {
    let sink = HttpSink::new(settings("http://no-such-host.invalid/")).unwrap();
    assert_eq!(class(&failure(&sink, &event(1, "T", "s")).await), Class::Transient);
}

#[tokio::test]
async fn a_receiver_that_hangs_is_given_up_after_the_time_out() {
    let receiver = Receiver::start([Answer::Hang]).await;
    let limit = Duration::from_millis(300);
    let limits = HttpSettings { timeout: limit, connect_timeout: limit, ..receiver.settings() };
    let failed = failure(&HttpSink::new(limits).unwrap(), &event(1, "T", "s")).await;
    assert_eq!(class(&failed), Class::Transient);
    assert!(failed.message().contains("does not answer in time"), "{failed}");
    assert_eq!(receiver.seen().len(), 1);
}
