//! A disk with no room left: what writes fails or waits, and goes on when there is room again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use highwater_tests::projections::{AIRCRAFT, RECORDER, TRAFFIC, slow};
use highwater_tests::{BY_HUNDREDS, Checked, Database, Folder, LIMIT, Running, Sample, poll};

use super::{is_root, runs_to_the_right_result};
use crate::data::assert_flights;

/// A file system of its own size, gone when this is dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None`, said aloud, where this may not be done.
    fn mount(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir(path).expect("a folder can be made");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path)
            .output();
        match done {
            Ok(output) if output.status.success() => Some(Self(path.to_path_buf())),
            Ok(output) => {
                println!(
                    "skipped: cannot mount a small disk: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                None
            }
            Err(error) => {
                println!("skipped: cannot mount a small disk: {error}");
                None
            }
        }
    }

    /// Takes all that is free.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.0.join("ballast")).expect("a file can be made");
        let mut piece = 1 << 20;
        while piece >= 512 {
            if ballast.write_all(&vec![7_u8; piece]).is_err() {
                piece /= 2;
            }
        }
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("ballast")).expect("it is ours");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        match Command::new("umount").arg(&self.0).status() {
            Ok(status) if status.success() => {}
            other => eprintln!("cannot unmount {}: {other:?}", self.0.display()),
        }
    }
}

/// The flights in a log on a small disk, projections that have some work with them, and a connection that
/// keeps the database open: on a full disk it could not even be opened.
fn on_a_small_disk() -> Option<(Folder, Disk, Database)> {
    if !is_root() {
        println!("skipped: only root may mount a small disk");
        return None;
    }
    let folder = Folder::empty();
    let disk = Disk::mount(&folder.file("disk"), "64m")?;
    let config = format!("{BY_HUNDREDS}retry_cap = \"300ms\"\n{}{TRAFFIC}{AIRCRAFT}", slow(RECORDER, 30_000));
    folder.write("highwater.toml", format!("[log]\nurl = \"sqlite:disk/events.db\"\n{config}"));
    folder.ok(&["import", Sample::Flights.here().arg()]);
    let open = Database::read(&disk.0.join("events.db"));
    assert_eq!(open.number("SELECT count(*) FROM highwater_event"), 12_107);
    Some((folder, disk, open))
}

/// It says that it waits, goes on when there is room, and nothing was lost or counted against an event.
fn waits_for_room(disk: &Disk, mut running: Running, open: &Database) {
    running.logs("it waits for room on the disk", LIMIT, |line| {
        let said = line["message"].as_str().unwrap_or_default();
        (said.contains("will try again") || said.contains("stalled"))
            && (said.contains("full") || said.contains("No space"))
    });
    assert!(running.is_running(), "a full disk is no reason to end: {}", running.stderr());
    disk.empty();
    let output = running.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let flights = Sample::Flights.here();
    assert_eq!(Checked::read(open).ids, flights.text("ids_sha256"));
    assert_flights(open, &flights);
    assert_eq!(open.number("SELECT count(*) FROM highwater_failed_event"), 0);
}

#[test]
fn x_12_a_disk_that_fills_up_is_waited_for_and_nothing_is_lost() {
    let Some((folder, disk, open)) = on_a_small_disk() else { return };
    let running = folder.spawn(&["run", "--until-caught-up"]);
    poll("the first batches", LIMIT, || open.try_number("SELECT max(nr) FROM handled").filter(|&nr| nr > 0));
    disk.fill();
    let large = format!("\"{}\"", "x".repeat(100_000));
    let output = folder.exits(4, &["append", "-s", "big-1", "-t", "Big", "-d", &large]);
    output.says(&["append", "full", "events.db", "room"]);
    assert_eq!(output.stderr.matches("full").count(), 1, "it is said once: {}", output.stderr);
    waits_for_room(&disk, running, &open);
    drop(open);
}

#[test]
fn x_12_a_disk_that_was_full_before_the_first_run_is_waited_for() {
    let Some((folder, disk, open)) = on_a_small_disk() else { return };
    disk.fill();
    let running = folder.spawn(&["run", "--until-caught-up"]);
    waits_for_room(&disk, running, &open);
    drop(open);
}

#[test]
fn x_12_a_database_that_cannot_even_be_opened_on_a_full_disk_is_waited_for() {
    let Some((folder, disk, open)) = on_a_small_disk() else { return };
    // The last connection takes the -wal and -shm files away with it, if it may write.
    drop(open);
    folder.ok(&["status"]);
    assert!(!disk.0.join("events.db-shm").exists());
    disk.fill();
    let mut running = folder.spawn(&["run", "--until-caught-up"]);
    running.logs("it waits for room on the disk", LIMIT, |line| {
        line["message"].as_str().is_some_and(|said| said.contains("will try again") && said.contains("full"))
    });
    assert!(running.is_running(), "a full disk is no reason to end: {}", running.stderr());
    disk.empty();
    let output = running.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let open = Database::read(&disk.0.join("events.db"));
    assert_flights(&open, &Sample::Flights.here());
    drop(open);
}

#[test]
fn x_12_an_import_that_may_write_no_more_fails_and_goes_on_later() {
    let folder = Folder::with(RECORDER);
    let webhooks = Sample::Webhooks.here();
    // The signal is ignored, so that the write itself fails, as on a full disk. 512 bytes a block, or 1,024.
    let command =
        folder.limited("trap '' XFSZ; ulimit -f 1500", &["import", webhooks.arg(), "--batch", "20"]);
    let output = folder.finish(command);
    assert_eq!(output.code, Some(4), "{}\n{}", output.text(), output.stderr);
    output.says(&["webhooks.ndjson.gz"]);
    let in_log = folder.database().number("SELECT count(*) FROM highwater_event");
    assert_eq!(in_log % 20, 0, "a piece of the file is in as a whole, or not at all");
    assert!(in_log < 726, "the limit was never reached");
    runs_to_the_right_result(&folder);
}
