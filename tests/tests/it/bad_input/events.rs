//! Files of events that are not as they should be.

use std::fs;
use std::io::Read as _;

use highwater_tests::projections::RECORDER;
use highwater_tests::{Folder, Sample};

use super::runs_to_the_right_result;
use crate::support::{id_of, imported, line, recorded};

#[test]
fn x_12_a_truncated_gzip_says_so_and_what_came_before_is_in() {
    let folder = Folder::with(RECORDER);
    let webhooks = Sample::Webhooks.here();
    let whole = fs::read(&webhooks.path).expect("it is there");
    let cut = folder.write("cut.ndjson.gz", &whole[..whole.len() / 2]);
    let output = folder.exits(1, &["import", cut.to_str().expect("UTF-8"), "--batch", "50"]);
    output.says(&["cut.ndjson.gz", "truncated", "again"]);
    let before = folder.database().number("SELECT count(*) FROM highwater_event");
    assert!(0 < before && before < 726, "{before}");
    let mut garbled = whole.clone();
    garbled[10..20].fill(0xff);
    let garbled = folder.write("garbled.ndjson.gz", garbled);
    folder.exits(1, &["import", garbled.to_str().expect("UTF-8")]).says(&["garbled.ndjson.gz", "damaged"]);
    runs_to_the_right_result(&folder);
}

#[test]
fn x_12_a_bad_line_is_named_by_its_number_and_left_out_only_on_request() {
    let folder = Folder::with(RECORDER);
    let mut text: Vec<String> = (0..250).map(|sequence| line("s-1", sequence, "T", "{}")).collect();
    text[149] = text[149].replacen("{\"id\":\"", "{\"id\":\"not ", 1);
    let file = folder.write("events.ndjson", text.concat());
    let file = file.to_str().expect("UTF-8");
    let output = folder.exits(1, &["import", file, "--batch", "40"]);
    output.says(&["events.ndjson", "line 150", "id", "--skip-bad-lines"]);
    let in_log = || folder.database().number("SELECT count(*) FROM highwater_event");
    assert_eq!(in_log(), 149, "those before it are in");
    // Without the bad one the sequences have a hole, which is a bad line in its turn.
    let output = folder.json(&["import", file, "--batch", "40", "--skip-bad-lines"]);
    let (appended, there, bad) = imported(&output);
    assert_eq!((appended, there, bad), (0, 149, 101));
    assert_eq!(output["files"][0]["bad_lines"][0]["line"], 150);

    let other: Vec<String> =
        text[..150].iter().cloned().chain((0..5).map(|n| line("s-2", n, "T", "{}"))).collect();
    let file = folder.write("other.ndjson", other.concat());
    let output = folder.json(&["import", file.to_str().expect("UTF-8"), "--skip-bad-lines"]);
    assert_eq!(imported(&output), (5, 149, 1));
    assert_eq!(in_log(), 154);

    text[149] = line("s-1", 149, "T", "{}");
    let file = folder.write("events.ndjson", text.concat());
    assert_eq!(imported(&folder.json(&["import", file.to_str().expect("UTF-8")])), (101, 149, 0));
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(recorded(&folder), 255);
}

#[test]
fn x_12_an_id_with_other_content_and_a_wrong_sequence_are_refused_with_their_line() {
    let folder = Folder::with(RECORDER);
    let good: String = (0..20).map(|sequence| line("s-1", sequence, "T", "{}")).collect();
    let file = folder.write("good.ndjson", &good);
    folder.ok(&["import", file.to_str().expect("UTF-8")]);
    let other = line("s-1", 20, "T", "{}") + &line("s-1", 3, "T", "{\"other\":1}");
    let file = folder.write("other.ndjson", other);
    let output = folder.exits(1, &["import", file.to_str().expect("UTF-8")]);
    output.says(&["other.ndjson", "line 2", &id_of("s-1", 3)]);
    let file = folder.write("ahead.ndjson", line("s-1", 30, "T", "{}"));
    let output = folder.exits(1, &["import", file.to_str().expect("UTF-8")]);
    output.says(&["ahead.ndjson", "line 1", "s-1", "30", "20"]);
    assert_eq!(
        folder.database().number("SELECT count(*) FROM highwater_event"),
        20,
        "a piece goes in as a whole"
    );
    let file = folder.write("next.ndjson", line("s-1", 20, "T", "{}"));
    assert_eq!(imported(&folder.json(&["import", file.to_str().expect("UTF-8")])), (1, 0, 0));
}

#[test]
fn x_9_an_export_does_not_overwrite_and_leaves_no_half_of_a_file() {
    let folder = Folder::with(RECORDER);
    let webhooks = Sample::Webhooks.here();
    folder.ok(&["import", webhooks.arg()]);
    folder.write("out.ndjson", "mine");
    folder.exits(1, &["export", "out.ndjson"]).says(&["out.ndjson", "--force"]);
    assert_eq!(fs::read(folder.file("out.ndjson")).expect("it is there"), b"mine");
    folder.ok(&["export", "out.ndjson", "--force"]);
    assert_eq!(fs::read(folder.file("out.ndjson")).expect("it is there"), webhooks.bytes());
    folder.ok(&["export", "out.ndjson.gz"]);
    let mut unzipped = Vec::new();
    let zipped = fs::File::open(folder.file("out.ndjson.gz")).expect("it is there");
    flate2::read::MultiGzDecoder::new(zipped).read_to_end(&mut unzipped).expect("it is gzip");
    assert_eq!(unzipped, webhooks.bytes());
    let names: Vec<_> = fs::read_dir(folder.path())
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!names.iter().any(|name| name.contains("partial")), "{names:?}");
}
