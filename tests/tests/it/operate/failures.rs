//! Poison events: parked, held, recorded or halting; then mended and tried again, or given up.

use highwater_tests::projections::RECORDER;
use highwater_tests::{LIMIT, poll};

use super::{BOOK, book, mend, poisoned, terminate};
use crate::support::{dead_letters, failed_events, recorded, status};

#[test]
fn e_15_poison_is_parked_and_the_rest_applied() {
    let folder = poisoned("retry-in-order");
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(book(&folder).len(), 10);
    let failed = failed_events(&folder, "book");
    let at: Vec<_> =
        failed.iter().map(|row| (row.stream.as_str(), row.state.as_str(), row.class.as_str())).collect();
    assert_eq!(at, [("account-b", "parked", "permanent"); 2]);
    assert!(failed.iter().all(|row| row.attempts == 1 && row.message.contains("CHECK")), "{failed:?}");
    assert_eq!(dead_letters(&folder, "book"), failed);
    let stands = status(&folder, "book");
    assert_eq!((stands.failed("parked"), stands.position), (2, stands.head));
    folder.exits(6, &["run", "--until-caught-up", "--fail-on-parked"]);

    let shown = folder.json(&["failed-events", "show", "book", &failed[0].position]);
    assert_eq!(shown["id"], failed[0].id.as_str());
    let letter = folder.json(&["dead-letters", "show", "book", &failed[0].position]);
    assert_eq!(letter["event"]["data"]["amount"], -5);
    assert_eq!(letter["failed"]["state"], "parked");
    let waited = folder.exits(6, &["wait", "book", &failed[0].position, "--json"]);
    assert_eq!(waited.json()["outcome"], "parked");
}

#[test]
fn e_18_a_mended_cause_and_a_retry_apply_what_was_parked() {
    let folder = poisoned("retry-in-order");
    folder.ok(&["run", "--until-caught-up"]);
    let letters = dead_letters(&folder, "book");

    // Not mended yet: it fails again, and says how often.
    assert_eq!(folder.json(&["failed-events", "retry", "book", &letters[0].position])["marked"], 1);
    folder.ok(&["run", "--until-caught-up"]);
    let again = failed_events(&folder, "book");
    assert_eq!(again.len(), 2);
    assert_eq!((again[0].attempts, again[0].state.as_str()), (2, "parked"), "{again:?}");

    mend(&folder, "retry-in-order");
    assert_eq!(folder.json(&["dead-letters", "retry", "book", "--all"])["marked"], 2);
    folder.ok(&["run", "--until-caught-up", "--accept", "book", "--fail-on-parked"]);
    assert!(failed_events(&folder, "book").is_empty());
    let rows = book(&folder);
    assert_eq!(rows.len(), 12);
    let tail: Vec<_> = rows[10..].iter().map(|(event, amount)| (event.as_str(), *amount)).collect();
    assert_eq!(tail, [("account-b/1", 5), ("account-b/2", 5)], "behind what was applied meanwhile, in order");
    let waited = folder.json(&["wait", "book", &letters[0].position]);
    assert_eq!(waited["outcome"], "reached");
}

#[test]
fn e_18_a_retry_is_seen_by_the_process_that_runs() {
    let folder = poisoned("retry-in-order");
    folder.ok(&["run", "--until-caught-up"]);
    mend(&folder, "retry-in-order");
    let running = folder.spawn(&["run", "--accept", "book"]);
    poll("an owner", LIMIT, || status(&folder, "book").owner);
    folder.ok(&["dead-letters", "retry", "book", "--all"]);
    poll("the retries", LIMIT, || (book(&folder).len() == 12).then_some(()));
    assert!(dead_letters(&folder, "book").is_empty());
    terminate(running);
}

