//! Events to an HTTP receiver, to a command, to standard output.

use std::collections::HashMap;

use highwater_tests::{Folder, LIMIT, poll};
use serde_json::Value;

use super::receiver::{Answer, Receiver};
use super::{flights, ids, report, stands};

const EVENTS: usize = 1_500;

#[test]
fn b_12_every_event_reaches_an_http_receiver_once_in_order_with_its_id_as_the_key() {
    let receiver = Receiver::start();
    let (folder, events) = flights(EVENTS, &format!("[[handler]]\nname = \"out\"\n{}", receiver.sink()));
    let done = folder.json(&["run", "--until-caught-up"]);
    let row = report(&done);
    assert_eq!(
        (&row["outcome"], row["processed"].as_u64()),
        (&Value::from("caught-up"), Some(1_500)),
        "{done}"
    );
    assert_eq!(row["checkpoint"], row["position"], "what is settled is stored when it ends");

    let taken = receiver.first_taken();
    assert_eq!(taken.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ids(&events));
    assert_eq!(receiver.came().len(), EVENTS, "nobody crashed, so nothing came twice");
    receiver.assert_in_order();
    assert_eq!(taken[0].data, events[0]["data"]);

    let stands = stands(&folder, "out");
    assert_eq!((&stands["phase"], &stands["owner"]), (&Value::from("stopped"), &Value::Null), "{stands}");
    assert_eq!((&stands["position"], stands["lag_events"].as_u64()), (&stands["head"], Some(0)));
    let again = folder.json(&["run", "--until-caught-up"]);
    assert_eq!(report(&again)["processed"], 0, "it goes on behind its checkpoint: {again}");
}

#[test]
fn b_9_a_receiver_that_fails_in_every_way_gets_each_event_in_order_and_none_is_given_up() {
    let mut attempts: HashMap<String, usize> = HashMap::new();
    let mut nr = 0_usize;
    let receiver = Receiver::deciding(move |came| {
        nr += 1;
        let attempt = attempts.entry(came.id.clone()).or_default();
        *attempt += 1;
        // Every fifth request is trouble, each time in another way; a repetition is spared.
        match (nr % 5, *attempt, nr / 5 % 5) {
            (0, 1, 0) => Answer::Refused(500),
            (0, 1, 1) => Answer::Refused(429),
            (0, 1, 2) => Answer::CutOff,
            (0, 1, 3) => Answer::Closed,
            (0, 1, _) => Answer::Refused(408),
            _ => Answer::Taken,
        }
    });
    let (folder, events) =
        flights(400, &format!("[[handler]]\nname = \"out\"\nlanes = 4\n{}", receiver.sink()));
    let done = folder.json(&["run", "--until-caught-up"]);
    let row = report(&done);
    assert_eq!((row["processed"].as_u64(), row["dead_lettered"].as_u64()), (Some(400), Some(0)), "{done}");
    assert!(row["errors"].as_u64() >= Some(60), "there was trouble: {done}");
    receiver.assert_in_order();
    assert_eq!(receiver.taken(), events.len());
    assert!(receiver.came().iter().any(|came| !came.taken), "some attempts were refused");
}

#[test]
fn b_2_a_receiver_that_is_away_is_waited_for_and_no_dead_letter_is_written() {
    let receiver = Receiver::deciding(|_| Answer::Closed);
    let (folder, events) = flights(300, &format!("[[handler]]\nname = \"out\"\n{}", receiver.sink()));
    let mut running = folder.spawn(&["run"]);
    let stalled = running.logs("it stalls", LIMIT, |line| {
        line["group"] == "out" && line["message"].as_str().is_some_and(|said| said.contains("stalled"))
    });
    assert!(stalled["message"].as_str().is_some_and(|said| said.contains("position kept")), "{stalled}");
    assert_eq!(receiver.taken(), 0);
    let stands = stands(&folder, "out");
    assert_eq!((&stands["position"], stands["dead_letters"].as_u64()), (&Value::Null, Some(0)), "{stands}");

    receiver.decide(|_| Answer::Taken);
    poll("all events", LIMIT, || (receiver.taken() == events.len()).then_some(()));
    running.signal("TERM");
    let output = running.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    receiver.assert_in_order();
    let row = super::stands(&folder, "out");
    assert_eq!((&row["position"], row["dead_letters"].as_u64()), (&row["head"], Some(0)), "{row}");
}

