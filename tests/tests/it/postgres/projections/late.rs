//! What commits late, and times and clocks that step back (E-1).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use highwater::core::ports::{Clock, Moment};
use highwater::postgres::sqlx::query;
use highwater::postgres::{PgConnection, PgLog};
use highwater::{
    AppendEvents as _, Environment, Failure, Highwater, NewEvent, Projection, ProjectionOptions,
    RecordedEvent, TokioClock, Waited,
};
use highwater_testkit::fixtures::{append_to, new_event};
use highwater_tests::postgres::Place;
use highwater_tests::projections::PG_RECORDER;
use highwater_tests::{LIMIT, poll};

use crate::postgres::kit::{about, assert_recorder_has_the_log, recorded, terminate};
use crate::support::status;

const HOUR: i64 = 3_600_000_000;

#[test]
fn e_1_a_an_event_that_commits_late_is_applied_in_its_place() {
    let Some(place) = Place::new() else { return };
    // One with a filter, which does not see whether positions follow each other, and one without.
    let other = PG_RECORDER.replace("handled", "chosen").replace("stream_events", "chosen_streams");
    let other = other.replace("name = \"recorder\"", "name = \"chooses\"\ntypes = [\"A\", \"B\"]");
    let folder = place.folder(&format!("{PG_RECORDER}{other}"));
    folder.ok(&["migrate"]);
    let mut running = folder.spawn(&["run"]);
    running.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    let (session, a) = (place.session(), place.session());
    let append =
        |kind: &str| place.sql(&format!(r#"SELECT highwater.append('{kind}-1', '{{"type": "{kind}"}}')"#));
    let chosen = || session.number("SELECT count(*) FROM chosen");
    for round in 0..3 {
        // A inserts; B inserts and commits.
        a.run(&format!("BEGIN; {}", append("A")));
        session.run(&append("B"));
        // The handler runs: it may not get past A, and knows it.
        poll("it is held back", LIMIT, || folder.json(&["status"])["held_back"].is_object().then_some(()));
        folder.ok(&["wait", "chooses", "head"]);
        assert_eq!((recorded(&session), chosen()), (2 * round, 2 * round), "nothing behind A is applied");
        a.run("COMMIT");
        poll("both", LIMIT, || {
            ((recorded(&session), chosen()) == (2 * round + 2, 2 * round + 2)).then_some(())
        });
    }
    terminate(running);
    assert_recorder_has_the_log(&place, &session);
    let twice = "SELECT count(*) FROM (SELECT position FROM chosen GROUP BY position HAVING count(*) > 1) t";
    assert_eq!(session.number(twice), 0);
    assert_eq!(status(&folder, "chooses").failed("parked"), 0);
}

/// A clock whose wall time can be set back.
struct Stepping {
    inner: TokioClock,
    back: AtomicI64,
}

impl Clock for Stepping {
    fn now(&self) -> Moment {
        self.inner.now()
    }

    fn wall_micros(&self) -> i64 {
        self.inner.wall_micros() - self.back.load(Ordering::SeqCst)
    }

    fn sleep<'s, 'f>(&'s self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        self.inner.sleep(duration)
    }
}

/// Writes each event down; one of them fails at first, for no reason that is known.
struct Diary {
    tries: AtomicU32,
}

impl Projection<PgConnection> for Diary {
    async fn apply(&self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), Failure> {
        if event.event_type() == "Reluctant" && self.tries.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err(Failure::new("not yet"));
        }
        let position = i64::try_from(event.position().commit())?;
        query("INSERT INTO diary (position) VALUES ($1)").bind(position).execute(tx).await?;
        Ok(())
    }

    async fn setup(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        query("CREATE TABLE diary (nr bigserial, position bigint PRIMARY KEY)").execute(tx).await?;
        Ok(())
    }
}

/// A failed event waits for its next attempt long enough to be seen.
fn slowly(options: ProjectionOptions) -> ProjectionOptions {
    options.settings(|settings| {
        settings.retry_base = Duration::from_secs(2);
        settings.retry_cap = Duration::from_secs(4);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn e_1_c_times_and_our_clock_that_step_back_an_hour_pass_over_nothing() {
    let Some(place) = Place::new() else { return };
    let log = PgLog::new(&place.database().await);
    let clock = Arc::new(Stepping { inner: TokioClock::new(), back: AtomicI64::new(0) });
    let diary = Diary { tries: AtomicU32::new(0) };
    let environment = Environment { clock: clock.clone(), ..Environment::new() };
    let builder = Highwater::builder().postgres_with(place.url(), place.options()).environment(environment);
    let highwater = builder.projection("diary", diary, slowly).start().await.expect("it starts");
    let mut count = 0;
    for round in 0..6_i64 {
        for n in 0..20 {
            let time = clock.wall_micros() - round * HOUR - n;
            let kind = if round == 2 && n == 7 { "Reluctant" } else { "Fine" };
            let event = NewEvent { time_micros: Some(time), ..new_event(count, kind) };
            log.append(&[append_to(&format!("s-{}", n % 5), vec![event])]).await.expect("it is appended");
            count += 1;
            if kind == "Reluctant" {
                // The clock steps back while its next attempt is waited for.
                let retrying = place.sql("SELECT count(*) FROM highwater.failed_event");
                poll("its first attempt", LIMIT, || (place.session().number(&retrying) == 1).then_some(()));
            }
            if n == 7 {
                clock.back.fetch_add(HOUR, Ordering::SeqCst);
            }
        }
        let waited = highwater.wait_for_head("diary", LIMIT).await.expect("the store answers");
        assert_eq!(waited, Waited::Reached, "{:?}", highwater.status());
    }
    highwater.run_until(std::future::ready(())).await;
    let written = place.session().number("SELECT count(*) FROM diary");
    assert_eq!(u64::try_from(written), Ok(count));
    let inverted = "SELECT count(*) FROM (SELECT position, lag(position) OVER (ORDER BY nr) AS before FROM diary) d \
                    WHERE position <= before";
    assert_eq!(place.session().number(inverted), 0, "in the log's order");
}
