//! The config, and the SQL in it.

use std::fs;

use highwater_tests::projections::RECORDER;
use highwater_tests::{Folder, Sample};

use super::{nothing_was_created, runs_to_the_right_result};

#[test]
fn x_12_an_unknown_key_names_the_nearest_one_and_its_line() {
    let folder =
        Folder::with(&RECORDER.replace("name = \"recorder\"", "name = \"recorder\"\ntpyes = [\"push\"]"));
    for args in [vec!["run"], vec!["status"], vec!["config", "check"], vec!["import", "x.ndjson"]] {
        let output = folder.run(&args);
        if args[0] == "import" {
            continue; // the file is not there, either
        }
        assert_eq!(output.code, Some(2), "{args:?}");
        output.says(&["highwater.toml:6", "tpyes", "did you mean `types`"]);
    }
    nothing_was_created(&folder);
    folder.configure(RECORDER);
    runs_to_the_right_result(&folder);
}

#[test]
fn x_12_a_wrong_type_and_a_wrong_value_are_named_with_their_lines_all_at_once() {
    let folder = Folder::with(&format!(
        "[defaults]\nbatch = \"many\"\npoll_interval = 5\nmax_failures = 0\n{RECORDER}"
    ));
    let output = folder.exits(2, &["run", "--until-caught-up"]);
    output.says(&[
        "highwater.toml:4",
        "batch",
        "highwater.toml:5",
        "poll_interval",
        "highwater.toml:6",
        "max_failures",
    ]);
    let json = folder.exits(2, &["run", "--json"]);
    let error: serde_json::Value =
        serde_json::from_str(json.stderr.trim()).expect("an error is JSON with --json");
    assert_eq!(error["error"]["kind"], "config", "{error}");
    nothing_was_created(&folder);
    folder.configure(RECORDER);
    runs_to_the_right_result(&folder);
}

#[test]
fn f_5_an_sql_error_names_projection_file_line_and_column() {
    let wrong =
        RECORDER.replace("SELECT stream, count(*) FROM events", "SELECT stream, cuont(*) FROM events");
    assert_ne!(wrong, RECORDER);
    let folder = Folder::with(&wrong);
    let text = fs::read_to_string(folder.file("highwater.toml")).expect("it was written");
    let (number, column) = text
        .lines()
        .enumerate()
        .find_map(|(number, line)| line.find("cuont").map(|at| (number + 1, at + 1)))
        .expect("the mistake is in the config");
    let place = format!("line {number}, column {column}");
    let places = ["recorder", "highwater.toml", "cuont", place.as_str()];
    folder.exits(2, &["config", "check"]).says(&places);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    let output = folder.run(&["run", "--until-caught-up"]);
    assert!(matches!(output.code, Some(1 | 2)), "{:?}", output.code);
    output.says(&places);
    assert_eq!(folder.database().try_number("SELECT count(*) FROM handled"), None, "nothing is half done");

    // The same in the statement of an event type, and in a file of its own.
    let other = "\n[[projection]]\nname = \"other\"\nschema = \"tables.sql\"\n[projection.on]\n\
                 Ping = \"\"\"\nINSERT INTO good\nVALUES (:data.x, :dta)\"\"\"\n";
    folder.write("tables.sql", "CREATE TABLE good (x);\n");
    folder.configure(other);
    folder.exits(2, &["config", "check"]).says(&["other", "highwater.toml", "dta", "line 10, column 18"]);
    folder.configure(&other.replace(", :dta", ""));
    folder.write("tables.sql", "CREATE TABLE good (x);\n\nCREATE TABEL bad (x);\n");
    folder.exits(2, &["config", "check"]).says(&["other", "tables.sql", "TABEL", "line 3"]);
    folder.write("tables.sql", "CREATE TABLE good (x);\n");
    folder.ok(&["config", "check"]);
    folder.configure(RECORDER);
    runs_to_the_right_result(&folder);
}

#[test]
fn x_12_files_that_are_not_there_are_named() {
    let folder = Folder::empty();
    folder.exits(2, &["status"]).says(&["highwater.toml", "highwater init"]);
    folder.exits(2, &["--config", "nowhere.toml", "run"]).says(&["nowhere.toml"]);
    folder.configure("[[projection]]\nname = \"p\"\napply = \"missing.sql\"\n");
    folder.exits(2, &["run"]).says(&["highwater.toml:5", "apply", "missing.sql"]);
    nothing_was_created(&folder);
    folder.configure(RECORDER);
    folder.exits(1, &["import", "missing.ndjson"]).says(&["missing.ndjson"]);
    nothing_was_created(&folder);
    runs_to_the_right_result(&folder);
}
