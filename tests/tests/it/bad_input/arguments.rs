//! Names, positions and flags on the command line.

use highwater_tests::projections::RECORDER;
use highwater_tests::{Folder, Sample};

use super::nothing_was_created;
use crate::support::recorded;

#[test]
fn x_12_unknown_names_end_with_three_and_the_nearest_name() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    for args in [
        vec!["run", "--only", "recorde", "--until-caught-up"],
        vec!["run", "--accept", "recorde", "--until-caught-up"],
        vec!["wait", "recorde", "1:0"],
        vec!["pause", "recorde"],
        vec!["resume", "recorde"],
        vec!["rebuild", "recorde", "--yes"],
        vec!["verify", "recorde"],
        vec!["failed-events", "list", "--projection", "recorde"],
        vec!["failed-events", "show", "recorde", "1:0"],
        vec!["dead-letters", "retry", "recorde", "--all"],
        vec!["dead-letters", "discard", "recorde", "--all", "--yes"],
    ] {
        folder.exits(3, &args).says(&["recorde", "did you mean `recorder`"]);
    }
    folder.exits(3, &["failed-events", "show", "recorder", "1:0"]).says(&["recorder", "1:0"]);
    assert_eq!(recorded(&folder), 726);
}

#[test]
fn x_12_what_is_not_a_position_or_a_flag_is_a_usage_error() {
    let folder = Folder::with(RECORDER);
    for position in ["12", "12:", "1.5:0", "012:0", "18446744073709551616:0"] {
        folder.exits(2, &["wait", "recorder", position]).says(&[position]);
    }
    folder.exits(2, &["run", "--until-cought-up"]).says(&["--until-cought-up", "--until-caught-up"]);
    folder.exits(2, &["statuss"]).says(&["statuss", "status"]);
    folder.exits(2, &["wait", "recorder", "1:0", "--timeout", "soon"]).says(&["soon"]);
    let json = folder.exits(2, &["wait", "recorder", "x", "--json"]);
    let error: serde_json::Value =
        serde_json::from_str(json.stderr.trim()).expect("an error is JSON with --json");
    assert_eq!(error["error"]["kind"], "usage");
    folder.exits(2, &["config", "show", "--set", "defaults.batch=many"]).says(&["--set", "defaults.batch"]);
    nothing_was_created(&folder);
}
