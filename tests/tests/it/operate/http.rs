//! What a prober and a metrics collector see of a running process.

use std::io::{Read, Write};
use std::net::TcpStream;

use highwater_tests::{Folder, LIMIT, Running, poll};
use serde_json::Value;

const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"

[[projection]]
name = "counts"
version = 1
schema = "CREATE TABLE counts (type TEXT PRIMARY KEY, n INTEGER)"
apply = "INSERT INTO counts SELECT type, count(*) FROM events WHERE true GROUP BY type ON CONFLICT (type) DO UPDATE SET n = n + excluded.n"

[[projection]]
name = "amounts"
version = 1
types = ["Paid"]
schema = "CREATE TABLE amounts (amount INTEGER CHECK (amount > 0))"
[projection.on]
Paid = "INSERT INTO amounts VALUES (:data.amount)"
"#;

/// The address that the process serves at.
pub(crate) fn address(running: &mut Running) -> String {
    let line = running.logs("it serves", LIMIT, |line| {
        line["message"].as_str().is_some_and(|said| said.contains("serving metrics and health"))
    });
    line["address"].as_str().expect("the line has the address").to_owned()
}

/// The status and the body of an answer.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, body.to_owned())
}

pub(crate) fn json(address: &str, path: &str) -> (u16, Value) {
    let (status, body) = get(address, path);
    (status, serde_json::from_str(&body).expect("the body is JSON"))
}

/// The value of the metric with these labels.
fn metric(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn g_metrics_and_health_tell_what_is_happening() {
    let folder = Folder::with(CONFIG);
    for amount in ["7", "-1", "9"] {
        let data = format!("{{\"amount\": {amount}}}");
        folder.ok(&["append", "--stream", "order-1", "--type", "Paid", "--data", &data]);
    }
    let mut running = folder.spawn(&["run"]);
    let at = address(&mut running);
    let text = poll("all events are counted", LIMIT, || {
        let (status, text) = get(&at, "/metrics");
        assert_eq!(status, 200, "{text}");
        let applied = metric(&text, "highwater_events_applied_total", &["projection=\"counts\""]);
        let parked = metric(&text, "highwater_events_set_aside_total", &["projection=\"amounts\""]);
        // The lag is told when the next look at the log has found its end, one metric after the other.
        let lag = ["counts", "amounts"].map(|name| {
            ["highwater_lag_seconds", "highwater_lag_events"]
                .map(|lag| metric(&text, lag, &[&format!("projection=\"{name}\"")]))
        });
        (applied == Some(3.0) && parked == Some(1.0) && lag == [[Some(0.0); 2]; 2]).then_some(text)
    });
    assert_eq!(metric(&text, "highwater_events_applied_total", &["projection=\"amounts\""]), Some(2.0));
    let parked = ["projection=\"amounts\"", "state=\"parked\""];
    assert_eq!(metric(&text, "highwater_failed_events", &parked), Some(1.0));
    assert!(text.contains("highwater_batch_seconds_bucket"), "{text}");

    let (status, health) = json(&at, "/health/live");
    assert_eq!((status, &health["ok"]), (200, &Value::Bool(true)));
    let (status, health) = json(&at, "/health/ready?max_lag_seconds=1");
    assert_eq!(
        (status, &health["ok"]),
        (200, &Value::Bool(true)),
        "E-25: idle and caught up is well: {health}"
    );
    let (status, lag) = json(&at, "/health/lag");
    assert_eq!((status, &lag["projections"][0]["lag_events"]), (200, &Value::from(0)));
    assert_eq!(get(&at, "/nothing").0, 404);

    running.signal("TERM");
    assert_eq!(running.wait(LIMIT).code, Some(0));
    assert!(TcpStream::connect(&at).is_err(), "nobody listens any more");
}

#[test]
fn g_a_faulted_projection_is_not_ready_and_says_why() {
    let folder = Folder::with(CONFIG);
    folder.ok(&["append", "--stream", "order-1", "--type", "Paid", "--data", "{\"amount\": 1}"]);
    folder.ok(&["run", "--until-caught-up"]);
    folder.tamper().run("DROP TABLE amounts");
    let mut running = folder.spawn(&["run"]);
    let at = address(&mut running);
    let health = poll("it is faulted, and the other one goes on (E-22)", LIMIT, || {
        let (status, health) = json(&at, "/health/ready");
        let [other, faulted] = [0, 1].map(|n| &health["projections"][n]);
        (status == 503 && faulted["phase"] == "faulted" && other["phase"] == "live").then_some(health)
    });
    assert_eq!(health["ok"], false);
    let reason = health["projections"][1]["reason"].as_str().expect("a reason");
    assert!(reason.contains("amounts"), "{reason}");
    assert_eq!(health["projections"][0]["reason"], Value::Null);
    assert_eq!(json(&at, "/health/live").0, 200, "it need not be started anew: that would not mend it");
    let (_, text) = get(&at, "/metrics");
    assert_eq!(metric(&text, "highwater_faulted", &["projection=\"amounts\""]), Some(1.0));
}

#[test]
fn x_12_an_address_that_is_none_and_one_that_is_taken_are_named() {
    let folder = Folder::with("[http]\nlisten = \"localhost\"\n");
    folder.exits(2, &["status"]).says(&["http.listen", "127.0.0.1:9464", "highwater.toml:4"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = taken.local_addr().expect("its address").to_string();
    let folder = Folder::with(&CONFIG.replace("127.0.0.1:0", &at));
    folder.exits(2, &["run"]).says(&["listen at", &at]);
}
