//! Checkpoints of handlers on a real Redis: `HIGHWATER_TEST_REDIS_URL` names it.

use std::env;

use highwater_tests::Random;
use serde_json::Value;

use super::own_redis::OwnRedis;
use super::receiver::Receiver;
use super::{HASTY, flights, report, stands};

/// The server; `None`, said aloud, where none is named and none is required.
fn server() -> Option<String> {
    if let Ok(url) = env::var("HIGHWATER_TEST_REDIS_URL") {
        return Some(url);
    }
    assert!(env::var_os("REQUIRE_BACKENDS").is_none(), "HIGHWATER_TEST_REDIS_URL names no server");
    println!("skipped: HIGHWATER_TEST_REDIS_URL names no server");
    None
}

#[test]
fn d_9_handlers_keep_their_checkpoints_in_redis_and_a_lost_one_is_not_taken_for_new() {
    let Some(url) = server() else { return };
    let receiver = Receiver::start();
    let (folder, events) = flights(200, "");
    let seed = u64::from(std::process::id());
    let prefix = format!("test-{}:", Random::new(seed).below(u64::MAX));
    let place = HASTY.replace("lease", &format!("url = \"{url}\"\nprefix = \"{prefix}\"\nlease"));
    let handler = |start: &str| format!("{place}[[handler]]\nname = \"out\"\n{start}{}", receiver.sink());

    // A server that knows of no checkpoint may have lost them all, so somebody has to say where to begin.
    folder.configure(&handler(""));
    let refused = folder.exits(1, &["run", "--until-caught-up", "--json"]).json();
    assert!(report(&refused)["reason"].as_str().is_some_and(|why| why.contains("start_from")), "{refused}");
    assert_eq!(receiver.taken(), 0);

    folder.configure(&handler("start_from = \"beginning\"\n"));
    let done = folder.json(&["run", "--until-caught-up"]);
    assert_eq!(report(&done)["processed"], 200, "{done}");
    assert_eq!(receiver.taken(), events.len());
    let row = stands(&folder, "out");
    assert_eq!((&row["position"], &row["phase"]), (&row["head"], &Value::from("stopped")), "{row}");
    folder.configure(&handler(""));
    let again = folder.json(&["run", "--until-caught-up"]);
    assert_eq!(report(&again)["processed"], 0, "it is known now: {again}");
    let inside = folder.database().number("SELECT count(*) FROM highwater_checkpoint");
    assert_eq!(inside, 0, "nothing is kept in the store");

    let cleared = folder.json(&["checkpoints", "clear", "ou", "--yes"]);
    assert_eq!(cleared["deleted"], 1);
    receiver.assert_in_order();
}

#[test]
fn d_9_a_lost_checkpoint_can_be_given_up_or_set_again() {
    let Some(redis) = OwnRedis::start() else { return };
    let receiver = Receiver::start();
    let (folder, events) = flights(50, "");
    let place = HASTY.replace("lease", &format!("url = \"{}\"\nlease", redis.url()));
    let handlers = ["kept", "given-up"].map(|name| {
        format!("[[handler]]\nname = \"{name}\"\nstart_from = \"beginning\"\n{}", receiver.sink())
    });
    folder.configure(&format!("{place}{}", handlers.join("\n")));
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(receiver.came().len(), 2 * events.len());
    for name in ["kept", "given-up"] {
        assert_eq!(redis.ask(&["DEL", &format!("{{highwater}}:checkpoint:{name}")]), "1");
    }
    let lost = folder.exits(1, &["run", "--until-caught-up", "--json"]).json();
    assert!(lost.to_string().contains("the server has lost it"), "{lost}");
    assert_eq!(receiver.came().len(), 2 * events.len(), "lost is not new");

    folder.exits(3, &["checkpoints", "delete", "given-up", "--dry-run"]);
    assert_eq!(folder.json(&["checkpoints", "delete", "given-up", "--yes"])["deleted"], 1);
    folder.exits(3, &["checkpoints", "delete", "given-up", "--yes"]).says(&["given-up"]);
    folder.ok(&["checkpoints", "set", "kept", "40:0"]);
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(receiver.came().len(), 2 * events.len() + 10 + events.len());
}
