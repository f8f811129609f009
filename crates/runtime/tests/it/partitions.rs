//! A projection in partitions: nothing lost, nothing twice, order within a stream (E-11, E-13, E-24).

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_core::model::{
    Partition, Position, ProjectionKey, ProjectionPart, ProjectionState, RecordedEvent,
};
use highwater_core::ports::{
    ApplySlice, Claim, DynProjection, EventLog, Projection, ProjectionControl, ReadModelStore,
};
use highwater_core::{ErrorKind, Failure};
use highwater_runtime::projection::{
    ProjectionDefinition, RunEnd, Runner, Spreading, StatusCell, rebuild, run,
};
use highwater_testkit::faults::{FaultPlan, Faulty};
use highwater_testkit::memory::MemoryTx;
use proptest::prelude::*;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// One process with a runner for each partition. Dropped, it is killed.
pub(crate) struct Instance {
    pub(crate) cells: Vec<StatusCell>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<RunEnd>>,
}

impl Instance {
    pub(crate) fn start(world: &World, process: &str) -> Self {
        Self::over(world, world.store.as_process(process), Arc::new(world.log.clone()), world.definition())
    }

    pub(crate) fn over<S: ReadModelStore<Tx = MemoryTx> + Clone>(
        world: &World,
        store: S,
        log: Arc<dyn EventLog>,
        definition: ProjectionDefinition<MemoryTx>,
    ) -> Self {
        let partitions = definition.partitions();
        let environment = world.environment.clone();
        let spreading = (partitions > 1)
            .then(|| Spreading::new(store.clone(), definition.name.clone(), partitions, environment.clone()));
        let stop = CancellationToken::new();
        let cell = |n| StatusCell::new(ProjectionPart::new(definition.name.clone(), n));
        let cells: Vec<_> = (0..partitions).map(cell).collect();
        let tasks = (0..partitions).zip(&cells).map(|(n, status)| {
            let runner = Runner {
                store: store.clone(),
                log: log.clone(),
                definition: Arc::new(definition.part(n)),
                environment: environment.clone(),
                options: world.options,
                status: status.clone(),
                spreading: spreading.clone(),
            };
            tokio::spawn(run(runner, stop.clone()))
        });
        let tasks = tasks.collect();
        Self { cells, stop, tasks }
    }

    /// Which partitions it owns.
    pub(crate) fn owned(&self) -> Vec<u32> {
        let owned = self.cells.iter().map(StatusCell::get).filter(|status| {
            !matches!(status.phase.as_str(), "starting" | "standing-by" | "stopped" | "faulted")
        });
        owned.map(|status| status.partition).collect()
    }

    pub(crate) async fn stop(self) -> Vec<RunEnd> {
        self.stop.cancel();
        self.end().await
    }

    pub(crate) async fn end(mut self) -> Vec<RunEnd> {
        let mut ends = Vec::new();
        for task in self.tasks.drain(..) {
            ends.push(task.await.unwrap());
        }
        ends
    }

