//! Definitions that change, and logs that come back as others: refused until an operator decides (E-6, E-7).

use highwater_tests::Sample;
use highwater_tests::postgres::Place;
use highwater_tests::projections::PG_RECORDER;

use crate::postgres::kit::recorded;
use crate::support::status;

#[test]
fn e_6_changed_sql_at_the_same_version_refuses_until_it_is_accepted_or_rebuilt() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(PG_RECORDER);
    let session = place.session();
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    let changed =
        PG_RECORDER.replace("ORDER BY position, \"offset\";", "ORDER BY position, \"offset\" /* changed */;");
    assert_ne!(changed, PG_RECORDER);
    folder.configure(&changed);
    folder.exits(1, &["run", "--until-caught-up"]).says(&["recorder", "SQL", "rebuild", "accept"]);
    assert_eq!((status(&folder, "recorder").phase.as_str(), recorded(&session)), ("faulted", 726));
    folder.ok(&["run", "--until-caught-up", "--accept", "recorder"]);
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(recorded(&session), 726, "nothing was applied again");
    let filtered = changed.replace("name = \"recorder\"", "name = \"recorder\"\ntypes = [\"push\"]");
    folder.configure(&filtered);
    folder.exits(1, &["run", "--until-caught-up"]).says(&["recorder", "filter"]);
    assert_eq!(folder.json(&["rebuild", "recorder", "--yes"])["generation"], 2);
    assert_eq!(recorded(&session), 0);
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(recorded(&session), 14, "the pushes");
    folder.ok(&["verify", "recorder"]);
}

#[test]
fn e_7_a_log_restored_from_an_older_backup_goes_on_after_a_rewind_or_a_rebuild() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(PG_RECORDER);
    let session = place.session();
    let webhooks = Sample::Webhooks.here();
    folder.ok(&["import", webhooks.arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    let head = status(&folder, "recorder").head.expect("a head");
    let lose = || session.run(&place.sql("DELETE FROM highwater.event WHERE position > 700"));
    lose();
    let output = folder.exits(1, &["run", "--until-caught-up"]);
    for named in ["rewind recorder --to head", "rebuild recorder", "run --trust recorder"] {
        assert!((output.text() + &output.stderr).contains(named), "{named} is not named:\n{}", output.stderr);
    }
    assert_eq!((status(&folder, "recorder").phase.as_str(), recorded(&session)), ("faulted", 726));
    let planned = folder.json(&["rewind", "recorder", "--to", "head", "--dry-run"]);
    assert_eq!((planned["from"].as_str(), planned["to"].as_str()), (Some(head.as_str()), Some("700:0")));
    folder.exits(1, &["run", "--until-caught-up"]);
    let done = folder.json(&["rewind", "recorder", "--to", "head", "--yes"]);
    assert_eq!((done["to"].as_str(), done["dry_run"].as_bool()), (Some("700:0"), Some(false)));
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(
        (status(&folder, "recorder").generation, recorded(&session)),
        (1, 726),
        "it keeps what it has"
    );
    // What the log lost comes again, behind everything that it ever gave out.
    folder.ok(&["import", webhooks.arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(recorded(&session), 726 + 26);

    lose();
    folder.exits(1, &["run", "--until-caught-up"]).says(&["recorder"]);
    assert_eq!(folder.json(&["rebuild", "recorder", "--yes"])["generation"], 2);
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(recorded(&session), 700);
    folder.ok(&["verify", "recorder"]);
}

#[test]
fn e_7_another_event_at_the_checkpoint_halts_until_an_operator_trusts_it() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(PG_RECORDER);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    let session = place.session();
    let other = "UPDATE highwater.event SET id = gen_random_uuid() \
                 WHERE position = (SELECT max(position) FROM highwater.event)";
    session.run(&place.sql(other));
    folder.exits(1, &["run", "--until-caught-up"]).says(&["recorder", "checkpoint"]);
    assert_eq!(status(&folder, "recorder").phase, "faulted");
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    folder.exits(1, &["run", "--until-caught-up"]);
    assert_eq!(recorded(&session), 726, "it applies nothing on a checkpoint that is not of this log");
    folder.ok(&["run", "--until-caught-up", "--trust", "recorder"]);
    assert_eq!(recorded(&session), 727);
}
