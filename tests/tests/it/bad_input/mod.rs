//! bad input gets an error that says what, where and what to do; nothing is lost, and nothing is half
//! done. After each the cause is mended, and the result must be right.

mod arguments;
mod config;
mod database;
#[cfg(unix)]
mod disk;
mod events;

use highwater_tests::{Checked, Folder, Sample};

use crate::support::imported;

/// Imports and runs the webhooks: after whatever was wrong is mended, this is the right result.
pub(super) fn runs_to_the_right_result(folder: &Folder) {
    let webhooks = Sample::Webhooks.here();
    let (appended, there, bad) = imported(&folder.json(&["import", webhooks.arg()]));
    assert_eq!((appended + there, bad), (726, 0));
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    let found = Checked::read(&folder.database());
    assert_eq!(found.ids, webhooks.text("ids_sha256"));
    assert_eq!(found.streams, webhooks.text("stream_counts_sha256"));
}

pub(super) fn nothing_was_created(folder: &Folder) {
    assert!(!folder.file("events.db").exists(), "a config that is refused creates nothing");
}

/// Whether this runs as root, who may write everywhere, and mount.
#[cfg(unix)]
fn is_root() -> bool {
    let output = std::process::Command::new("id").arg("-u").output().expect("id is there");
    output.stdout == b"0\n"
}