    pub(crate) async fn kill(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            drop(task.await);
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub(crate) fn key(partition: u32) -> ProjectionKey {
    ProjectionKey { partition, ..World::key() }
}

/// The committed states, by partition.
pub(crate) async fn states(world: &World) -> Vec<ProjectionState> {
    world.store.states().await.unwrap()
}

/// Waits until every partition has settled the log.
pub(crate) async fn settled(world: &World) {
    let head = world.head().await;
    let done = async {
        loop {
            let states = states(world).await;
            let all = u32::try_from(states.len()).unwrap() == world.settings.partitions;
            if all && states.iter().all(|state| state.scanned >= head) {
                return;
            }
            world.store.changed().await.unwrap();
        }
    };
    let hours = std::time::Duration::from_secs(24 * 3600);
    tokio::time::timeout(hours, done).await.expect("it settles");
}

/// Writes down the order in which the events of each stream come.
struct Order;

impl Projection<MemoryTx> for Order {
    async fn apply(&self, event: &RecordedEvent, tx: &mut MemoryTx) -> Result<(), Failure> {
        tx.insert("once", &event.position().to_string(), event.stream())?;
        let before = tx.get("order", event.stream())?.unwrap_or_default();
        let after = [before, format!("{} ", event.sequence()).into_bytes()].concat();
        tx.put("order", event.stream(), after)?;
        Ok(())
    }
}

fn order(world: &World) -> ProjectionDefinition<MemoryTx> {
    ProjectionDefinition { projection: Arc::new(Order), ..world.definition() }
}

/// Applies everything, dies at a point, goes on; what the read model then holds.
async fn dying_once(
    partitions: u32,
    streams: &[u8],
    crash: Option<usize>,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let mut world = World::new();
    world.settings.partitions = partitions;
    (world.settings.min_batch, world.settings.batch, world.settings.max_batch) = (2, 3, 5);
    for stream in streams {
        world.append_in(&format!("s-{stream}"), &["Fine"]).await;
    }
    if let Some(point) = crash {
        let plan = FaultPlan::crash_at(point);
        let (store, log) = (Faulty::new(world.store.clone(), &plan), Faulty::new(world.log.clone(), &plan));
        let instance = Instance::over(&world, store, Arc::new(log), order(&world));
        tokio::select! {
            () = plan.wait_crashed() => {}
            () = settled(&world) => {}
        }
        instance.kill().await;
    }
    let log = Arc::new(world.log.clone());
    let instance = Instance::over(&world, world.store.clone(), log, order(&world));
    settled(&world).await;
    for end in instance.stop().await {
        assert_eq!(end, RunEnd::Stopped);
    }
    assert_eq!(world.failed().await, [], "`insert` refuses what is applied twice");
    (world.store.texts("once"), world.store.texts("order"))
}

fn paused<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn e_10_the_partitions_together_are_the_whole_wherever_a_process_dies(
        partitions in 2..6_u32,
        streams in proptest::collection::vec(0..9_u8, 0..40),
        crash in 0..400_usize,
    ) {
        let whole = paused(dying_once(1, &streams, None));
        prop_assert_eq!(whole.0.len(), streams.len());
        let parts = paused(dying_once(partitions, &streams, Some(crash)));
        prop_assert_eq!(parts, whole);
    }
}

#[tokio::test(start_paused = true)]
async fn each_partition_has_a_state_of_its_own_and_all_begin_together() {
    let mut world = World::new();
    world.settings.partitions = 4;
    world.settings.start_from = highwater_core::settings::StartFrom::End;
    world.append(&["Fine"; 7]).await;
    let begin = world.head().await;
    let instance = Instance::start(&world, "first");
    settled(&world).await;
    world.append(&["Fine"; 40]).await;
    settled(&world).await;
    instance.stop().await;
    let states = states(&world).await;
    assert_eq!(states.iter().map(|state| state.key.clone()).collect::<Vec<_>>(), [0, 1, 2, 3].map(key));
    assert!(states.iter().all(|state| state.epoch == 1 && state.stopped_cleanly));
    assert_eq!(world.applied(), world.positions(|event| Some(event.position()) > begin));
    for state in states {
        let last = state.last.expect("of 40 streams each partition has some");
        let partition = Partition { index: state.key.partition, of: 4 };
        assert!(partition.contains(&last.stream), "{partition:?} {}", last.stream);
    }
}

/// Sets up in a way that a second time would not bear.
struct Once;

impl Projection<MemoryTx> for Once {
    async fn apply(&self, _event: &RecordedEvent, tx: &mut MemoryTx) -> Result<(), Failure> {
        tx.get("setup", "done")?.map(|_| ()).ok_or_else(|| Failure::new("nobody set it up"))
    }

