//! Events that a receiver refuses for good.

use serde_json::Value;

use super::receiver::{Answer, Receiver};
use super::{flights, report, stands};

#[test]
fn b_3_an_event_that_is_refused_goes_to_the_dead_letters_and_comes_back() {
    let receiver = Receiver::start();
    let (folder, events) = flights(100, &format!("[[handler]]\nname = \"out\"\n{}", receiver.sink()));
    let bad: Vec<String> =
        [7, 8, 60].map(|nr: usize| events[nr]["id"].as_str().expect("an id").to_owned()).to_vec();
    let refused = bad.clone();
    receiver.decide(move |came| match refused.contains(&came.id) {
        true => Answer::Refused(422),
        false => Answer::Taken,
    });
    let done = folder.exits(6, &["run", "--until-caught-up", "--fail-on-parked", "--json"]).json();
    let row = report(&done);
    let counts = ["processed", "dead_lettered", "errors"].map(|key| row[key].as_u64().expect("a count"));
    assert_eq!(counts, [97, 3, 3], "a refusal is not retried: {done}");
    assert_eq!(stands(&folder, "out")["dead_letters"], 3);

    let list = || folder.json(&["dead-letters", "list", "--handler", "out"]);
    let letters = list();
    let ids: Vec<&str> =
        letters.as_array().into_iter().flatten().filter_map(|letter| letter["id"].as_str()).collect();
    assert_eq!(ids, bad);
    let place = |nr: usize| letters[nr]["position"].as_str().expect("a position").to_owned();
    let shown = folder.json(&["dead-letters", "show", "out", &place(0)]);
    assert_eq!((&shown["event"], &shown["letter"]["class"]), (&events[7], &Value::from("permanent")));
    let raw = folder.ok(&["dead-letters", "show", "out", &place(0), "--raw"]);
    let data: Value = serde_json::from_slice(&raw.stdout).expect("the payload is JSON");
    assert_eq!(data, events[7]["data"]);

    folder.exits(1, &["dead-letters", "retry", "out", &place(0)]);
    assert_eq!(list().as_array().map(Vec::len), Some(3), "it was refused again, and stays");
    receiver.decide(|_| Answer::Taken);
    folder.ok(&["dead-letters", "retry", "out", &place(0)]);
    assert_eq!(receiver.taken(), 98);
    let would = folder.json(&["dead-letters", "discard", "out", "--all", "--dry-run"]);
    assert_eq!(would["discarded"], 2);
    let gone = folder.json(&["dead-letters", "discard", "out", &place(1), "--yes"]);
    assert_eq!(gone["discarded"], 1);
    folder.exits(3, &["dead-letters", "show", "out", &place(1)]);
    folder.ok(&["dead-letters", "retry", "out", "--all"]);
    assert_eq!((receiver.taken(), list().as_array().map(Vec::len)), (99, Some(0)));
}

#[test]
fn b_9_an_opaque_failure_is_retried_in_order_before_it_is_given_up() {
    let receiver = Receiver::start();
    let handler = format!("[[handler]]\nname = \"out\"\nmax_retries = 2\n{}", receiver.sink());
    let (folder, events) = flights(50, &handler);
    let bad = events[20]["id"].as_str().expect("an id").to_owned();
    let refused = bad.clone();
    receiver.decide(move |came| if came.id == refused { Answer::Refused(409) } else { Answer::Taken });
    let done = folder.json(&["run", "--until-caught-up"]);
    assert_eq!(report(&done)["dead_lettered"], 1, "{done}");
    let came = receiver.came();
    let attempts = came.iter().filter(|event| event.id == bad).count();
    assert_eq!(attempts, 3, "two retries are three executions");
    let at = came.iter().position(|event| event.id == bad).expect("it came");
    assert!(came[at..at + 3].iter().all(|event| event.id == bad), "nothing passes it in its lane");
}
