//! A database that cannot be used, is not the right one, or is used by others.

use std::fs;

use highwater_tests::projections::RECORDER;
use highwater_tests::{Database, Folder, LIMIT, Sample};

use super::runs_to_the_right_result;
use crate::support::{recorded, status};

#[test]
fn x_12_a_database_that_cannot_be_there_is_a_mistake_of_the_config() {
    let folder = Folder::empty();
    folder.write("notes.txt", "a file");
    folder.write("highwater.toml", format!("[log]\nurl = \"sqlite:notes.txt/events.db\"\n{RECORDER}"));
    let webhooks = Sample::Webhooks.here();
    folder.exits(2, &["import", webhooks.arg()]).says(&["notes.txt", "not a folder"]);
    folder.write("highwater.toml", format!("[log]\nurl = \"sqlite:nowhere/events.db\"\n{RECORDER}"));
    folder.exits(2, &["run", "--until-caught-up"]).says(&["nowhere", "does not exist"]);
    folder.write(
        "highwater.toml",
        format!("[log]\nurl = \"kurrentdb://host:2113\"\n[store]\nurl = \"sqlite:events.db\"\n{RECORDER}"),
    );
    folder.exits(2, &["run"]).says(&["kurrentdb"]);
    folder.configure(RECORDER);
    runs_to_the_right_result(&folder);
}

#[cfg(unix)]
#[test]
fn x_12_a_folder_that_cannot_be_written_is_named() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    if super::is_root() {
        println!("skipped: root may write everywhere; the folder that is a file stands for it");
        return;
    }
    let folder = Folder::empty();
    let locked = folder.file("locked");
    fs::create_dir(&locked).expect("a folder can be made");
    fs::set_permissions(&locked, Permissions::from_mode(0o555)).expect("it is ours");
    folder.write("highwater.toml", format!("[log]\nurl = \"sqlite:locked/events.db\"\n{RECORDER}"));
    folder.exits(2, &["import", Sample::Webhooks.here().arg()]).says(&["locked", "writable"]);
    fs::set_permissions(&locked, Permissions::from_mode(0o755)).expect("it is ours");
    folder.configure(RECORDER);
    runs_to_the_right_result(&folder);
}

#[test]
fn x_12_a_file_of_a_newer_version_is_left_as_it_is() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    folder.tamper().run("UPDATE highwater_meta SET value = value + 97 WHERE key = 'schema_version'");
    for args in [vec!["run", "--until-caught-up"], vec!["status"], vec!["export"], vec!["migrate"]] {
        folder.exits(2, &args).says(&["newer", "100", "events.db"]);
    }
    assert_eq!(folder.database().number("SELECT count(*) FROM highwater_event"), 726);
    folder.tamper().run("UPDATE highwater_meta SET value = value - 97 WHERE key = 'schema_version'");
    runs_to_the_right_result(&folder);
}

#[test]
fn x_12_a_file_that_is_no_database_is_left_as_it_is() {
    let folder = Folder::with(RECORDER);
    let text = "this is a text, and not a database at all; long enough to have a header\n".repeat(100);
    folder.write("events.db", &text);
    for args in
        [vec!["import", Sample::Webhooks.here().arg()], vec!["run", "--until-caught-up"], vec!["status"]]
    {
        folder.exits(1, &args).says(&["events.db", "not a SQLite database"]);
    }
    assert_eq!(fs::read_to_string(folder.file("events.db")).expect("it is there"), text);
    fs::remove_file(folder.file("events.db")).expect("it is there");
    runs_to_the_right_result(&folder);
}

#[test]
fn e_7_another_log_under_the_same_checkpoint_is_refused_until_an_operator_decides() {
    let folder = Folder::with(RECORDER);
    runs_to_the_right_result(&folder);
    // As if the log had been restored from an older backup.
    folder.tamper().run("DELETE FROM highwater_event WHERE position > 700");
    folder.exits(1, &["run", "--until-caught-up"]).says(&["recorder", "rebuild"]);
    assert_eq!(recorded(&folder), 726, "the read model is left as it is");
    assert_eq!(status(&folder, "recorder").phase, "faulted");
    folder.ok(&["rebuild", "recorder", "--yes"]);
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(recorded(&folder), 700);
    runs_to_the_right_result(&folder);
    // Another event stands where the last processed one stood.
    let last = "SELECT max(position) FROM highwater_event";
    folder.tamper().run(&format!("UPDATE highwater_event SET id = randomblob(16) WHERE position = ({last})"));
    folder.exits(1, &["run", "--until-caught-up"]).says(&["recorder"]);
    folder.ok(&["run", "--until-caught-up", "--trust", "recorder"]);
    assert_eq!(recorded(&folder), 726);
}

#[test]
fn x_12_a_database_that_others_write_is_waited_for() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    let lock = Database::lock(&folder.file("events.db"));
    let mut append = folder.spawn(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    let mut running = folder.spawn(&["run", "--until-caught-up"]);
    running.logs("it waits", LIMIT, |line| {
        line["message"].as_str().is_some_and(|said| said.contains("will try again"))
    });
    assert!(running.is_running() && append.is_running(), "a lock is no reason to end");
    drop(lock);
    for waited in [append, running] {
        let output = waited.wait(LIMIT);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
    }
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(recorded(&folder), 727);
}

#[test]
fn g_manual_migration_refuses_until_it_is_asked_for() {
    let folder = Folder::empty();
    folder.write(
        "highwater.toml",
        format!("migrate = \"manual\"\n[log]\nurl = \"sqlite:events.db\"\n{RECORDER}"),
    );
    let output = folder.exits(4, &["import", Sample::Webhooks.here().arg()]);
    output.says(&["`highwater migrate`", "events.db"]);
    assert!(!output.stderr.contains("`highwater import`"), "it is what was refused: {}", output.stderr);
    folder.ok(&["migrate"]);
    runs_to_the_right_result(&folder);
}