    async fn setup(&self, tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(tx.insert("setup", "done", "")?)
    }
}

#[tokio::test(start_paused = true)]
async fn the_read_model_is_set_up_once_by_whichever_instance_has_the_first_partition() {
    let mut world = World::new();
    world.settings.partitions = 5;
    world.append(&["Fine"; 30]).await;
    // Somebody holds the first partition: nobody may begin.
    let Claim::Owned(lease) = world.store.claim(&key(0).part()).await.unwrap() else { panic!("it is free") };
    let definition = || ProjectionDefinition { projection: Arc::new(Once), ..world.definition() };
    let start = |process: &str| {
        Instance::over(&world, world.store.as_process(process), Arc::new(world.log.clone()), definition())
    };
    let (first, second) = (start("first"), start("second"));
    world.pass(std::time::Duration::from_secs(60)).await;
    assert!(states(&world).await.is_empty());
    drop(lease);
    settled(&world).await;
    for instance in [first, second] {
        assert!(instance.stop().await.iter().all(|end| *end == RunEnd::Stopped));
    }
    assert_eq!(world.failed().await, []);
}

async fn faults(world: &World) -> Vec<String> {
    let ends = Instance::start(world, "refused").end().await;
    let reason = |end| match end {
        RunEnd::Faulted { reason } => reason,
        RunEnd::Stopped => panic!("it stopped instead"),
    };
    ends.into_iter().map(reason).collect()
}

#[tokio::test(start_paused = true)]
async fn e_6_another_number_of_partitions_is_refused_until_a_rebuild() {
    for (before, after) in [(1, 3), (3, 1), (2, 4), (4, 2)] {
        let mut world = World::new();
        world.settings.partitions = before;
        world.append(&["Fine"; 20]).await;
        let instance = Instance::start(&world, "first");
        settled(&world).await;
        instance.stop().await;
        let was = states(&world).await;

        world.settings.partitions = after;
        for accept in [false, true] {
            world.options.accept_changes = accept;
            for reason in faults(&world).await {
                let hint = format!("set `partitions` back to {before}");
                assert!(reason.contains("number of partitions") && reason.contains(&hint), "{reason}");
            }
        }
        let untouched = |state: &ProjectionState| (state.key.clone(), state.scanned, state.generation);
        assert_eq!(
            states(&world).await.iter().map(untouched).collect::<Vec<_>>(),
            was.iter().map(untouched).collect::<Vec<_>>()
        );

        let definition = Arc::new(world.definition());
        let state = rebuild(&world.store, &world.log, &definition, &world.environment).await.unwrap();
        assert_eq!((state.key, state.generation), (key(0), 2));
        assert!(world.applied().is_empty());
        assert_eq!(states(&world).await.len(), usize::try_from(after).unwrap());
        let instance = Instance::start(&world, "second");
        settled(&world).await;
        instance.stop().await;
        world.assert_exactly(|_| true);
        assert!(states(&world).await.iter().all(|state| state.generation == 2));
    }
}

#[tokio::test(start_paused = true)]
async fn e_24_a_rebuild_takes_all_partitions_or_none() {
    let mut world = World::new();
    world.settings.partitions = 3;
    world.append(&["Fine", "Permanent"].repeat(15)).await;
    let instance = Instance::start(&world, "first");
    settled(&world).await;
    instance.stop().await;
    let (before, rows, failed) = (states(&world).await, world.applied(), world.failed().await);
    assert_eq!(failed.len(), 15);

    let definition = Arc::new(world.definition());
    let Claim::Owned(lease) = world.store.claim(&key(2).part()).await.unwrap() else { panic!("it is free") };
    let busy = rebuild(&world.store, &world.log, &definition, &world.environment).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    drop(lease);

    for point in 0.. {
        let plan = FaultPlan::crash_at(point);
        let store = Faulty::new(world.store.clone(), &plan);
        let crashed = rebuild(&store, &world.log, &definition, &world.environment);
        let crashed = tokio::select! {
            () = plan.wait_crashed() => None,
            done = crashed => done.ok(),
        };
        let now = states(&world).await;
        if now == before {
            assert!(crashed.is_none(), "point {point}");
            assert_eq!(
                (world.applied(), world.failed().await),
                (rows.clone(), failed.clone()),
                "point {point}"
            );
            continue;
        }
        assert_eq!(now.len(), 3, "point {point}");
        assert!(now.iter().all(|state| (state.generation, state.scanned) == (2, None)), "point {point}");
        assert!(world.applied().is_empty() && world.failed().await.is_empty(), "point {point}");
        break;
    }
    let instance = Instance::start(&world, "second");
    settled(&world).await;
    instance.stop().await;
    world.assert_exactly(|event| event.event_type() == "Fine");
    assert_eq!(world.failed().await.len(), 15);
}

#[tokio::test(start_paused = true)]
async fn e_22_a_partition_that_waits_does_not_delay_the_others() {
    let mut world = World::new();
    world.settings.partitions = 4;
    world.append(&["Fine"; 20]).await;
    world.append_in("stuck", &["Transient"]).await;
    world.append(&["Fine"; 20]).await;
    let instance = Instance::start(&world, "first");
    let stuck = (0..4).find(|&index| Partition { index, of: 4 }.contains("stuck")).unwrap();
    let head = world.head().await;
    for cell in &instance.cells {
        if cell.get().partition != stuck {
            cell.subscribe().wait_for(|status| status.scanned >= head).await.unwrap();
        }
    }
    instance.cells[usize::try_from(stuck).unwrap()]
        .subscribe()
        .wait_for(|status| status.phase.as_str() == "stalled")
        .await
        .unwrap();
    let behind = world.store.state(&key(stuck)).unwrap();
    assert!(behind.scanned < head, "its position is kept");
    instance.stop().await;
}

/// Says which kind of slices it was given.
struct Ranged(Option<Partition>);

#[async_trait::async_trait]
impl DynProjection<MemoryTx> for Ranged {
    async fn apply_slice(&self, slice: ApplySlice<'_>, tx: &mut MemoryTx) -> Result<(), Failure> {
        let (kind, count) = match slice {
            ApplySlice::Events { events, contiguous } if events.len() > 1 => {
                (if contiguous { "contiguous" } else { "events" }, i64::try_from(events.len()).unwrap())
            }
            ApplySlice::Events { events, .. } => ("alone", i64::try_from(events.len()).unwrap()),
            ApplySlice::Range { count, .. } => ("range", i64::try_from(count).unwrap()),
        };
        let knows = if self.0.is_some() { "knowing" } else { "ignorant" };
        tx.increment(knows, kind, count)?;
        Ok(())
    }

