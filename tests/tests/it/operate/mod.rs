//! What an operator does: looks, waits, pauses, mends, retries, gives up, rebuilds, verifies.

mod commands;
mod failures;
pub(crate) mod http;
mod output;
mod read_models;
mod rewind;
mod running;
mod versions;

use highwater_tests::{Folder, LIMIT, Running};

use crate::support::line;

/// An account book that refuses what is not a number: two of ten events are poison.
pub(super) const BOOK: &str = r#"
[[projection]]
name = "book"
schema = """
CREATE TABLE book (
    stream TEXT NOT NULL, sequence INTEGER NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0)
)
"""
[projection.on]
Paid = "INSERT INTO book VALUES (:stream, :sequence, :data.amount)"
"#;

/// The poison: the second and third event of account-b, out of three streams of four events each.
pub(super) fn poisoned(policy: &str) -> Folder {
    let folder = Folder::with(&book_config(policy));
    import_poison(&folder);
    folder
}

/// The book with this policy.
pub(crate) fn book_config(policy: &str) -> String {
    BOOK.replace("name = \"book\"", &format!("name = \"book\"\non_failure = \"{policy}\""))
}

/// Imports the events, see [`poisoned`].
pub(crate) fn import_poison(folder: &Folder) {
    let mut lines = String::new();
    for sequence in 0..4 {
        for stream in ["account-a", "account-b", "account-c"] {
            let bad = stream == "account-b" && (sequence == 1 || sequence == 2);
            let amount = if bad { "-5" } else { "7" };
            lines.push_str(&line(stream, sequence, "Paid", &format!("{{\"amount\":{amount}}}")));
        }
    }
    let file = folder.write("events.ndjson", lines);
    folder.ok(&["import", file.to_str().expect("UTF-8")]);
}

/// The same book with a mended statement.
pub(crate) fn mend(folder: &Folder, policy: &str) {
    folder.configure(&book_config(policy).replace(":data.amount)", "abs(:data.amount))"));
}

pub(super) fn book(folder: &Folder) -> Vec<(String, i64)> {
    let sql = "SELECT stream || '/' || sequence, amount FROM book ORDER BY rowid";
    folder.database().rows(sql, |row| Ok((row.get(0)?, row.get(1)?)))
}

pub(super) fn terminate(running: Running) {
    running.signal("TERM");
    let output = running.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}
