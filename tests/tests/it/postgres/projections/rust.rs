//! Projections in Rust through the builder: many events at once, two for one table, and tables that change.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater::postgres::sqlx::{AssertSqlSafe, Executor as _, query, raw_sql};
use highwater::postgres::{PgConnection, PgLog};
use highwater::{
    AppendEvents as _, Failure, Highwater, NewEvent, Outcome, Phase, Projection, ProjectionOptions,
    RecordedEvent, StartError, Waited,
};
use highwater_testkit::fixtures::append_to;
use highwater_tests::postgres::Place;
use highwater_tests::{LIMIT, Tables as _};

/// How [`Amounts`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Each event by itself.
    Each,
    /// Many at once, and what fails fails as a whole.
    Whole,
    /// Many at once; a payload that does not decode is named.
    Named,
}

/// Writes each amount once, and a sum by stream. An amount of 13 is refused by the table.
struct Amounts(Way);

impl Amounts {
    fn name(&self) -> String {
        format!("{:?}", self.0).to_lowercase()
    }

    fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(text.replace("$name", &self.name()))
    }

    async fn write(
        &self,
        amounts: BTreeMap<i64, i64>,
        sums: BTreeMap<String, i64>,
        tx: &mut PgConnection,
    ) -> Result<(), Failure> {
        let (streams, sums): (Vec<_>, Vec<_>) = sums.into_iter().unzip();
        let (positions, amounts): (Vec<_>, Vec<_>) = amounts.into_iter().unzip();
        // Half of the effect comes before the statement that may fail.
        let upsert = self.sql(
            "INSERT INTO sums_$name SELECT * FROM unnest($1::text[], $2::bigint[]) \
             ON CONFLICT (stream) DO UPDATE SET sum = sums_$name.sum + excluded.sum",
        );
        query(upsert).bind(streams).bind(sums).execute(&mut *tx).await?;
        let insert = self.sql("INSERT INTO amounts_$name SELECT * FROM unnest($1::bigint[], $2::bigint[])");
        query(insert).bind(positions).bind(amounts).execute(tx).await?;
        Ok(())
    }
}

impl Projection<PgConnection> for Amounts {
    async fn apply(&self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), Failure> {
        let (position, amount) = (i64::try_from(event.position().commit())?, event.json::<i64>()?);
        let sums = BTreeMap::from([(event.stream().to_owned(), amount)]);
        self.write(BTreeMap::from([(position, amount)]), sums, tx).await
    }

    async fn apply_batch(&self, events: &[RecordedEvent], tx: &mut PgConnection) -> Result<(), Failure> {
        let (mut amounts, mut sums) = (BTreeMap::new(), BTreeMap::new());
        for (index, event) in events.iter().enumerate() {
            if self.0 == Way::Each {
                self.apply(event, tx).await.map_err(|failure| failure.at(index))?;
                continue;
            }
            let decoded = event.json::<i64>().map_err(Failure::from);
            let amount = decoded.map_err(|failure| match self.0 {
                Way::Named => failure.at(index),
                Way::Whole | Way::Each => failure,
            })?;
            amounts.insert(i64::try_from(event.position().commit())?, amount);
            *sums.entry(event.stream().to_owned()).or_default() += amount;
        }
        if self.0 == Way::Each { Ok(()) } else { self.write(amounts, sums, tx).await }
    }

    async fn setup(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        let tables = self.sql(
            "CREATE TABLE amounts_$name (position bigint PRIMARY KEY, amount bigint CHECK (amount <> 13));
             CREATE TABLE sums_$name (stream text PRIMARY KEY, sum bigint NOT NULL)",
        );
        tx.execute(raw_sql(tables)).await?;
        Ok(())
    }
}

fn small(options: ProjectionOptions) -> ProjectionOptions {
    options.settings(|settings| {
        settings.batch = 40;
        settings.min_batch = 10;
        settings.max_batch = 40;
        settings.poll_interval = Duration::from_millis(50);
    })
}

