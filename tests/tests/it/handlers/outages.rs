//! A checkpoint store that goes away in the middle of a run, and comes back.

use std::time::Duration;

use highwater_tests::{LIMIT, pause, poll};
use serde_json::Value;

use super::control::started;
use super::own_redis::OwnRedis;
use super::receiver::{Answer, Receiver};
use super::{flights, stands};
use crate::operate::http::{address, json};

const EVENTS: usize = 3_000;

#[test]
fn c_1_a_store_that_is_away_for_seconds_loses_nothing_is_shown_and_heals_by_itself() {
    let Some(mut redis) = OwnRedis::start() else { return };
    let receiver = Receiver::deciding(|_| {
        // A run that is over before the server is killed would prove nothing.
        pause(Duration::from_millis(2));
        Answer::Taken
    });
    let (folder, events) = flights(EVENTS, "");
    folder.configure(&format!(
        r#"
[http]
listen = "127.0.0.1:0"

[checkpoints]
url = "{}"
lease = "5s"
breaker_failure_threshold = 3
breaker_open_time = "500ms"

[handler_defaults]
poll_interval = "50ms"

[[handler]]
name = "out"
start_from = "beginning"
lanes = 4
{}"#,
        redis.url(),
        receiver.sink()
    ));
    let mut running = folder.spawn(&["run"]);
    let at = address(&mut running);
    started(&mut running);
    for kills in 1..=2 {
        poll("events", LIMIT, || (receiver.taken() > 300 * kills).then_some(()));
        redis.kill();
        let health = poll("it is not well", LIMIT, || {
            assert!(running.is_running(), "{}", running.stderr());
            let (status, health) = json(&at, "/health/ready");
            (status == 503).then_some(health)
        });
        let row = &health["handlers"][0];
        assert_eq!(row["phase"], "stalled", "{health}");
        let reason = row["reason"].as_str().expect("a reason");
        assert!(reason.contains("checkpoint store"), "{reason}");
        folder.exits(4, &["status"]).says(&["Redis"]);
        let stands_at = receiver.taken();
        assert!(stands_at < EVENTS, "it waits for the store: {stands_at}");
        let breaker = folder.json(&["breaker", "--at", &at]);
        assert!(breaker["trips"].as_u64() >= Some(1), "{breaker}");

        redis.start_again();
        poll("it goes on", LIMIT, || (receiver.taken() > stands_at).then_some(()));
        poll("it is well", LIMIT, || (json(&at, "/health/ready").0 == 200).then_some(()));
    }
    folder.ok(&["wait", "out", "head", "--timeout", "100s"]);
    assert_eq!(folder.json(&["breaker", "--at", &at])["state"], "closed", "nobody has reset it");
    running.signal("TERM");
    assert_eq!(running.wait(LIMIT).code, Some(0));
    receiver.assert_in_order();
    assert_eq!(receiver.taken(), events.len(), "nothing is lost");
    assert_eq!(receiver.came().len(), events.len(), "nobody died, so nothing came twice");
    let row = stands(&folder, "out");
    assert_eq!((&row["position"], &row["dead_letters"]), (&row["head"], &Value::from(0)), "{row}");
}
