//! `wait` for a handler: by its stored checkpoint, whichever process runs it.

use highwater_tests::{LIMIT, poll};
use serde_json::Value;

use super::control::started;
use super::receiver::{Answer, Receiver};
use super::{HASTY, flights, stands};

#[test]
fn g_wait_ends_when_the_checkpoint_of_a_handler_gets_there() {
    let receiver = Receiver::deciding(|_| Answer::Refused(503));
    let handler = format!("[[handler]]\nname = \"out\"\n{}", receiver.sink());
    let (folder, events) = flights(100, &handler);
    folder.exits(3, &["wait", "out", "head"]).says(&["never ran", "out"]);
    folder.exits(3, &["wait", "ot", "head"]).says(&["projection or handler `ot`", "did you mean `out`?"]);
    let mut running = folder.spawn(&["run"]);
    started(&mut running);
    let late = folder.exits(1, &["wait", "out", "head", "--timeout", "300ms", "--json"]).json();
    assert_eq!((&late["outcome"], &late["name"]), (&"timed-out".into(), &"out".into()), "{late}");

    let mut waiting = folder.spawn(&["wait", "out", "head", "--timeout", "100s", "--json"]);
    poll("attempts", LIMIT, || (receiver.came().len() > 3).then_some(()));
    assert!(waiting.is_running(), "{}", waiting.stderr());
    receiver.decide(|_| Answer::Taken);
    let reached = waiting.wait(LIMIT);
    assert_eq!(reached.code, Some(0), "{}", reached.stderr);
    assert_eq!(reached.json()["outcome"], "reached");
    let row = stands(&folder, "out");
    assert_eq!((&row["position"], receiver.taken()), (&row["head"], events.len()), "{row}");
    folder.ok(&["wait", "out", "0:0"]);
    running.signal("TERM");
    assert_eq!(running.wait(LIMIT).code, Some(0));

    folder.configure(HASTY);
    folder.ok(&["wait", "out", "head"]);
}

#[test]
fn g_wait_says_that_the_event_itself_is_a_dead_letter_of_this_generation() {
    let receiver = Receiver::start();
    let (folder, events) = flights(30, &format!("[[handler]]\nname = \"out\"\n{}", receiver.sink()));
    let bad = events[29]["id"].as_str().expect("an id").to_owned();
    receiver.decide(move |came| if came.id == bad { Answer::Refused(422) } else { Answer::Taken });
    folder.ok(&["run", "--until-caught-up"]);
    let done = folder.exits(6, &["wait", "out", "head", "--json"]).json();
    assert_eq!(done["outcome"], "parked", "{done}");
    let letters = folder.json(&["dead-letters", "list", "--handler", "out"]);
    assert_eq!(letters[0]["position"], done["position"]);
    let head = done["position"].as_str().expect("a position");
    assert_eq!(head, "30:0");
    let before = |by: u64| format!("{}:0", 30 - by);
    folder.ok(&["wait", "out", &before(1)]);

    receiver.decide(|_| Answer::Taken);
    folder.ok(&["checkpoints", "reset", "out", &before(5), "--expected", head, "--yes"]);
    let left = folder.exits(1, &["wait", "out", head, "--timeout", "0s", "--json"]).json();
    assert_eq!(left["outcome"], "timed-out");
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(folder.json(&["dead-letters", "list", "--handler", "out"]), letters, "the letter stays");
    let done = folder.json(&["wait", "out", head]);
    assert_eq!(done["outcome"], Value::from("reached"), "a letter from before the reset is no news");
}