#[test]
fn e_15_park_stream_holds_what_follows_and_releases_it_in_order() {
    let folder = poisoned("park-stream");
    folder.ok(&["run", "--until-caught-up"]);
    let failed = failed_events(&folder, "book");
    let states: Vec<_> = failed.iter().map(|row| row.state.as_str()).collect();
    assert_eq!(states, ["parked", "held", "held"], "{failed:?}");
    assert_eq!(book(&folder).len(), 9);

    // A held event that is asked for alone waits behind its stream's first.
    folder.ok(&["dead-letters", "retry", "book", &failed[2].position]);
    folder.ok(&["run", "--until-caught-up"]);
    let states: Vec<_> = failed_events(&folder, "book").into_iter().map(|row| row.state).collect();
    assert_eq!(states, ["parked", "held", "held"]);

    mend(&folder, "park-stream");
    folder.ok(&["dead-letters", "retry", "book", &failed[0].position]);
    folder.ok(&["run", "--until-caught-up", "--accept", "book"]);
    assert!(failed_events(&folder, "book").is_empty());
    let of_b: Vec<_> = book(&folder)
        .into_iter()
        .map(|(event, _)| event)
        .filter(|event| event.starts_with("account-b"))
        .collect();
    assert_eq!(of_b, ["account-b/0", "account-b/1", "account-b/2", "account-b/3"]);
}

#[test]
fn e_15_record_and_continue_keeps_the_row_and_retries_from_the_log() {
    let folder = poisoned("record-and-continue");
    folder.ok(&["run", "--until-caught-up"]);
    let failed = failed_events(&folder, "book");
    assert!(failed.len() == 2 && failed.iter().all(|row| row.state == "recorded"), "{failed:?}");
    assert!(dead_letters(&folder, "book").is_empty(), "no payload is kept");
    folder
        .exits(3, &["dead-letters", "show", "book", &failed[0].position])
        .says(&[failed[0].position.as_str()]);
    mend(&folder, "record-and-continue");
    folder.ok(&["failed-events", "retry", "book", "--all"]);
    folder.ok(&["run", "--until-caught-up", "--accept", "book"]);
    assert_eq!((book(&folder).len(), failed_events(&folder, "book").len()), (12, 0));
}

#[test]
fn e_15_halt_stops_at_the_event_and_goes_on_when_it_is_mended() {
    let folder = poisoned("halt");
    let output = folder.exits(1, &["run", "--until-caught-up"]);
    output.says(&["book", "CHECK"]);
    assert_eq!(book(&folder).len(), 4, "what stands before the poison is applied");
    let stands = status(&folder, "book");
    assert_eq!(stands.phase, "faulted", "{:?}", stands.all);
    assert_ne!(stands.position, stands.head);
    let waited = folder.exits(1, &["wait", "book", "head", "--timeout", "5s", "--json"]).json();
    assert_eq!(waited["outcome"], "faulted");
    mend(&folder, "halt");
    folder.ok(&["run", "--until-caught-up", "--accept", "book"]);
    assert_eq!(book(&folder).len(), 12);
    assert!(failed_events(&folder, "book").is_empty());
}

#[test]
fn e_22_a_faulted_projection_holds_up_no_other() {
    let folder = poisoned("halt");
    folder.configure(&(BOOK.replace("name = \"book\"", "name = \"book\"\non_failure = \"halt\"") + RECORDER));
    let report = folder.exits(1, &["run", "--until-caught-up", "--json"]).json();
    let outcomes: Vec<_> = report["projections"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|run| (run["name"].as_str().unwrap_or_default(), run["outcome"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(outcomes, [("book", "faulted"), ("recorder", "caught-up")]);
    assert_eq!((book(&folder).len(), recorded(&folder)), (4, 12));
}

#[test]
fn dead_letters_are_discarded_only_when_that_is_said() {
    let folder = poisoned("retry-in-order");
    folder.ok(&["run", "--until-caught-up"]);
    let letters = dead_letters(&folder, "book");
    folder.exits(2, &["dead-letters", "discard", "book", "--all"]).says(&["--yes"]);
    let dry = folder.json(&["dead-letters", "discard", "book", "--all", "--dry-run"]);
    assert_eq!((dry["discarded"].as_u64(), dry["dry_run"].as_bool()), (Some(2), Some(true)));
    assert_eq!(dead_letters(&folder, "book"), letters);
    folder.ok(&["dead-letters", "discard", "book", &letters[0].position, "--yes"]);
    assert_eq!(dead_letters(&folder, "book"), letters[1..]);
    folder.exits(3, &["dead-letters", "show", "book", &letters[0].position]);
    folder.ok(&["dead-letters", "discard", "book", "--all", "--yes"]);
    assert!(failed_events(&folder, "book").is_empty());
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(book(&folder).len(), 10, "the events stay in the log and are not applied");
}
