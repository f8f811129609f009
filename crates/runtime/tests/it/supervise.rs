//! Every task's end surfaces: a panic restarts the runner, a stop ends it, the others go on (E-22).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use highwater_core::model::ProjectionName;
use highwater_runtime::projection::{RunEnd, StatusCell};
use highwater_runtime::supervise::{Finished, Supervisor};

use crate::world::World;

fn name(name: &str) -> ProjectionName {
    ProjectionName::new(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_panics_is_started_again_with_a_growing_pause() {
    let world = World::new();
    let mut supervisor = Supervisor::new(world.environment.clone());
    let starts = Arc::new(AtomicU32::new(0));
    let (status, counted) = (StatusCell::new(name("shaky")), starts.clone());
    let watch = world.stopwatch();
    supervisor.start(name("shaky"), status.clone(), move |_stop| {
        let starts = counted.clone();
        async move {
            assert!(starts.fetch_add(1, Ordering::Relaxed) >= 3, "a defect in the loop");
            RunEnd::Stopped
        }
        .boxed()
    });
    let finished = supervisor.finished().await;
    assert_eq!(finished, Some(Finished { part: name("shaky").into(), end: RunEnd::Stopped }));
    assert_eq!(starts.load(Ordering::Relaxed), 4);
    // 0.2 + 0.4 + 0.8 s, each a quarter more or less.
    assert!(watch.elapsed().as_millis() > 1_000, "{:?}", watch.elapsed());
    assert!(status.get().last_error.is_some_and(|error| error.contains("a defect in the loop")));
    assert_eq!(world.diary.count("Stalled"), 3);
    assert_eq!(supervisor.finished().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stop_reaches_every_runner_and_one_can_be_stopped_alone() {
    let world = World::new();
    let mut supervisor = Supervisor::new(world.environment.clone());
    let mut start = |each: &str| {
        supervisor.start(name(each), StatusCell::new(name(each)), |stop| {
            async move {
                stop.cancelled().await;
                RunEnd::Stopped
            }
            .boxed()
        })
    };
    let alone = start("a");
    start("b");
    start("c");
    alone.cancel();
    assert_eq!(supervisor.finished().await.map(|finished| finished.part.name), Some(name("a")));
    supervisor.stop();
    let mut rest = Vec::new();
    while let Some(finished) = supervisor.finished().await {
        rest.push(finished.part.name);
    }
    rest.sort();
    assert_eq!(rest, [name("b"), name("c")]);
}
