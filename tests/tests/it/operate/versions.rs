//! Failed events of an older version stay beside those of the newer one, and out of its way.

use highwater_tests::Folder;

use super::{BOOK, poisoned};
use crate::support::{dead_letters, failed_events};

/// Version 2 of the book, which takes what version 1 refused, but for one event.
fn next_version(folder: &Folder) {
    let next = BOOK
        .replace("name = \"book\"", "name = \"book\"\nversion = 2")
        .replace("TABLE book", "TABLE book_2")
        .replace("INTO book", "INTO book_2")
        .replace("amount > 0", "amount > 0 OR sequence = 2");
    folder.configure(&next);
}

#[test]
fn commands_mean_the_version_of_the_config_unless_another_is_named() {
    let folder = poisoned("retry-in-order");
    folder.ok(&["run", "--until-caught-up"]);
    let old = failed_events(&folder, "book");
    assert_eq!(old.len(), 2);
    next_version(&folder);
    assert!(failed_events(&folder, "book").is_empty(), "version 2 has not failed yet");
    folder.exits(6, &["run", "--until-caught-up", "--fail-on-parked"]);
    let new = failed_events(&folder, "book");
    assert_eq!(new.iter().map(|row| &row.id).collect::<Vec<_>>(), [&old[0].id], "sequence 2 passes now");
    assert_eq!(dead_letters(&folder, "book"), new);
    let listed = |args: &[&str]| {
        let rows = folder.json(&[&["failed-events", "list"], args].concat());
        let rows = rows.as_array().expect("a list").clone();
        rows.iter().map(|row| row["version"].as_u64().expect("a version")).collect::<Vec<_>>()
    };
    assert_eq!(listed(&[]), [2]);
    assert_eq!(listed(&["--projection", "book", "--version", "1"]), [1, 1]);
    assert_eq!(listed(&["--version", "1"]), [1, 1]);
    assert_eq!(listed(&["--all-versions"]), [1, 2, 1], "by position");
    folder
        .exits(3, &["failed-events", "list", "--projection", "book", "--version", "9"])
        .says(&["9", "1, 2"]);
    folder.exits(2, &["failed-events", "list", "--version", "1", "--all-versions"]);

    let at = old[0].position.as_str();
    let shown = |args: &[&str]| folder.json(&[&["dead-letters", "show", "book", at], args].concat());
    assert_eq!(shown(&[])["failed"]["version"], 2);
    assert_eq!(shown(&["--version", "1"])["failed"]["version"], 1);
    folder.exits(3, &["failed-events", "show", "book", &old[1].position]).says(&["v2"]);

    // Only version 2 has somebody who would try again.
    assert_eq!(folder.json(&["dead-letters", "retry", "book", "--all"])["marked"], 1);
    let discarded = folder.json(&["dead-letters", "discard", "book", "--all", "--yes"]);
    assert_eq!(discarded["discarded"], 1);
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(listed(&["--all-versions"]), [1, 1], "an older version's are kept, and fail nothing");
    let discarded = folder.json(&["dead-letters", "discard", "book", "--all", "--version", "1", "--yes"]);
    assert_eq!(discarded["discarded"], 2);
    assert!(listed(&["--all-versions"]).is_empty());
}