async fn append(log: &PgLog, payloads: impl IntoIterator<Item = String>) {
    for (n, payload) in payloads.into_iter().enumerate() {
        let append = append_to(&format!("s-{}", n % 7), vec![NewEvent::json("Paid", payload)]);
        log.append(&[append]).await.expect("it is appended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e_19_many_events_at_once_leave_exactly_what_one_after_the_other_does() {
    let Some(place) = Place::new() else { return };
    let log = PgLog::new(&place.database().await);
    // First and last of the log and of a batch, side by side, a run of them, and far apart; both sorts.
    let refused = [0, 39, 40, 41, 77, 150, 151, 152, 153, 199];
    let unreadable = [1, 38, 79, 80, 120, 154, 198];
    let payload = |n: usize| match n {
        n if refused.contains(&n) => "13".to_owned(),
        n if unreadable.contains(&n) => "\"many\"".to_owned(),
        n => (n + 100).to_string(),
    };
    append(&log, (0..200).map(payload)).await;
    let ways = [Way::Each, Way::Whole, Way::Named];
    let mut builder = Highwater::builder().postgres_with(place.url(), place.options());
    for way in ways {
        builder = builder.projection(&Amounts(way).name(), Amounts(way), small);
    }
    let highwater = builder.start().await.expect("it starts");
    let report = highwater.run_until_caught_up(std::future::pending()).await.expect("it runs");
    let session = place.session();
    let found = ways.map(|way| {
        let name = Amounts(way).name();
        let text = |sql: &str| session.texts(&place.sql(&sql.replace("$name", &name)));
        let done = report.projections.iter().find(|done| done.name.as_str() == name).expect("it ran");
        assert_eq!(done.outcome, Outcome::CaughtUp, "{name}");
        (
            (done.applied, done.failed),
            text("SELECT position || ' ' || amount FROM amounts_$name ORDER BY position"),
            text("SELECT stream || ' ' || sum FROM sums_$name ORDER BY stream"),
            text(
                "SELECT concat_ws(' ', position, state, class, code, attempts) FROM highwater.failed_event \
                 WHERE projection = '$name' ORDER BY position",
            ),
        )
    });
    let [each, whole, named] = &found;
    assert_eq!(each.0, (183, 17));
    assert_eq!((each.1.len(), each.3.len()), (183, 17), "{:?}", each.3);
    assert!(each.3[0].starts_with("1 parked permanent 23514 1"), "{:?}", each.3);
    assert_eq!(whole, each);
    assert_eq!(named, each);
}

/// Reads all columns of a table, whatever they are, and counts the events.
struct Reads;

impl Projection<PgConnection> for Reads {
    async fn apply(&self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), Failure> {
        query("SELECT * FROM shape").fetch_optional(&mut *tx).await?;
        let position = i64::try_from(event.position().commit())?;
        query("INSERT INTO seen VALUES ($1)").bind(position).execute(tx).await?;
        Ok(())
    }

    async fn setup(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        tx.execute(raw_sql("CREATE TABLE shape (a int); CREATE TABLE seen (position bigint PRIMARY KEY)"))
            .await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changes_under_a_running_projection_stops_nothing() {
    let Some(place) = Place::new() else { return };
    let log = PgLog::new(&place.database().await);
    let options = place.options().max_connections(2);
    let builder = Highwater::builder().postgres_with(place.url(), options);
    let highwater = builder.projection("reads", Reads, small).start().await.expect("it starts");
    let session = place.session();
    for change in 1..=4 {
        append(&log, (0..3).map(|n| n.to_string())).await;
        let waited = highwater.wait_for_head("reads", LIMIT).await.expect("the store answers");
        assert_eq!(waited, Waited::Reached, "{:?}", highwater.status());
        session.run(&format!("ALTER TABLE shape ADD COLUMN b{change} int"));
    }
    let status = highwater.status().remove(0);
    assert!(!matches!(status.phase, Phase::Faulted { .. }), "{status:?}");
    assert_eq!((status.applied, status.failed), (12, 0), "{status:?}");
    highwater.run_until(std::future::ready(())).await;
    assert_eq!(session.number("SELECT count(*) FROM seen"), 12);
    assert_eq!(session.number(&place.sql("SELECT count(*) FROM highwater.failed_event")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e_14_all_that_is_wrong_with_a_builder_is_said_before_anything_is_opened() {
    let Some(place) = Place::new() else { return };
    let started = Highwater::builder()
        .postgres_with(place.url(), place.options())
        .projection("twice", Amounts(Way::Each), small)
        .projection("twice", Amounts(Way::Whole), small)
        .projection("not a name", Amounts(Way::Named), small)
        .start()
        .await;
    let Err(StartError::Invalid(problems)) = started else { panic!("it must be refused") };
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("twice is named twice")), "{problems:?}");
    let schemas = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{}'", place.schema());
    assert_eq!(place.session().number(&schemas), 0, "nothing was opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn e_14_two_projections_that_create_one_table_are_refused_also_later() {
    let Some(place) = Place::new() else { return };
    let log = PgLog::new(&place.database().await);
    append(&log, (100..120).map(|n| n.to_string())).await;
    let run = async |name: &str| {
        let builder = Highwater::builder().postgres_with(place.url(), place.options());
        let highwater = builder.projection(name, Amounts(Way::Each), small).start().await;
        let highwater = highwater.expect("what a set-up creates is known when it runs");
        let mut report = highwater.run_until_caught_up(std::future::pending()).await.expect("it ends");
        report.projections.remove(0).outcome
    };
    assert_eq!(run("owner").await, Outcome::CaughtUp);
    // Another name, the same table: in another process, years later.
    let Outcome::Faulted(reason) = run("thief").await else { panic!("it must not start") };
    for named in ["thief", "amounts_each", "already exists"] {
        assert!(reason.contains(named), "{named} is not named: {reason}");
    }
    let session = place.session();
    assert_eq!(session.number("SELECT count(*) FROM amounts_each"), 20, "nothing was touched");
    let states = session.texts(&place.sql("SELECT name FROM highwater.projection"));
    assert_eq!(states, ["owner"], "nothing is left of the refused start");
}