    async fn setup(&self, _tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(())
    }

    async fn check(&self, _tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(())
    }

    async fn clear(&self, _tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(())
    }

    fn takes_ranges(&self) -> bool {
        true
    }

    fn creates(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Learns of its partition.
struct Learns;

#[async_trait::async_trait]
impl DynProjection<MemoryTx> for Learns {
    async fn apply_slice(&self, slice: ApplySlice<'_>, tx: &mut MemoryTx) -> Result<(), Failure> {
        Ranged(None).apply_slice(slice, tx).await
    }

    async fn setup(&self, _tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(())
    }

    async fn check(&self, _tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(())
    }

    async fn clear(&self, _tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(())
    }

    fn takes_ranges(&self) -> bool {
        true
    }

    fn for_partition(&self, partition: Partition) -> Option<Arc<dyn DynProjection<MemoryTx>>> {
        Some(Arc::new(Knows(partition)))
    }

    fn creates(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Was made for a partition.
struct Knows(Partition);

#[async_trait::async_trait]
impl DynProjection<MemoryTx> for Knows {
    async fn apply_slice(&self, slice: ApplySlice<'_>, tx: &mut MemoryTx) -> Result<(), Failure> {
        Ranged(Some(self.0)).apply_slice(slice, tx).await
    }

    async fn setup(&self, _tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(())
    }

    async fn check(&self, _tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(())
    }

    async fn clear(&self, _tx: &mut MemoryTx) -> Result<(), Failure> {
        Ok(())
    }

    fn takes_ranges(&self) -> bool {
        true
    }

    fn partition(&self) -> Option<Partition> {
        Some(self.0)
    }

    fn creates(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_projection_that_knows_its_partition_reads_the_log_by_itself() {
    for (projection, expected) in [
        (Arc::new(Ranged(None)) as Arc<dyn DynProjection<MemoryTx>>, ("ignorant", "range")),
        (Arc::new(Learns), ("knowing", "range")),
    ] {
        for partitions in [1, 3] {
            let mut world = World::new();
            world.settings.partitions = partitions;
            world.append(&["Fine"; 30]).await;
            let definition = ProjectionDefinition { projection: projection.clone(), ..world.definition() };
            let log = Arc::new(world.log.clone());
            let instance = Instance::over(&world, world.store.clone(), log, definition);
            settled(&world).await;
            instance.stop().await;
            let (knows, kinds) = if partitions == 1 { ("ignorant", "range") } else { expected };
            let kinds = if knows == "ignorant" && partitions > 1 { "events" } else { kinds };
            let found = world.store.texts(knows);
            let sum: u64 = found.values().map(|count| count.parse::<u64>().unwrap()).sum();
            assert_eq!(sum, 30, "{found:?}");
            assert!(found.contains_key(kinds) && !found.contains_key("contiguous"), "{found:?}");
            assert_eq!(found.contains_key("range"), kinds == "range", "{found:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_finds_its_siblings_just_created_is_not_faulted() {
    let mut world = World::new();
    world.settings.partitions = 2;
    world.append(&["Fine"; 10]).await;
    let Claim::Owned(lease) = world.store.claim(&key(0).part()).await.unwrap() else { panic!("it is free") };
    // The second one has looked for its own state, and looks for the others' when all have come about.
    let plan = FaultPlan::new();
    plan.hang("unit.states:before");
    let store = Faulty::new(world.store.as_process("late"), &plan);
    let instance = Instance::over(&world, store, Arc::new(world.log.clone()), world.definition());
    plan.wait_hanging(1).await;
    assert!(states(&world).await.is_empty());
    drop(lease);
    while states(&world).await.len() < 2 {
        world.store.changed().await.unwrap();
    }
    plan.let_go();
    settled(&world).await;
    for end in instance.stop().await {
        assert_eq!(end, RunEnd::Stopped);
    }
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_all_partitions() {
    let mut world = World::new();
    world.settings.partitions = 3;
    world.append(&["Fine"; 10]).await;
    let instance = Instance::start(&world, "first");
    settled(&world).await;
    assert!(world.store.set_paused(&World::key().name, true).await.unwrap());
    world.append(&["Fine"; 10]).await;
    for cell in &instance.cells {
        cell.subscribe().wait_for(|status| status.phase.as_str() == "paused").await.unwrap();
    }
    assert_eq!(world.applied().len(), 10);
    assert!(world.store.set_paused(&World::key().name, false).await.unwrap());
    settled(&world).await;
    instance.stop().await;
    world.assert_exactly(|_| true);
    assert!(world.head().await > Some(Position::MIN));
}
