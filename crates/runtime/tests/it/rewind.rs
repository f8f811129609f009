//! A projection that is set back, with its read model as it is (E-7).

use std::sync::Arc;

use highwater_core::model::{FailedState, Filter, LastEvent, Position};
use highwater_core::policy::OnFailure;
use highwater_core::{Error, ErrorKind};
use highwater_runtime::projection::{RewindTo, Rewound, rewind};

use crate::world::World;

async fn rewound(world: &World, to: Option<Position>, dry_run: bool) -> Result<Rewound, Error> {
    let definition = Arc::new(world.definition());
    let to = RewindTo { position: to, dry_run };
    rewind(&world.store, &world.log, &world.store, &definition, &world.environment, to).await
}

/// The position of the n-th event.
fn at(world: &World, n: usize) -> Option<Position> {
    Some(world.log.all()[n].position())
}

#[tokio::test(start_paused = true)]
async fn e_7_a_log_restored_from_a_backup_goes_on_after_a_rewind_to_its_head() {
    let world = World::new();
    world.append(&["Fine"; 5]).await;
    world.run().await;
    world.log.truncate_behind(world.log.all()[2].position());
    let reason = world.start().fault().await;
    for command in [
        "`highwater rewind ledger --to head`",
        "`highwater rebuild ledger`",
        "`highwater run --trust ledger`",
    ] {
        assert!(reason.contains(command), "{command} is not named: {reason}");
    }
    let before = world.state().unwrap();
    let planned = rewound(&world, world.head().await, true).await.unwrap();
    assert_eq!(world.state().unwrap(), before, "a dry run changes nothing");
    let done = rewound(&world, world.head().await, false).await.unwrap();
    assert_eq!(done, planned);
    assert_eq!((done.from, done.to, done.events_again), (before.scanned, at(&world, 2), Some(0)));
    let after = world.state().unwrap();
    assert_eq!((after.scanned, after.generation, after.epoch), (at(&world, 2), 1, before.epoch + 1));
    assert_eq!(after.last, world.log.all().last().map(LastEvent::from), "the log is compared from here on");
    assert_eq!(after.fault, None);
    assert_eq!(world.applied().len(), 5, "the read model keeps what it has");
    world.append(&["Other"; 2]).await;
    let status = world.run().await;
    assert_eq!(status.scanned, world.head().await);
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_is_applied_again_and_its_failures_are_forgotten() {
    let mut world = World::new();
    world.settings.on_failure = OnFailure::RecordAndContinue;
    world.append(&["Permanent", "Fine", "Fine", "Permanent"]).await;
    world.run().await;
    assert_eq!(world.failed().await.len(), 2);
    let done = rewound(&world, at(&world, 1), false).await.unwrap();
    assert_eq!((done.events_again, done.failed_forgotten), (Some(2), 1));
    let kept: Vec<_> = world.failed().await.into_iter().map(|row| Some(row.position)).collect();
    assert_eq!(kept, [at(&world, 0)], "what failed up to there has not changed");
    // The ledger refuses an event that comes twice: so it shows that one did.
    world.run().await;
    let failed: Vec<_> = world.failed().await.into_iter().map(|row| Some(row.position)).collect();
    assert_eq!(failed, [at(&world, 0), at(&world, 2), at(&world, 3)]);
    assert_eq!(world.failed_states().await, [FailedState::Recorded; 3]);
}

#[tokio::test(start_paused = true)]
async fn the_last_event_is_the_last_one_that_the_filter_lets_through() {
    let mut world = World::new();
    world.filter = Filter::types(["Fine"]);
    world.append(&["Fine", "Fine"]).await;
    world.append(&["Other"; 700]).await;
    world.append(&["Fine", "Other"]).await;
    world.run().await;
    for (to, last) in [(701, Some(1)), (702, Some(702)), (703, Some(702)), (1, Some(1)), (0, Some(0))] {
        // Forward again only by running: it is set back from the end each time.
        world.run().await;
        rewound(&world, at(&world, to), false).await.unwrap();
        let expected = last.map(|n: usize| LastEvent::from(&world.log.all()[n]));
        assert_eq!(world.state().unwrap().last, expected, "behind event {to}");
        world.store.put_state(world.state().unwrap().rewound(world.head().await, None));
    }
    let done = rewound(&world, None, false).await.unwrap();
    assert_eq!((done.to, world.state().unwrap().last, done.events_again), (None, None, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn a_rewind_goes_back_only_and_to_what_the_log_has() {
    let world = World::new();
    assert_eq!(rewound(&world, None, false).await.unwrap_err().kind(), ErrorKind::NotFound);
    world.append(&["Fine"; 3]).await;
    world.run().await;
    world.append(&["Fine"; 2]).await;
    let forward = rewound(&world, at(&world, 4), false).await.unwrap_err();
    assert_eq!(forward.kind(), ErrorKind::Invalid);
    assert!(forward.chain().contains("passed over"), "{}", forward.chain());
    world.log.truncate_behind(world.log.all()[1].position());
    let stands = world.state().unwrap().scanned;
    let beyond = rewound(&world, stands, false).await.unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::Invalid);
    assert!(beyond.chain().contains("the log ends at"), "{}", beyond.chain());
}

#[tokio::test(start_paused = true)]
async fn e_12_a_rewind_beside_an_owner_is_busy_and_a_stale_owner_is_fenced() {
    let world = World::new();
    world.append(&["Fine"; 3]).await;
    let process = world.start();
    process.caught_up(&world).await;
    for dry_run in [true, false] {
        let refused = rewound(&world, at(&world, 0), dry_run).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    }
    // An owner whose claim was broken still runs: the epoch keeps it from moving what was rewound, and it begins
    // anew.
    assert!(world.store.break_claim(&World::key().part()));
    rewound(&world, at(&world, 0), false).await.unwrap();
    world.append(&["Fine"]).await;
    process.until(|_| world.diary.count("LostOwnership") == 1).await;
    process.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_projection_stays_paused() {
    use highwater_core::ports::ProjectionControl as _;
    let world = World::new();
    world.append(&["Fine"; 3]).await;
    world.run().await;
    world.store.set_paused(&World::key().name, true).await.unwrap();
    rewound(&world, None, false).await.unwrap();
    assert!(world.state().unwrap().paused);
}
