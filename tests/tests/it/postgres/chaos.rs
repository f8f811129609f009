//! Everything at once, on a server of the test's own: writers that dawdle and give up, instances that die,
//! sessions that are ended, processes of the server that are killed. In the end the read models are the log.
//!
//! The chaos keeps pace with the writers: they may write on only when the next blow has fallen, so that all of it
//! falls while events are written, whatever the machine. `HIGHWATER_CHAOS_EVENTS` is the number of events, 100,000
//! unless it is set.

use std::collections::HashSet;
use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater::core::ports::Clock as _;
use highwater_postgres::PgConnection;
use highwater_postgres::sqlx::{self, AssertSqlSafe, Connection as _, Executor as _};
use highwater_tests::postgres::{OwnCluster, Place, Session};
use highwater_tests::projections::PG_RECORDER;
use highwater_tests::{CLOCK, Folder, LIMIT, Random, Running, Tables as _, pause, poll};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::kit::{assert_recorder_has_the_log, terminate};

const EVENTS: &str = "HIGHWATER_CHAOS_EVENTS";
const WRITERS: u64 = 16;
const INSTANCES: usize = 3;
const INSTANCE_KILLS: usize = 50;
const TERMINATIONS: usize = 40;
const SERVER_KILLS: usize = 10;
/// Shares of the events that may be written before the first blow has fallen, and after the last.
const MARGIN: u64 = 2;

/// Writes down each event as it comes, one by one, in partitions; the key says that none comes twice.
const DIARY: &str = r#"
[[projection]]
name = "diary"
partitions = 3
schema = """
CREATE TABLE diary (
    nr bigserial PRIMARY KEY, id text NOT NULL UNIQUE, stream text NOT NULL, sequence bigint NOT NULL,
    writer int NOT NULL
)
"""
[projection.on]
Written = "INSERT INTO diary (id, stream, sequence, writer) VALUES (:id, :stream, :sequence, :data.writer)"
"#;

const SETTINGS: &str = r#"
[defaults]
batch = 200
poll_interval = "200ms"
retry_cap = "500ms"
"#;

/// What befalls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// kill -9 of an instance, which is started again.
    Instance,
    /// `pg_terminate_backend` of anybody's session.
    Session,
    /// kill -9 of a process of the server: all sessions end, and it recovers.
    Server,
}

/// The blows in an order drawn by lot.
fn blows(random: &mut Random) -> Vec<Blow> {
    let mut blows = [
        vec![Blow::Instance; INSTANCE_KILLS],
        vec![Blow::Session; TERMINATIONS],
        vec![Blow::Server; SERVER_KILLS],
    ]
    .concat();
    for last in (1..blows.len()).rev() {
        blows.swap(last, usize::try_from(random.below(last as u64 + 1)).expect("small"));
    }
    blows
}

/// What became of the events, as far as the server has told. An answer that was lost tells nothing.
#[derive(Default)]
struct Ids {
    committed: HashSet<String>,
    /// With their transactions, or to a savepoint.
    rolled_back: HashSet<String>,
}

/// What the writers have in common.
struct Desk {
    url: String,
    /// The append function's call, in this place's schema.
    append: String,
    /// How many events are in the log for certain.
    written: AtomicU64,
    lost: AtomicU64,
    ids: Mutex<Ids>,
    allowed: watch::Receiver<u64>,
    total: u64,
}

impl Desk {
    /// Writes until there is enough.
    async fn write(self: Arc<Self>, writer: u64) {
        let mut random = Random::new(0x5EED_0100 + writer);
        let mut allowed = self.allowed.clone();
        while self.written.load(Ordering::SeqCst) < self.total {
            let may = allowed.wait_for(|allowed| self.written.load(Ordering::SeqCst) < *allowed).await;
            may.expect("the test lives");
            // The server may be away, or throw us out: then again from the start.
            if self.session(writer, &mut random).await.is_err() {
                self.lost.fetch_add(1, Ordering::SeqCst);
                CLOCK.sleep(Duration::from_millis(20 + random.below(80))).await;
            }
        }
    }

