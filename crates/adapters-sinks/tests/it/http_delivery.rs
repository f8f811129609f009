//! A receiver that answers, and what its answers do.

use std::time::Duration;

use highwater_core::policy::Class;
use highwater_core::{ErrorKind, Retry};
use highwater_sinks::{HttpSettings, HttpSink};
use highwater_testkit::fixtures::{event, events};

use crate::kit::{class, deliver, failure, retry};
use crate::receiver::{Answer, Receiver, Request, say, settings, status};

/// The keys of consecutive requests, each once.
fn keys_in_order(seen: &[Request]) -> Vec<String> {
    let mut keys: Vec<String> = seen.iter().map(|request| request.key().to_owned()).collect();
    keys.dedup();
    keys
}

#[tokio::test]
async fn every_event_arrives_in_order_with_one_key_over_all_its_attempts() {
    let receiver = Receiver::start([
        status(500),
        status(204),
        say(429, &[("retry-after", "0")], "slow down"),
        status(503),
        Answer::Hang,
        status(200),
        status(404),
        status(408),
        status(425),
    ])
    .await;
    let settings = HttpSettings {
        timeout: Duration::from_millis(400),
        connect_timeout: Duration::from_millis(400),
        ..receiver.settings()
    };
    let events = events(6, "T", "s-1");
    let attempts = deliver(&HttpSink::new(settings).unwrap(), &events).await;
    let seen = receiver.seen();
    assert!(attempts >= 13 && seen.len() >= 13, "{attempts} attempts, {} requests", seen.len());
    let ids: Vec<String> = events.iter().map(|event| event.id().to_string()).collect();
    assert_eq!(keys_in_order(&seen), ids);
    for request in &seen {
        let same = seen.iter().filter(|other| other.key() == request.key());
        assert!(same.into_iter().all(|other| other.body == request.body), "an attempt repeats all of it");
    }
}

#[tokio::test]
async fn the_wait_that_the_receiver_asks_for_is_handed_on() {
    let receiver = Receiver::start([
        say(429, &[("retry-after", "17")], ""),
        say(
            503,
            &[("date", "Tue, 15 Nov 1994 08:12:31 GMT"), ("retry-after", "Tue, 15 Nov 1994 08:14:31 GMT")],
            "",
        ),
        status(500),
    ])
    .await;
    let (sink, event) = (receiver.sink(), event(1, "T", "s"));
    for wait in [17, 120, 0] {
        let failure = failure(&sink, &event).await;
        assert_eq!(class(&failure), Class::Transient);
        assert_eq!(retry(&failure), Retry::After(Duration::from_secs(wait)));
    }
}

#[tokio::test]
async fn an_answer_decides_what_becomes_of_the_event() {
    for (code, expected) in [
        (400, Class::Permanent),
        (409, Class::Unclassified),
        (413, Class::Permanent),
        (422, Class::Permanent),
        (401, Class::Fatal),
        (403, Class::Fatal),
        (405, Class::Fatal),
        (410, Class::Fatal),
        (415, Class::Fatal),
        (207, Class::Fatal),
        (404, Class::Transient),
        (501, Class::Transient),
    ] {
        let receiver = Receiver::start([say(code, &[], "it is\nlike this")]).await;
        let failure = failure(&receiver.sink(), &event(1, "T", "s")).await;
        assert_eq!(class(&failure), expected, "{code}");
        let text = failure.message();
        assert!(text.contains(&code.to_string()) && text.contains(r"it is\nlike this"), "{text}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let receiver =
        Receiver::start([say(307, &[("location", "https://elsewhere.example/hook?token=s3cr3t")], "")]).await;
    let failure = failure(&receiver.sink(), &event(1, "T", "s")).await;
    assert_eq!(class(&failure), Class::Fatal);
    let text = failure.message();
    assert!(text.contains("https://elsewhere.example") && text.contains("set the url"), "{text}");
    assert!(!text.contains("s3cr3t"), "{text}");
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn a_secret_is_not_printed_even_where_the_receiver_sends_it_back() {
    let receiver = Receiver::start([say(
        422,
        &[],
        "POST /s3cr3t-path?t=s3cr3t-query by Bearer s3cr3t-token (s3cr3t-token, s3cr3t-key): refused",
    )])
    .await;
    let sink = HttpSink::new(HttpSettings {
        url: receiver.url.replace("/hook", "/s3cr3t-path?t=s3cr3t-query"),
        headers: vec![
            ("Authorization".into(), "Bearer s3cr3t-token".into()),
            ("X-Api-Key".into(), "s3cr3t-key".into()),
        ],
        ..receiver.settings()
    })
    .unwrap();
    let failure = failure(&sink, &event(1, "T", "s")).await;
    let all = format!("{failure} {failure:?} {sink:?}");
    assert!(!all.contains("s3cr3t"), "{all}");
    assert!(all.contains("refused"), "{all}");
    assert_eq!(receiver.seen()[0].header("authorization"), "Bearer s3cr3t-token");
}

#[tokio::test]
async fn a_long_answer_is_cut_in_the_error() {
    let body: &'static str = "y".repeat(40_000).leak();
    let receiver = Receiver::start([say(400, &[], body)]).await;
    let text = failure(&receiver.sink(), &event(1, "T", "s")).await.message();
    assert!(text.contains("yyy…") && text.len() < 800, "{} bytes", text.len());
}

#[tokio::test]
async fn a_dropped_call_is_given_again_with_the_same_key() {
    let receiver = Receiver::start([Answer::Hang]).await;
    let (sink, event) = (receiver.sink(), event(1, "T", "s"));
    {
        let call = deliver(&sink, std::slice::from_ref(&event));
        tokio::pin!(call);
        while receiver.seen().is_empty() {
            tokio::select! {
                biased;
                _ = &mut call => panic!("it hangs"),
                () = tokio::task::yield_now() => {},
            }
        }
    }
    assert_eq!(deliver(&sink, &[event]).await, 1);
    let seen = receiver.seen();
    assert_eq!((seen.len(), seen[0].key()), (2, seen[1].key()));
}

#[tokio::test]
async fn https_to_a_server_without_it_is_a_passing_fault() {
    let receiver = Receiver::start([]).await;
    let sink = HttpSink::new(settings(&receiver.url.replace("http://", "https://"))).unwrap();
    let failure = failure(&sink, &event(1, "T", "s")).await;
    assert_eq!(class(&failure), Class::Transient, "{failure}");
    assert!(receiver.seen().is_empty());
}

#[test]
fn x_12_wrong_settings_are_refused_before_anything_is_sent() {
    let error = HttpSink::new(HttpSettings::new("kafka://x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.chain().contains("only http and https"), "{}", error.chain());
}