#[test]
fn b_12_a_command_gets_each_event_as_a_line_and_acknowledges_it() {
    let script = "#!/bin/sh\nwhile IFS= read -r line; do\n  id=${line#\\{\\\"id\\\":\\\"}; id=${id%%\\\"*}\n  \
                  printf '%s\\n' \"$line\" >> \"$TARGET\"\n  printf '{\"id\":\"%s\",\"ok\":true}\\n' \"$id\"\ndone\n";
    let handler = "[[handler]]\nname = \"index\"\ntypes = [\"FlightL*\"]\n\
                   exec = { command = [\"sh\", \"sink.sh\"], env = { TARGET = \"taken.ndjson\" } }\n";
    let (folder, events) = flights(500, handler);
    folder.write("sink.sh", script);
    let done = folder.json(&["run", "--until-caught-up"]);
    let taken = std::fs::read_to_string(folder.file("taken.ndjson")).expect("the command wrote");
    let landed: Vec<Value> = events.into_iter().filter(|event| event["type"] == "FlightLanded").collect();
    assert!(landed.len() > 100, "the sample has landings");
    let lines: Vec<Value> =
        taken.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(lines, landed, "{done}");
}

#[test]
fn g_events_on_standard_output_are_lines_of_an_export_and_the_report_stands_aside() {
    let (folder, events) = flights(200, "[[handler]]\nname = \"lines\"\nstdout = true\n");
    let output = folder.ok(&["run", "--until-caught-up", "--json"]);
    let exported = folder.ok(&["export"]);
    assert_eq!(output.stdout, exported.stdout, "the same lines, and nothing else");
    assert_eq!(output.text().lines().count(), events.len());
    assert!(output.stderr.contains("\"processed\": 200"), "{}", output.stderr);
}

#[test]
fn g_projections_and_handlers_run_together_and_one_of_both_is_enough() {
    let receiver = Receiver::start();
    let counts = "[[projection]]\nname = \"counts\"\nschema = \"CREATE TABLE counts (n INTEGER)\"\n\
                  apply = \"INSERT INTO counts SELECT count(*) FROM events\"\n";
    let (folder, events) = flights(300, &format!("{counts}[[handler]]\nname = \"out\"\n{}", receiver.sink()));
    let checked = folder.json(&["config", "check"]);
    assert_eq!(checked["handlers"][0], "out", "{checked}");
    let done = folder.json(&["run", "--until-caught-up", "--only", "out"]);
    assert_eq!(done["projections"].as_array().map(Vec::len), Some(0), "{done}");
    assert_eq!(receiver.taken(), events.len());
    let done = folder.json(&["run", "--until-caught-up"]);
    assert_eq!(
        (done["projections"][0]["applied"].as_u64(), report(&done)["processed"].as_u64()),
        (Some(300), Some(0))
    );
    assert_eq!(folder.database().number("SELECT sum(n) FROM counts"), 300);
    folder.exits(3, &["run", "--until-caught-up", "--only", "oud"]);
}

#[test]
fn d_8_checkpoints_in_a_store_of_their_own_are_looked_at_and_changed() {
    let receiver = Receiver::start();
    let (folder, events) = flights(200, "");
    let place = super::HASTY.replace("lease", "url = \"sqlite:checkpoints.db\"\nlease");
    folder.configure(&format!("{place}[[handler]]\nname = \"out\"\n{}", receiver.sink()));
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(receiver.taken(), events.len());
    let inside = folder.database().number("SELECT count(*) FROM highwater_checkpoint");
    assert_eq!((inside, folder.file("checkpoints.db").exists()), (0, true));

    let stands = folder.json(&["checkpoints", "get", "out"]);
    let at = stands["position"].as_str().expect("a position").to_owned();
    let would = folder.json(&["checkpoints", "clear", "ou", "--dry-run"]);
    assert_eq!((would["deleted"].as_u64(), would["dry_run"].as_bool()), (Some(1), Some(true)));
    folder.exits(2, &["checkpoints", "clear", "ou"]);
    let half = position_of(&folder, 100);
    folder.ok(&["checkpoints", "reset", "out", &half, "--expected", &at, "--yes"]);
    let done = folder.json(&["run", "--until-caught-up"]);
    assert_eq!(report(&done)["processed"], 100, "what is behind the new place is handled again: {done}");
    assert_eq!((receiver.taken(), receiver.came().len()), (200, 300));
}

/// Where the `nr`-th event of the log stands.
fn position_of(folder: &Folder, nr: usize) -> String {
    let places = folder
        .database()
        .texts("SELECT position || ':' || \"offset\" FROM highwater_event ORDER BY position, \"offset\"");
    places[nr - 1].clone()
}
