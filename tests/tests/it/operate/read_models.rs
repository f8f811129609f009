//! Read models: rebuilt, verified, changed in place, or made anew beside the old one.

use highwater_tests::projections::RECORDER;
use highwater_tests::{Folder, Sample};

use super::{book, mend, poisoned};
use crate::support::{failed_events, recorded, status};

#[test]
fn e_24_rebuild_starts_a_new_generation_from_the_beginning() {
    let folder = poisoned("retry-in-order");
    folder.ok(&["run", "--until-caught-up"]);
    folder.exits(2, &["rebuild", "book"]).says(&["--yes"]);
    mend(&folder, "retry-in-order");
    assert_eq!(folder.json(&["rebuild", "book", "--yes"])["generation"], 2);
    assert!(book(&folder).is_empty() && failed_events(&folder, "book").is_empty());
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(book(&folder).len(), 12, "with the changed SQL, which a rebuild takes up");
    assert_eq!(status(&folder, "book").generation, 2);
}

#[test]
fn e_26_verify_finds_what_somebody_changed_by_hand() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    let equal = folder.json(&["verify", "recorder"]);
    assert_eq!((equal["equal"].as_bool(), equal["events"].as_u64()), (Some(true), Some(726)), "{equal}");
    folder
        .tamper()
        .run("UPDATE stream_events SET events = events + 1 WHERE stream = 'case-Codertocat/Hello-World'");
    let output = folder.exits(1, &["verify", "recorder", "--json"]);
    let found = output.json();
    assert_eq!(found["equal"], false);
    assert!(output.text().contains("Hello-World") && output.text().contains("503"), "{found}");
    let before = recorded(&folder);
    assert_eq!(before, 726, "verify computes beside, not in, the read model");
    let output = folder.ok(&["verify", "recorder", "--ignore", "events"]);
    assert!(output.text().contains("equal"));
}

#[test]
fn e_6_changed_sql_at_the_same_version_refuses_until_it_is_accepted_or_rebuilt() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    let changed =
        RECORDER.replace("ORDER BY position, \"offset\";", "ORDER BY position, \"offset\" /* changed */;");
    assert_ne!(changed, RECORDER);
    folder.configure(&changed);
    let output = folder.exits(1, &["run", "--until-caught-up"]);
    output.says(&["recorder", "SQL", "rebuild", "accept"]);
    assert_eq!(recorded(&folder), 726);
    folder.ok(&["run", "--until-caught-up", "--accept", "recorder"]);
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(recorded(&folder), 726);
    let filtered = changed.replace("name = \"recorder\"", "name = \"recorder\"\ntypes = [\"push\"]");
    folder.configure(&filtered);
    folder.exits(1, &["run", "--until-caught-up"]).says(&["recorder", "filter"]);
    folder.ok(&["rebuild", "recorder", "--yes"]);
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(recorded(&folder), 14, "the pushes");
}

#[test]
fn a_new_version_starts_anew_beside_the_old_one() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    let next = RECORDER
        .replace("name = \"recorder\"", "name = \"recorder\"\nversion = 2")
        .replace("handled", "handled_2")
        .replace("stream_events", "stream_events_2");
    folder.configure(&next);
    folder.ok(&["run", "--until-caught-up"]);
    let database = folder.database();
    assert_eq!(database.number("SELECT count(*) FROM handled_2"), 726);
    assert_eq!(database.number("SELECT count(*) FROM handled"), 726);
    // Back to the old one: it goes on where it stood.
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    folder.configure(RECORDER);
    folder.ok(&["run", "--until-caught-up"]);
    let database = folder.database();
    assert_eq!(database.number("SELECT count(*) FROM handled"), 727);
    assert_eq!(database.number("SELECT count(*) FROM handled_2"), 726);
}
