//! Claims are locks on files beside the database (E-11).

use std::fs;

use highwater_core::ErrorKind;
use highwater_core::model::ProjectionPart;
use highwater_core::ports::{Claim, ProjectionControl, ReadModelStore};
use highwater_sqlite::{SqliteLease, SqliteStore};

use crate::kit::{Place, options, part};

fn owned(claim: Claim<SqliteLease>) -> SqliteLease {
    match claim {
        Claim::Owned(lease) => lease,
        Claim::Busy => panic!("nobody has it"),
    }
}

#[tokio::test]
async fn e_11_a_claim_excludes_every_other_until_it_is_dropped() {
    let place = Place::new();
    let store = place.store().await;
    let other =
        SqliteStore::open(place.file(), &options().as_another_process()).await.expect("the store opens");
    let lease = owned(store.claim(&part("p")).await.expect("a claim"));
    for asked in [&store, &other] {
        assert!(matches!(asked.claim(&part("p")).await.expect("a claim"), Claim::Busy));
    }
    let owner = other.owner(&part("p")).await.expect("an answer").expect("somebody has it");
    assert!(owner.name.contains(&std::process::id().to_string()), "{owner:?}");
    drop(owned(other.claim(&part("q")).await.expect("another projection is free")));
    let second = ProjectionPart { partition: 1, ..part("p") };
    let of_second = owned(other.claim(&second).await.expect("another partition is free"));
    assert!(matches!(store.claim(&second).await.expect("a claim"), Claim::Busy));
    assert!(store.owner(&second).await.expect("an answer").is_some());
    drop(of_second);
    drop(lease);
    assert_eq!(other.owner(&part("p")).await.expect("an answer"), None);
    drop(owned(other.claim(&part("p")).await.expect("a claim")));
}

#[tokio::test]
async fn e_11_what_a_dead_owner_left_is_no_claim() {
    let place = Place::new();
    let store = place.store().await;
    let folder = place.folder.path().join("test.db.locks");
    fs::create_dir(&folder).expect("the folder");
    fs::write(folder.join("p.lock"), "process 1 on a host that is gone, and its name is longer than ours")
        .expect("a file");
    assert_eq!(store.owner(&part("p")).await.expect("an answer"), None);
    let lease = owned(store.claim(&part("p")).await.expect("a claim"));
    let owner = store.owner(&part("p")).await.expect("an answer").expect("somebody has it");
    assert!(!owner.name.contains("gone"), "{owner:?}");
    drop(lease);
}

#[cfg(unix)]
#[tokio::test]
async fn e_11_two_paths_to_one_file_meet_at_one_lock() {
    let place = Place::new();
    let store = place.store().await;
    let link = place.folder.path().join("link.db");
    std::os::unix::fs::symlink(place.file(), &link).expect("a link");
    let behind = SqliteStore::open(&link, &options()).await.expect("the store opens");
    assert_eq!(behind.path(), store.path());
    let _lease = owned(store.claim(&part("p")).await.expect("a claim"));
    assert!(matches!(behind.claim(&part("p")).await.expect("a claim"), Claim::Busy));
}

#[cfg(unix)]
#[tokio::test]
async fn x_12_a_lock_that_is_a_link_or_has_no_folder_is_refused() {
    let place = Place::new();
    let store = place.store().await;
    let folder = place.folder.path().join("test.db.locks");
    fs::create_dir(&folder).expect("the folder");
    let victim = place.folder.path().join("victim");
    fs::write(&victim, "precious").expect("a file");
    std::os::unix::fs::symlink(&victim, folder.join("p.lock")).expect("a link");
    let error = store.claim(&part("p")).await.expect_err("it is a link");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.chain().contains("p.lock") && error.chain().contains("symbolic link"), "{}", error.chain());
    assert_eq!(fs::read_to_string(victim).expect("the file"), "precious");

    fs::remove_dir_all(&folder).expect("the folder goes");
    fs::write(&folder, "not a folder").expect("a file in its place");
    let error = store.claim(&part("p")).await.expect_err("there is no folder");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error.chain());
    assert!(error.chain().contains("test.db.locks"), "{}", error.chain());
}
