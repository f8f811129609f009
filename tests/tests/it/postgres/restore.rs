//! Backups: what `pg_dump` wrote and `pg_restore` brought back, whole or without the sequence of the positions.

use std::path::PathBuf;
use std::process::Command;

use highwater_tests::postgres::{OwnCluster, Place, Session};
use highwater_tests::projections::PG_RECORDER;
use highwater_tests::{BY_HUNDREDS, Folder, LIMIT, Sample, poll};

use super::kit::{assert_recorder_has_the_log, recorded, terminate};
use crate::support::status;

/// A program of PostgreSQL: beside the servers of the tests, else wherever the system has it.
fn program(name: &str) -> Command {
    let beside = std::env::var_os("HIGHWATER_TEST_POSTGRES_BIN").map(|bin| PathBuf::from(bin).join(name));
    Command::new(beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into()))
}

#[track_caller]
fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A place that was half worked off, dumped while a process ran on, and restored into a database of its own.
struct Restored {
    place: Place,
    url: String,
    folder: Folder,
}

impl Restored {
    /// `options` are those of `pg_dump`.
    fn new(cluster: &OwnCluster, options: impl Fn(&Place) -> Vec<String>) -> Self {
        let place = Place::on(&cluster.url());
        let source = place.folder(&format!("{BY_HUNDREDS}{PG_RECORDER}"));
        let session = place.session();
        source.ok(&["import", Sample::Webhooks.here().arg()]);
        // One number that was given up, and something behind it: what readers have passed is more than what there is.
        session.run(&place.sql(
            r#"BEGIN; SELECT highwater.append('x-1', '{"type": "X"}'); ROLLBACK;
               SELECT highwater.append('x-1', '{"type": "X"}')"#,
        ));
        let running = source.spawn(&["run"]);
        poll("the first batches", LIMIT, || (recorded(&session) > 100).then_some(()));
        let file = source.file("dump");
        let mut dump = program("pg_dump");
        dump.args(["--format=custom", "--dbname", &cluster.url(), "--file"]).arg(&file);
        dump.args(["--schema", place.schema(), "--schema", &place.user_schema()]);
        succeed(dump.args(options(&place)));
        poll("all", LIMIT, || (recorded(&session) == 727).then_some(()));
        terminate(running);
        session.run("CREATE DATABASE restored");
        let url = cluster.url_of("postgres", "restored");
        let mut restore = program("pg_restore");
        succeed(restore.args(["--exit-on-error", "--dbname", &url]).arg(&file));
        let url = format!("{url}?options[search_path]={}", place.user_schema());
        let folder = Folder::with_log(&place.table_at("log", &url), &format!("{BY_HUNDREDS}{PG_RECORDER}"));
        Self { place, url, folder }
    }

    fn session(&self) -> Session {
        Session::open(&self.url)
    }

    /// What comes now is applied, and everything is, once.
    #[track_caller]
    fn assert_goes_on(&self, position: &str) {
        let appended = self.folder.json(&["append", "-s", "late-1", "-t", "Late", "-d", "1"]);
        assert_eq!(appended["position"], position);
        self.folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
        assert_eq!(recorded(&self.session()), 728);
        assert_recorder_has_the_log(&self.place, &self.session());
        let again = self.folder.json(&["import", Sample::Webhooks.here().arg()]);
        assert_eq!((again["appended"].as_i64(), again["already_there"].as_i64()), (Some(0), Some(726)));
    }
}

#[test]
fn e_2_a_dump_that_is_restored_goes_on_where_it_stood() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let restored = Restored::new(&cluster, |_| Vec::new());
    let at = recorded(&restored.session());
    assert!(at > 0, "the read model came along");
    let scanned = restored.place.sql("SELECT scanned::bigint FROM highwater.projection");
    let scanned = restored.session().number(&scanned);
    let up_to =
        restored.place.sql(&format!("SELECT count(*) FROM highwater.event WHERE position <= {scanned}"));
    assert_eq!(restored.session().number(&up_to), at, "log, read model and state are of one moment");
    restored.assert_goes_on("729:0");
    restored.folder.ok(&["verify", "recorder"]);
}

#[test]
fn e_2_a_restore_without_the_sequence_is_told_and_mended_and_no_event_is_lost() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    // The tables alone: the sequence begins anew.
    let restored =
        Restored::new(&cluster, |place| vec![format!("--exclude-table-data={}.position", place.schema())]);
    let drawn = restored.place.sql("SELECT last_value FROM highwater.position");
    assert_eq!(restored.session().number(&drawn), 1);
    let folder = &restored.folder;
    // Whoever only looks is told, and sees what there is.
    let looked = folder.ok(&["status"]);
    looked.says(&["position", "highwater migrate"]);
    assert_eq!(status(folder, "recorder").head.as_deref(), Some("728:0"));
    assert_eq!(restored.session().number(&drawn), 1, "and changes nothing");
    // Nor does a writer in SQL get through, nor one who may not change our tables.
    let append = restored.place.sql(r#"SELECT highwater.append('y-1', '{"type": "Y"}')"#);
    let refused = restored.session().try_run(&append).expect_err("it is refused");
    assert!(refused.to_string().contains("below what readers have passed"), "{refused}");
    let by_hand = folder.write(
        "manual.toml",
        format!("migrate = \"manual\"\n{}{PG_RECORDER}", restored.place.table_at("log", &restored.url)),
    );
    let by_hand = by_hand.to_str().expect("UTF-8");
    for args in [["run", "--until-caught-up"].as_slice(), &["append", "-s", "a", "-t", "T", "-d", "1"]] {
        folder.exits(1, &[&["--config", by_hand], args].concat()).says(&["highwater migrate"]);
    }
    // A person sets it right, or whoever may change our tables does.
    folder.ok(&["--config", by_hand, "migrate"]);
    assert_eq!(restored.session().number(&drawn), 728);
    restored.session().run(&restored.place.sql("SELECT setval('highwater.position', 5)"));
    let run = folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    run.says(&["it was set forward"]);
    assert_eq!(recorded(&restored.session()), 727);
    restored.assert_goes_on("729:0");
}
