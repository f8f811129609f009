//! `breaker` and `persist`: what an operator says to the process that runs.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use highwater_tests::{Folder, LIMIT, Running, poll};
use serde_json::Value;

use super::own_redis::{OwnRedis, free_port};
use super::receiver::Receiver;
use super::{flights, stands};
use crate::operate::http::{address, get, json};

/// Appends an event behind all others.
fn append(folder: &Folder) {
    folder.ok(&["append", "--stream", "late-1", "--type", "Late", "--data", "{}"]);
}

pub(super) fn started(running: &mut Running) {
    running.logs("it starts", LIMIT, |line| {
        line["group"] == "out"
            && line["message"].as_str().is_some_and(|said| said.contains("handler started"))
    });
}

#[test]
fn c_8_a_breaker_that_a_dead_store_has_opened_is_shown_overridden_and_reset() {
    let Some(mut redis) = OwnRedis::start() else { return };
    let receiver = Receiver::start();
    let (folder, events) = flights(50, "");
    folder.configure(&format!(
        r#"
[http]
listen = "127.0.0.1:{}"

[checkpoints]
url = "{}"
# Longer than the test: each renewal would write, too.
lease = "10min"
persistence_interval = "100ms"
breaker_failure_threshold = 2
breaker_open_time = "1h"

[handler_defaults]
poll_interval = "50ms"
checkpoint_interval = "10ms"

[[handler]]
name = "out"
start_from = "beginning"
{}"#,
        free_port(),
        redis.url(),
        receiver.sink()
    ));
    let mut running = folder.spawn(&["run"]);
    started(&mut running);
    folder.ok(&["wait", "out", "head"]);
    let breaker = || folder.json(&["breaker"]);
    let facts = |breaker: &Value| (breaker["state"].as_str().map(str::to_owned), breaker["trips"].as_u64());
    let state = |state: &str, trips: u64| (Some(state.to_owned()), Some(trips));
    assert_eq!(facts(&breaker()), state("closed", 0));
    assert_eq!(folder.ok(&["persist", "now"]).text(), "nothing was due: all checkpoints are stored\n");

    redis.kill();
    append(&folder);
    let open = poll("the breaker opens", LIMIT, || Some(breaker()).filter(|it| it["state"] == "open"));
    assert_eq!((open["trips"].as_u64(), open["pending"].as_u64()), (Some(1), Some(1)), "{open}");
    assert!(open["retry_in_ms"].as_u64() > Some(3_500_000) && open["last_error"].is_string(), "{open}");
    let text = folder.ok(&["breaker", "show"]).text();
    assert!(text.contains("is open") && text.contains("tries again in 59 min"), "{text}");
    folder.exits(4, &["persist", "now"]).says(&[
        "circuit breaker is open",
        "highwater breaker reset",
        "--override-breaker",
    ]);
    let failed = folder.exits(1, &["persist", "now", "--override-breaker", "--json"]).json();
    assert_eq!((&failed["failed"][0]["handler"], &failed["flushed"]), (&"out".into(), &Value::Array(vec![])));
    assert!(failed["failed"][0]["error"].is_string(), "{failed}");
    folder.exits(4, &["status"]).says(&["Redis"]);

    redis.start_again();
    let forced = folder.json(&["persist", "now", "--override-breaker", "--deadline", "10s"]);
    assert_eq!(forced["flushed"][0], "out", "{forced}");
    folder.ok(&["wait", "out", "head"]);
    assert_eq!(facts(&breaker()), state("open", 1), "it learns nothing from what overrides it");

    append(&folder);
    poll("the mark waits", LIMIT, || (breaker()["pending"] == 1).then_some(()));
    let row = stands(&folder, "out");
    assert_ne!(row["position"], row["head"], "nothing is written while it is open");
    let reset = folder.json(&["breaker", "reset"]);
    assert_eq!(facts(&reset["before"]), state("open", 1));
    assert_eq!(facts(&reset["after"]), state("closed", 1), "the trips stay counted");
    folder.ok(&["wait", "out", "head", "--timeout", "20s"]);
    assert_eq!(facts(&breaker()), state("closed", 1));
    assert_eq!(receiver.came().len(), events.len() + 2, "nothing came twice");
    running.signal("TERM");
    assert_eq!(running.wait(LIMIT).code, Some(0));
    folder.exits(4, &["breaker"]).says(&["nothing answers", "highwater run"]);
}

