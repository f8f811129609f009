//! Each sample through the binary on PostgreSQL, alone and together with SQLite: the published figures, byte for
//! byte.

use highwater_tests::postgres::{OwnCluster, Place};
use highwater_tests::projections::{
    AIRCRAFT, INVOICES, PG_RECORDER, READS_EACH, READS_SET, RECORDER, TRAFFIC, WEBHOOKS,
};
use highwater_tests::{Database, Folder, Located, Sample, Tables};

use crate::data::{
    SMALL_BATCHES, assert_each_once, assert_exported, assert_flights, assert_letters_survive, assert_retail,
    assert_settled, assert_webhooks, run_to_the_end,
};
use crate::support::{dead_letters, imported, line};

/// A place and a folder into which the sample was imported and run with the recorder and these projections.
fn run(sample: &Located, projections: &[&str]) -> Option<(Place, Folder)> {
    let place = Place::new()?;
    let folder = place.folder(&format!("{SMALL_BATCHES}{PG_RECORDER}{}", projections.concat()));
    run_to_the_end(&folder, sample);
    Some((place, folder))
}

#[test]
fn flights_run_to_the_published_figures() {
    let flights = Sample::Flights.here();
    let Some((place, folder)) = run(&flights, &[TRAFFIC, AIRCRAFT]) else { return };
    assert_each_once(&place.session(), &flights);
    assert_flights(&place.session(), &flights);
    assert_exported(&folder, &flights);
}

#[test]
fn webhooks_run_to_the_published_figures() {
    let webhooks = Sample::Webhooks.here();
    let Some((place, folder)) = run(&webhooks, &[WEBHOOKS]) else { return };
    assert_each_once(&place.session(), &webhooks);
    assert_webhooks(&place.session(), &webhooks);
    assert_exported(&folder, &webhooks);
}

#[test]
fn f_3_retail_money_is_exact() {
    let Some(retail) = Sample::Retail.find() else { return };
    let Some((place, folder)) = run(&retail, &[INVOICES]) else { return };
    assert_each_once(&place.session(), &retail);
    assert_retail(&place.session(), &retail);
    assert_exported(&folder, &retail);
}

#[test]
fn f_6_nasty_payloads_that_are_not_touched_are_all_applied() {
    let Some(nasty) = Sample::Nasty.find() else { return };
    let Some((place, folder)) = run(&nasty, &[]) else { return };
    assert_each_once(&place.session(), &nasty);
    assert!(dead_letters(&folder, "recorder").is_empty());
    assert_exported(&folder, &nasty);
}

#[test]
fn x_9_nasty_payloads_that_are_read_are_applied_or_set_aside_each_exactly_once() {
    let Some(nasty) = Sample::Nasty.find() else { return };
    let Some((place, folder)) = run(&nasty, &[READS_SET, READS_EACH]) else { return };
    assert_each_once(&place.session(), &nasty);
    assert_settled(&folder, &place.session(), &nasty);
    assert_letters_survive(&folder, &nasty);
    // What its JSON functions do not take, and nothing else: lone surrogates, and NUL escapes.
    for projection in ["reads_set", "reads_each"] {
        let letters = dead_letters(&folder, projection);
        assert_eq!(letters.len(), 12, "{letters:#?}");
        assert!(
            letters.iter().all(|letter| letter.class == "permanent" && letter.attempts == 1),
            "{letters:#?}"
        );
    }
}

#[test]
fn e_19_savepoints_for_batches_and_for_events_set_the_same_events_aside() {
    let Some(nasty) = Sample::Nasty.find() else { return };
    let per_event =
        READS_EACH.replace("name = \"reads_each\"", "name = \"reads_each\"\nsavepoint = \"per-event\"");
    assert_ne!(per_event, READS_EACH);
    let found = [READS_EACH, per_event.as_str()].map(|projection| {
        let (place, folder) = run(&nasty, &[projection])?;
        let rows = "SELECT position || ' ' || coalesce(value, '-') || ' ' || coalesce(text, '-') FROM read_each \
                    ORDER BY position";
        let set_aside = dead_letters(&folder, "reads_each").into_iter();
        let set_aside: Vec<_> = set_aside.map(|letter| (letter.position, letter.id, letter.class)).collect();
        Some((set_aside, place.session().texts(rows)))
    });
    let [Some(optimistic), Some(per_event)] = found else { return };
    assert_eq!(optimistic, per_event);
}

