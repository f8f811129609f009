//! A projection is set back, its read model as it is: after a log was restored from an older backup, and to have
//! events applied again.

use highwater_tests::projections::RECORDER;
use highwater_tests::{Folder, LIMIT, Sample};

use super::{book, mend, poisoned, terminate};
use crate::support::{failed_events, recorded, status};

#[test]
fn e_7_a_log_restored_from_an_older_backup_goes_on_after_a_rewind_to_its_head() {
    let folder = Folder::with(RECORDER);
    let webhooks = Sample::Webhooks.here();
    folder.ok(&["import", webhooks.arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    let head = status(&folder, "recorder").head.expect("a head");
    folder.tamper().run("DELETE FROM highwater_event WHERE position > 700");
    let output = folder.exits(1, &["run", "--until-caught-up"]);
    for named in ["rewind recorder --to head", "rebuild recorder", "run --trust recorder"] {
        assert!((output.text() + &output.stderr).contains(named), "{named} is not named:\n{}", output.stderr);
    }
    folder.exits(2, &["rewind", "recorder", "--to", "head"]).says(&["--yes"]);
    let planned = folder.json(&["rewind", "recorder", "--to", "head", "--dry-run"]);
    assert_eq!((planned["from"].as_str(), planned["to"].as_str()), (Some(head.as_str()), Some("700:0")));
    assert_eq!((planned["events_again"].as_u64(), planned["dry_run"].as_bool()), (Some(0), Some(true)));
    assert_eq!(status(&folder, "recorder").position, Some(head), "a dry run changes nothing");
    folder.exits(1, &["run", "--until-caught-up"]);
    let done = folder.json(&["rewind", "recorder", "--to", "head", "--yes"]);
    assert_eq!((done["to"].as_str(), done["dry_run"].as_bool()), (Some("700:0"), Some(false)));
    folder.ok(&["run", "--until-caught-up"]);
    let stands = status(&folder, "recorder");
    assert_eq!((stands.phase.as_str(), stands.generation), ("stopped", 1));
    assert_eq!(recorded(&folder), 726, "the read model keeps what it has");
    // What the log lost comes again: it is applied to a read model that had it.
    folder.ok(&["import", webhooks.arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(recorded(&folder), 726 + 26);
}

#[test]
fn what_comes_behind_is_applied_again_and_its_failed_events_are_met_again() {
    let folder = poisoned("record-and-continue");
    folder.ok(&["run", "--until-caught-up"]);
    let failed = failed_events(&folder, "book");
    mend(&folder, "record-and-continue");
    let to = &failed[0].position;
    let text = folder.ok(&["rewind", "book", "--to", to, "--dry-run"]).text();
    assert!(text.contains("will be applied again") && text.contains("keeps what it has"), "{text}");
    let done = folder.json(&["rewind", "book", "--to", to, "--yes"]);
    let before: i64 = to.split(':').next().and_then(|number| number.parse().ok()).expect("a position");
    let behind = 12 - before;
    assert_eq!((done["events_again"].as_i64(), done["failed_forgotten"].as_u64()), (Some(behind), Some(1)));
    folder.ok(&["run", "--until-caught-up", "--accept", "book"]);
    let rows = i64::try_from(book(&folder).len()).expect("few");
    assert_eq!(rows, 10 + behind, "all behind, the mended one included, on top of what was there");
    let left: Vec<_> = failed_events(&folder, "book").into_iter().map(|row| row.position).collect();
    assert_eq!(left, *std::slice::from_ref(to), "what failed up to there is as it was");
    folder.json(&["rewind", "book", "--to", "start", "--yes"]);
    assert_eq!(status(&folder, "book").position, None);
}

#[test]
fn a_rewind_is_refused_beside_an_owner_forward_and_for_unknown_names() {
    let folder = Folder::with(RECORDER);
    folder.exits(3, &["rewind", "nobody", "--to", "1:0", "--yes"]).says(&["nobody"]);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    folder.exits(3, &["rewind", "recorder", "--to", "1:0", "--yes"]).says(&["never ran"]);
    let mut running = folder.spawn(&["run"]);
    running.logs("it is caught up", LIMIT, |line| line["message"] == "caught up");
    for args in
        [["rewind", "recorder", "--to", "1:0", "--yes"], ["rewind", "recorder", "--to", "1:0", "--dry-run"]]
    {
        folder.exits(5, &args).says(&["recorder", "stop"]);
    }
    terminate(running);
    let stands = status(&folder, "recorder");
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    folder.exits(2, &["rewind", "recorder", "--to", "head", "--yes"]).says(&["further on", "passed over"]);
    folder.exits(2, &["rewind", "recorder", "--to", "one", "--yes"]).says(&["one"]);
    assert_eq!(status(&folder, "recorder").position, stands.position);
    folder
        .exits(3, &["checkpoints", "reset", "recorder", "1:0", "--expected", "2:0", "--yes"])
        .says(&["rewind"]);
}
