//! What a receiver finds in a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use highwater_core::model::RecordedEvent;
use highwater_sinks::{HttpSettings, HttpSink};
use highwater_testkit::fixtures::{event, event_with, hostile_names, id, nasty_payloads};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::kit::{deliver, is_json, nasty_event};
use crate::receiver::{Receiver, Request};

async fn posted(event: &RecordedEvent) -> Request {
    let receiver = Receiver::start([]).await;
    assert_eq!(deliver(&receiver.sink(), std::slice::from_ref(event)).await, 1);
    receiver.seen().remove(0)
}

#[tokio::test]
async fn an_event_is_a_cloud_event_in_structured_mode() {
    let request = posted(&event_with(7, "Opened", "case-7", r#"{"a":1}"#)).await;
    assert_eq!(request.path, "/hook");
    assert_eq!(request.header("content-type"), "application/cloudevents+json");
    assert_eq!(request.key(), id(7).to_string());
    assert_eq!(request.header("user-agent"), concat!("highwater/", env!("CARGO_PKG_VERSION")));
    let read: Value = serde_json::from_slice(&request.body).unwrap();
    let envelope = read.as_object().unwrap();
    // Required (CloudEvents 1.0.2, section "Required Attributes"): none is missing, none is empty.
    assert_eq!(envelope["specversion"], "1.0");
    assert_eq!(envelope["id"], id(7).to_string());
    assert_eq!(envelope["source"], "/streams/case-7");
    assert_eq!(envelope["type"], "Opened");
    // Optional.
    assert_eq!(envelope["subject"], "case-7");
    assert_eq!(envelope["time"], "2023-11-14T22:13:20Z");
    assert_eq!(envelope["datacontenttype"], "application/json");
    assert_eq!(envelope["data"]["a"], 1);
    // Extensions.
    assert_eq!(envelope["sequence"], "00000000000000000007");
    assert_eq!(envelope["position"], "7:0");
    assert_eq!(envelope["category"], "case");
    assert_eq!(envelope["metadata"], "{}");
    for name in envelope.keys().filter(|name| *name != "data") {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{name}");
        assert!(name.len() <= 20, "{name}");
        assert!(envelope[name].is_string(), "{name}: the value of an attribute is no object");
    }
}

#[tokio::test]
async fn x_10_hostile_names_come_through() {
    let receiver = Receiver::start([]).await;
    let names = hostile_names();
    let events: Vec<_> = (1..).zip(&names).map(|(n, name)| event(n, name, name)).collect();
    assert_eq!(deliver(&receiver.sink(), &events).await, names.len());
    let seen = receiver.seen();
    assert_eq!(seen.len(), names.len());
    for (name, request) in names.iter().zip(&seen) {
        let read: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(read["type"], name.as_str());
        assert_eq!(read["subject"], name.as_str());
        let source = read["source"].as_str().unwrap().strip_prefix("/streams/").unwrap();
        assert_eq!(percent_decode_str(source).decode_utf8().unwrap(), name.as_str());
    }
}

#[tokio::test]
async fn x_9_hostile_payloads_come_through_byte_for_byte() {
    let receiver = Receiver::start([]).await;
    let payloads = nasty_payloads();
    let events: Vec<_> = (1..).zip(&payloads).map(|(n, nasty)| nasty_event(n, nasty)).collect();
    deliver(&receiver.sink(), &events).await;
    for (nasty, request) in payloads.iter().zip(receiver.seen()) {
        let text = request.text();
        if is_json(nasty) {
            let data = std::str::from_utf8(&nasty.data).unwrap();
            assert!(text.ends_with(&format!(r#","data":{data}}}"#)), "{}: {text}", nasty.name);
        } else {
            let read: Value = serde_json::from_str(text).unwrap();
            assert!(read.get("data").is_none(), "{}", nasty.name);
            let decoded = BASE64.decode(read["data_base64"].as_str().unwrap()).unwrap();
            assert_eq!(decoded, nasty.data, "{}", nasty.name);
        }
    }
}

#[tokio::test]
async fn headers_source_key_and_credentials_are_as_they_were_set() {
    let receiver = Receiver::start([]).await;
    let url = receiver.url.replace("http://", "http://me:pa%20ss@");
    let sink = HttpSink::new(HttpSettings {
        url: format!("{url}?tenant=7"),
        headers: vec![("X-Api-Key".into(), "k3y".into()), ("User-Agent".into(), "mine".into())],
        source: "https://x.example/{category}".into(),
        idempotency_header: "X-Request-Id".into(),
        metadata: false,
        ..receiver.settings()
    });
    deliver(&sink.unwrap(), &[event(1, "T", "order-1")]).await;
    let request = receiver.seen().remove(0);
    assert_eq!(request.path, "/hook?tenant=7");
    assert_eq!(request.header("x-api-key"), "k3y");
    assert_eq!(request.header("user-agent"), "mine");
    assert_eq!(request.header("x-request-id"), id(1).to_string());
    assert_eq!(request.key(), "");
    assert_eq!(request.header("authorization"), format!("Basic {}", BASE64.encode("me:pa ss")));
    let read: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(read["source"], "https://x.example/order");
    assert!(read.get("metadata").is_none());
}