    /// A connection's transactions, one after the other.
    async fn session(&self, writer: u64, random: &mut Random) -> sqlx::Result<()> {
        let mut connection = PgConnection::connect(&self.url).await?;
        loop {
            let written = self.written.load(Ordering::SeqCst);
            if written >= self.total || written >= *self.allowed.borrow() {
                return connection.close().await;
            }
            match self.transaction(&mut connection, writer, random).await {
                Ok(ids) => {
                    self.written.fetch_add(ids.committed.len() as u64, Ordering::SeqCst);
                    let mut all = self.ids.lock().expect("no writer panics");
                    all.committed.extend(ids.committed);
                    all.rolled_back.extend(ids.rolled_back);
                }
                // Another writer was at the stream first.
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("23505") => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A transaction of some appends.
    async fn transaction(
        &self,
        connection: &mut PgConnection,
        writer: u64,
        random: &mut Random,
    ) -> sqlx::Result<Ids> {
        let mut tx = connection.begin().await?;
        let mut ids = Ids::default();
        for _ in 0..=random.below(3) {
            // Some streams are shared; each of the others has one writer.
            let stream = match random.below(50) {
                0 => format!("shared-{}", random.below(40)),
                _ => format!("own-{writer}-{}", random.below(60)),
            };
            let count = 1 + random.below(9);
            let undone = random.below(12) == 0;
            if undone {
                tx.execute("SAVEPOINT here").await?;
            }
            let new: Vec<_> = (0..count).map(|_| Uuid::now_v7().to_string()).collect();
            let event =
                |id| format!("{{\"id\":\"{id}\",\"type\":\"Written\",\"data\":{{\"writer\":{writer}}}}}");
            let list: Vec<_> = new.iter().map(event).collect();
            let list = format!("[{}]", list.join(","));
            let call = sqlx::query(AssertSqlSafe(self.append.clone())).bind(stream).bind(list);
            call.execute(&mut *tx).await?;
            if undone {
                tx.execute("ROLLBACK TO SAVEPOINT here").await?;
                ids.rolled_back.extend(new);
            } else {
                ids.committed.extend(new);
            }
            dawdle(random).await;
        }
        if random.below(10) == 0 {
            tx.rollback().await?;
            ids.rolled_back.extend(ids.committed.drain());
            return Ok(ids);
        }
        tx.commit().await?;
        Ok(ids)
    }
}

/// Mostly not at all, at times for some milliseconds, seldom for a tenth of a second.
async fn dawdle(random: &mut Random) {
    let micros = match random.below(100) {
        0..=59 => return,
        60..=98 => random.below(5_000),
        _ => random.below(100_000),
    };
    CLOCK.sleep(Duration::from_micros(micros)).await;
}

/// Three instances, each replaced when it has died.
struct Instances<'f> {
    folder: &'f Folder,
    running: Vec<Running>,
    /// How often one could not begin, since the server was away.
    refused: usize,
}

impl<'f> Instances<'f> {
    fn start(folder: &'f Folder) -> Self {
        let running = (0..INSTANCES).map(|_| folder.spawn(&["run"])).collect();
        Self { folder, running, refused: 0 }
    }

    fn kill(&mut self, index: usize) {
        let next = self.folder.spawn(&["run"]);
        std::mem::replace(&mut self.running[index], next).kill();
    }

    /// What a supervisor does: an instance that could not begin is started again. None may end for another reason.
    fn supervise(&mut self) {
        for running in &mut self.running {
            if running.is_running() {
                continue;
            }
            let ended = std::mem::replace(running, self.folder.spawn(&["run"])).wait(LIMIT);
            assert_eq!(ended.code, Some(4), "it could not begin without a server: {}", ended.stderr);
            self.refused += 1;
        }
    }
}

/// A session of one of us, the server's own processes left out: its pid.
fn victim(session: &Session, random: &mut Random) -> Option<i64> {
    let sql = "SELECT pid::bigint FROM pg_stat_activity WHERE backend_type = 'client backend' \
               AND pid <> pg_backend_pid() ORDER BY pid OFFSET ";
    let count = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                 AND pid <> pg_backend_pid()";
    let count = u64::try_from(session.number(count)).ok().filter(|count| *count > 0)?;
    session.try_number(&format!("{sql}{} LIMIT 1", random.below(count))).filter(|pid| *pid > 0)
}

/// A connection, as soon as there is a server.
fn session(place: &Place) -> Session {
    poll("the server", LIMIT, || Session::try_open(&place.url()).ok())
}

fn total() -> u64 {
    let named = env::var(EVENTS).ok().filter(|text| !text.is_empty());
    let named = named.map(|text| text.parse().unwrap_or_else(|_| panic!("{EVENTS} is no number: {text}")));
    named.unwrap_or(100_000)
}

#[test]
fn e_1_and_e_10_whatever_dies_the_read_models_are_the_log() {
    let Some(cluster) = OwnCluster::start(&["max_connections=60"]) else { return };
    let place = Place::on(&cluster.url());
    let folder = place.folder(&format!("{SETTINGS}{PG_RECORDER}{DIARY}"));
    folder.ok(&["migrate"]);
    let total = total();
    let mut random = Random::new(0x5EED_0099);
    let blows = blows(&mut random);
    let shares = blows.len() as u64 + MARGIN;
    let (allow, allowed) = watch::channel(total / shares);
    let desk = Arc::new(Desk {
        url: place.url(),
        append: place.sql("SELECT highwater.append($1, $2::json)"),
        written: AtomicU64::new(0),
        lost: AtomicU64::new(0),
        ids: Mutex::default(),
        allowed,
        total,
    });
    let begun = CLOCK.now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn_on(desk.clone().write(writer), runtime.handle());
    }
    let mut instances = Instances::start(&folder);
    for (fallen, blow) in (1_u64..).zip(&blows) {
        let due = total * fallen / shares;
        poll("the writers", LIMIT, || (desk.written.load(Ordering::SeqCst) >= due).then_some(()));
        pause(Duration::from_micros(random.below(30_000)));
        match blow {
            Blow::Instance => instances.kill(usize::try_from(random.below(INSTANCES as u64)).expect("small")),
            Blow::Session => {
                let session = session(&place);
                poll("somebody's session", LIMIT, || {
                    let pid = victim(&session, &mut random)?;
                    let ended = session.number(&format!("SELECT pg_terminate_backend({pid})::int"));
                    (ended == 1).then_some(())
                });
            }
            Blow::Server => {
                // One that is there for certain; all others end with it.
                let victim = session(&place);
                cluster.kill_backend(victim.pid());
            }
        }
        instances.supervise();
        allow.send_replace(if fallen == blows.len() as u64 {
            u64::MAX
        } else {
            total * (fallen + 1) / shares
        });
    }
    runtime.block_on(async {
        while let Some(writer) = writers.join_next().await {
            writer.expect("a writer does not panic");
        }
    });
    let wrote = CLOCK.now().since(begun);
    poll("all of them under way", LIMIT, || {
        instances.supervise();
        folder.run(&["wait", "diary", "head", "--timeout", "1s"]).code.filter(|code| *code == 0)
    });
    folder.ok(&["wait", "diary", "head", "--timeout", "60s"]);
    folder.ok(&["wait", "recorder", "head", "--timeout", "60s"]);
    let refused = instances.refused;
    instances.running.into_iter().for_each(terminate);

    let session = session(&place);
    let number = |sql: &str| session.number(&place.sql(sql));
    let in_log = number("SELECT count(*) FROM highwater.event");
    let dead = number("SELECT max(position) - count(DISTINCT position) FROM highwater.event");
    let ids = desk.ids.lock().expect("no writer panics");
    println!(
        "{in_log} events, {dead} dead positions, {} rolled back, {} connections lost; {refused} starts refused; \
         written in {wrote:?}, done in {:?}",
        ids.rolled_back.len(),
        desk.lost.load(Ordering::SeqCst),
        CLOCK.now().since(begun),
    );
    let found: HashSet<_> =
        session.texts(&place.sql("SELECT id::text FROM highwater.event")).into_iter().collect();
    assert!(ids.committed.len() as u64 >= total, "so many were to be written");
    assert_eq!(ids.committed.difference(&found).count(), 0, "what was committed is in the log");
    assert_eq!(ids.rolled_back.intersection(&found).count(), 0, "what was rolled back is not");
    assert!(dead > 0, "some numbers were drawn in vain");
    assert_recorder_has_the_log(&place, &session);
    assert_diary_is_the_log(&place, &session);
    let failed =
        session.texts(&place.sql("SELECT projection || ': ' || message FROM highwater.failed_event"));
    assert!(failed.is_empty(), "no event is to blame: {failed:?}");
    let faults = session.texts(&place.sql("SELECT fault FROM highwater.projection WHERE fault IS NOT NULL"));
    assert!(faults.is_empty(), "{faults:?}");
}

/// Each event once, and each stream in its order.
fn assert_diary_is_the_log(place: &Place, session: &Session) {
    let number = |sql: &str| session.number(&place.sql(sql));
    let differs = "SELECT count(*) FROM (SELECT id::text, stream, sequence FROM highwater.event) e \
                   FULL JOIN diary d USING (id, stream, sequence) WHERE e.id IS NULL OR d.nr IS NULL OR e.stream IS NULL";
    assert_eq!(number(differs), 0, "the same events");
    assert_eq!(number("SELECT count(*) FROM diary"), number("SELECT count(*) FROM highwater.event"));
    let inverted = "SELECT count(*) FROM (SELECT sequence, row_number() OVER (PARTITION BY stream ORDER BY nr) - 1 \
                    AS expected FROM diary) d WHERE sequence <> expected";
    assert_eq!(number(inverted), 0, "each stream in its order");
}
