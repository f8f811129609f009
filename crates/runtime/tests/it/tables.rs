//! A table has one projection, also where only a running set-up shows which tables it creates (E-14).

use std::sync::Arc;

use highwater_core::model::{ProjectionKey, ProjectionName, RecordedEvent};
use highwater_core::ports::Projection;
use highwater_core::{ErrorKind, Failure};
use highwater_runtime::projection::{ProjectionDefinition, RunEnd, Runner};
use highwater_testkit::memory::MemoryTx;

use crate::world::{Process, World};

/// Creates tables, and applies nothing.
struct Makes {
    tables: &'static [&'static str],
    /// Fails as a `CREATE TABLE` of a table that is there.
    fails: bool,
}

impl Projection<MemoryTx> for Makes {
    async fn apply(&self, _event: &RecordedEvent, _tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(())
    }

    async fn setup(&self, tx: &mut MemoryTx) -> Result<(), Failure> {
        for table in self.tables {
            tx.create_table(table)?;
        }
        if self.fails { Ok(tx.fail(ErrorKind::Schema)?) } else { Ok(()) }
    }
}

fn makes(tables: &'static [&'static str]) -> Makes {
    Makes { tables, fails: false }
}

fn start(world: &World, name: &str, version: u32, projection: Makes) -> Process {
    let name = ProjectionName::new(name).unwrap();
    let definition =
        ProjectionDefinition { name, version, projection: Arc::new(projection), ..world.definition() };
    let runner = world.runner(world.store.as_process("another"), Arc::new(world.log.clone()));
    Process::start(Runner { definition: Arc::new(definition), ..runner })
}

async fn runs(world: &World, name: &str, version: u32, projection: Makes) {
    let process = start(world, name, version, projection);
    process.phase("live").await;
    process.stop().await;
}

async fn refused(world: &World, name: &str, projection: Makes) -> String {
    match start(world, name, 1, projection).end().await {
        RunEnd::Faulted { reason } => reason,
        RunEnd::Stopped => panic!("it stopped instead"),
    }
}

#[tokio::test(start_paused = true)]
async fn e_14_a_table_that_another_set_up_has_created_refuses_the_start() {
    let world = World::new();
    runs(&world, "first", 1, makes(&["totals", "days"])).await;
    for projection in [makes(&["own", "totals"]), Makes { tables: &["totals"], fails: true }] {
        let reason = refused(&world, "second", projection).await;
        for named in ["first", "second", "totals"] {
            assert!(reason.contains(named), "{named} is not named: {reason}");
        }
    }
    let second = ProjectionKey { name: ProjectionName::new("second").unwrap(), version: 1, partition: 0 };
    assert_eq!(world.store.state(&second), None, "nothing is left of the refused start");
    runs(&world, "third", 1, makes(&["own"])).await;
}

#[tokio::test(start_paused = true)]
async fn e_14_restarts_and_newer_versions_keep_their_tables() {
    let world = World::new();
    runs(&world, "first", 1, makes(&["totals"])).await;
    runs(&world, "first", 1, makes(&["totals"])).await;
    runs(&world, "first", 2, makes(&["totals"])).await;
    let reason = refused(&world, "second", makes(&["totals"])).await;
    assert!(reason.contains("a table has one projection"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_set_up_that_fails_for_another_reason_says_that_reason() {
    let world = World::new();
    let reason = refused(&world, "first", Makes { tables: &["totals"], fails: true }).await;
    assert!(reason.contains("bad statement") && !reason.contains("both create"), "{reason}");
}