#[test]
fn x_9_what_a_log_cannot_keep_is_named_by_its_line_and_left_out_only_on_request() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(PG_RECORDER);
    let mut lines: Vec<_> =
        (0..60).map(|sequence| line("s-1", sequence, "T", "{\"nul\":\"\\u0000\"}")).collect();
    lines.extend((0..3).map(|sequence| line("s-2", sequence, "T", "{}")));
    lines[60] = line("s-2", 0, "with\\u0000nul", "{}");
    let file = folder.write("events.ndjson", lines.concat());
    let file = file.to_str().expect("UTF-8");
    let output = folder.exits(1, &["import", file, "--batch", "20"]);
    output.says(&["events.ndjson", "line 61", "NUL", "--skip-bad-lines"]);
    let in_log = || place.session().number(&place.sql("SELECT count(*) FROM highwater.event"));
    assert_eq!(in_log(), 60, "those before it are in");
    // Without it the stream has a hole at its beginning: its other events are bad lines in their turn.
    let done = folder.json(&["import", file, "--batch", "20", "--skip-bad-lines"]);
    assert_eq!(imported(&done), (0, 60, 3));
    let numbers: Vec<_> = done["files"][0]["bad_lines"].as_array().expect("a list").iter().collect();
    assert_eq!(numbers.iter().map(|bad| bad["line"].as_u64()).collect::<Vec<_>>(), [61, 62, 63].map(Some));
    lines.drain(60..);
    lines.push(line("s-3", 0, "T", "{}"));
    let file = folder.write("events.ndjson", lines.concat());
    let done = folder.json(&["import", file.to_str().expect("UTF-8")]);
    assert_eq!(imported(&done), (1, 60, 0));
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(place.session().number("SELECT count(*) FROM handled"), 61);
    assert_eq!(folder.ok(&["export"]).text().matches("\\u0000").count(), 60, "the escapes are as they were");
}

/// Log and read models apart: each sample that is there. `new` makes a folder with a log, the table `[store]` for its
/// config, and a way to read the models.
fn assert_apart<T: Tables>(recorder: &str, new: impl Fn() -> Option<(Folder, String, Box<dyn Fn() -> T>)>) {
    for sample in [Sample::Flights, Sample::Webhooks, Sample::Retail, Sample::Nasty] {
        let Some(located) = sample.find() else { continue };
        let Some((folder, store, models)) = new() else { return };
        let projections = match sample {
            Sample::Flights => [TRAFFIC, AIRCRAFT].concat(),
            Sample::Webhooks => WEBHOOKS.to_owned(),
            Sample::Retail => INVOICES.to_owned(),
            Sample::Nasty => [READS_SET, READS_EACH].concat(),
        };
        folder.configure(&format!("{store}{SMALL_BATCHES}{recorder}{projections}"));
        run_to_the_end(&folder, &located);
        assert_each_once(&models(), &located);
        assert_exported(&folder, &located);
        match sample {
            Sample::Flights => assert_flights(&models(), &located),
            Sample::Webhooks => assert_webhooks(&models(), &located),
            Sample::Retail => assert_retail(&models(), &located),
            Sample::Nasty => {
                assert_settled(&folder, &models(), &located);
                assert_letters_survive(&folder, &located);
            }
        }
    }
}

#[test]
fn f_2_a_log_in_sqlite_fills_read_models_in_postgresql() {
    assert_apart(PG_RECORDER, || {
        let place = Place::new()?;
        let (folder, store) = (Folder::with(""), place.table("store"));
        Some((folder, store, Box::new(move || place.session())))
    });
}

#[test]
fn f_2_a_log_in_postgresql_fills_read_models_in_sqlite() {
    let places = std::cell::RefCell::new(Vec::new());
    assert_apart(RECORDER, || {
        let place = Place::new()?;
        let folder = place.folder("");
        let models = folder.file("models.db");
        places.borrow_mut().push(place);
        let store = "[store]\nurl = \"sqlite:models.db\"\n".to_owned();
        Some((folder, store, Box::new(move || Database::read(&models))))
    });
    for place in places.into_inner() {
        assert_eq!(
            place.session().try_number("SELECT count(*) FROM handled"),
            None,
            "the log has no read models"
        );
    }
}

#[test]
fn f_2_a_log_in_another_database_of_postgresql_fills_read_models() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    cluster.session().run("CREATE DATABASE models");
    assert_apart(PG_RECORDER, || {
        let log = Place::on(&cluster.url());
        let place = Place::on(&cluster.url_of("postgres", "models"));
        let (folder, store) = (log.folder(""), place.table("store"));
        Some((
            folder,
            store,
            Box::new(move || {
                assert_eq!(
                    log.session().try_number("SELECT count(*) FROM handled"),
                    None,
                    "the log has no read models"
                );
                place.session()
            }),
        ))
    });
}