#[test]
fn b_5_persist_now_stores_a_checkpoint_before_it_is_due() {
    let receiver = Receiver::start();
    let (folder, _) = flights(20, "");
    folder.configure(&format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n\n[[handler]]\nname = \"out\"\npoll_interval = \"50ms\"\n\
         checkpoint_interval = \"1h\"\ncheckpoint_batch_size = 1000\n{}",
        receiver.sink()
    ));
    let mut running = folder.spawn(&["run"]);
    let at = address(&mut running);
    started(&mut running);
    folder.ok(&["wait", "out", "head"]);
    append(&folder);
    let head = stands(&folder, "out")["head"].clone();
    poll("the event is settled", LIMIT, || {
        let (_, health) = json(&at, "/health/ready");
        (health["handlers"][0]["position"] == head).then_some(())
    });
    assert_ne!(stands(&folder, "out")["position"], head, "it is due in an hour");
    let done = folder.json(&["persist", "now", "--at", &format!("http://{at}/")]);
    assert_eq!(done["flushed"], Value::from(vec!["out"]), "{done}");
    assert_eq!(stands(&folder, "out")["position"], head);
    let again = folder.json(&["persist", "now", "--at", &at]);
    assert_eq!(again["flushed"], Value::Array(vec![]), "{again}");
    assert_eq!(get(&at, "/persist").0, 405, "it is asked for with POST");
    folder.exits(2, &["breaker"]).says(&["http.listen", "port 0", "--at"]);
}

#[test]
fn x_12_a_process_that_is_not_there_or_has_no_handlers_is_named() {
    let (folder, _) = flights(1, "[[handler]]\nname = \"out\"\nstdout = true\n");
    for command in [&["breaker"][..], &["breaker", "reset"], &["persist", "now"]] {
        folder.exits(2, command).says(&["http.listen", "--at URL"]);
        let nobody = format!("127.0.0.1:{}", free_port());
        let at = |url: &str| {
            [command, &["--at", url]].concat().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        folder.exits(4, &at(&nobody)).says(&["nothing answers", &nobody]);
        folder.exits(2, &at("ftp://x")).says(&["--at", "127.0.0.1:9464"]);
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let stranger = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let read = stream.read(&mut [0; 4_096]);
            if read.is_ok() && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").is_err() {
                return;
            }
        }
    });
    folder.exits(4, &["breaker", "--at", &stranger]).says(&["not a `highwater run`", &stranger]);

    folder.configure(
        "[http]\nlisten = \"127.0.0.1:0\"\n[[projection]]\nname = \"p\"\nschema = \"CREATE TABLE t (n)\"\n\
         apply = \"INSERT INTO t SELECT 1 FROM events\"\n",
    );
    let mut running = folder.spawn(&["run"]);
    let at = address(&mut running);
    folder.exits(1, &["breaker", "--at", &at]).says(&["runs no handlers", "--at URL"]);
    let refused = folder.exits(1, &["persist", "now", "--at", &at, "--json"]);
    refused.says(&["\"kind\":\"failed\"", "runs no handlers"]);
}

#[test]
fn x_12_what_is_for_projections_says_so_of_a_handler_and_what_to_do() {
    let (folder, _) = flights(10, "[[handler]]\nname = \"out\"\nstdout = true\n");
    folder.ok(&["run", "--until-caught-up"]);
    let before = stands(&folder, "out");
    folder.exits(3, &["pause", "out"]).says(&["`out` is a handler", "--only", "checkpoint stays"]);
    folder.exits(3, &["resume", "out"]).says(&["`out` is a handler", "nor resumed"]);
    for command in [&["rebuild", "out", "--yes"][..], &["verify", "out"], &["rewind", "out", "--to", "start"]]
    {
        folder.exits(3, command).says(&["`out` is a handler", "checkpoints reset out"]);
    }
    assert_eq!(stands(&folder, "out"), before, "nothing has changed");
}
