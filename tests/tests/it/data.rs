//! Each sample through the binary: imported, run, and held against figures that other programs computed.

use std::collections::BTreeSet;

use highwater_tests::projections::{AIRCRAFT, INVOICES, READS_EACH, READS_SET, RECORDER, TRAFFIC, WEBHOOKS};
use highwater_tests::{Checked, Database, Folder, Located, Sample, Tables};

use crate::support::{dead_letters, decimal_sum, imported, status};

/// Small batches, so that the projections go through many of them.
pub(crate) const SMALL_BATCHES: &str =
    "[defaults]\nbatch = 100\nmin_batch = 10\nmax_batch = 300\nmax_range_batch = 300\n";

/// Imports the sample, and runs the projections of the folder's config to its end.
pub(crate) fn run_to_the_end(folder: &Folder, sample: &Located) {
    let done = folder.json(&["import", sample.arg()]);
    assert_eq!(imported(&done), (sample.number("events"), 0, 0));
    folder.ok(&["run", "--until-caught-up"]);
}

/// A folder into which the sample was imported and run with the recorder and these projections.
fn run(sample: &Located, projections: &[&str]) -> Folder {
    let folder = Folder::with(&format!("{SMALL_BATCHES}{RECORDER}{}", projections.concat()));
    run_to_the_end(&folder, sample);
    folder
}

/// Every event once, in order, whatever the projection: the digests of the sample.
pub(crate) fn assert_each_once(database: &impl Tables, sample: &Located) {
    let found = Checked::read(database);
    assert_eq!(found.events, u64::try_from(sample.number("events")).expect("a count"));
    assert_eq!(found.ids, sample.text("ids_sha256"), "the ids, in the order in which they were handled");
    assert_eq!(found.streams, sample.text("stream_counts_sha256"), "the events of each stream");
    let types = u64::try_from(found.types.len()).expect("a count");
    assert_eq!(types, u64::try_from(sample.number("types")).expect("a count"));
    if sample.truth.get("events_by_type").is_some() {
        assert_eq!(found.types, sample.counts("events_by_type"));
    }
}

/// What was imported comes out again, byte for byte.
pub(crate) fn assert_exported(folder: &Folder, sample: &Located) {
    let exported = folder.ok(&["export"]).stdout;
    let wanted = sample.bytes();
    let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    for (number, (found, wanted)) in lines(&exported).into_iter().zip(lines(&wanted)).enumerate() {
        assert!(
            found == wanted,
            "line {} came back as\n{}\ninstead of\n{}",
            number + 1,
            String::from_utf8_lossy(&found),
            String::from_utf8_lossy(&wanted)
        );
    }
    assert_eq!(exported.len(), wanted.len(), "as many bytes");
}

#[test]
fn flights_run_to_the_published_figures() {
    let flights = Sample::Flights.here();
    let folder = run(&flights, &[TRAFFIC, AIRCRAFT]);
    assert_each_once(&folder.database(), &flights);
    assert_flights(&folder.database(), &flights);
    assert_exported(&folder, &flights);
}

/// The figures of the flights in the read models of [`TRAFFIC`] and [`AIRCRAFT`].
pub(crate) fn assert_flights(database: &impl Tables, flights: &Located) {
    let by_origin = |column: &str| database.counts(&format!("SELECT origin, {column} FROM departures"));
    assert_eq!(by_origin("departures"), flights.counts("departures_by_origin"));
    assert_eq!(by_origin("late"), flights.counts("late_departures_over_60"));
    let sum = |column: &str, table: &str| database.number(&format!("SELECT sum({column}) FROM {table}"));
    assert_eq!(sum("delay", "departures"), flights.number("sum_dep_delay_minutes"));
    assert_eq!(sum("delay", "landings"), flights.number("sum_arr_delay_minutes"));
    assert_eq!(sum("air_time", "landings"), flights.number("sum_air_time_minutes"));
    assert_eq!(sum("distance", "landings"), flights.number("sum_landed_distance_miles"));
    let top = "SELECT dest, landings FROM landings ORDER BY landings DESC, dest LIMIT 10";
    assert_eq!(database.counts(top), flights.counts("landings_by_dest_top10"));
    let in_air = database.number("SELECT count(*) FROM aircraft WHERE in_air > 0");
    assert_eq!(in_air, flights.number("aircraft_with_an_open_flight_at_the_end"));
}

#[test]
fn f_2_read_models_in_a_database_of_their_own_are_the_same() {
    let flights = Sample::Flights.here();
    let store = "[store]\nurl = \"sqlite:models.db\"\n";
    let folder = Folder::with(&format!("{store}{SMALL_BATCHES}{RECORDER}{TRAFFIC}{AIRCRAFT}"));
    folder.ok(&["import", flights.arg()]);
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    let models = Database::read(&folder.file("models.db"));
    assert_each_once(&models, &flights);
    assert_flights(&models, &flights);
    assert_eq!(
        folder.database().try_number("SELECT count(*) FROM handled"),
        None,
        "the log has no read models"
    );
    assert_eq!(folder.json(&["verify", "traffic"])["equal"], true);
}

#[test]
fn webhooks_run_to_the_published_figures() {
    let webhooks = Sample::Webhooks.here();
    let folder = run(&webhooks, &[WEBHOOKS]);
    assert_each_once(&folder.database(), &webhooks);
    assert_webhooks(&folder.database(), &webhooks);
    assert_exported(&folder, &webhooks);
}

/// The figures of the webhooks in the read models of [`WEBHOOKS`].
pub(crate) fn assert_webhooks(database: &impl Tables, webhooks: &Located) {
    assert_eq!(database.counts("SELECT api, events FROM apis"), webhooks.counts("events_by_api"));
    assert_eq!(
        database.number("SELECT CAST(sum(repository_ids) AS BIGINT) FROM apis"),
        webhooks.number("sum_repository_id"),
        "a sum over what is two levels deep"
    );
    let with_repository = database.number("SELECT sum(repositories) FROM apis");
    assert_eq!(with_repository, webhooks.number("events_with_repository"));
    assert_eq!(database.number("SELECT count(*) FROM senders"), webhooks.number("distinct_sender_logins"));
}

#[test]
fn f_3_retail_money_is_exact() {
    let Some(retail) = Sample::Retail.find() else { return };
    let folder = run(&retail, &[INVOICES]);
    assert_each_once(&folder.database(), &retail);
    assert_retail(&folder.database(), &retail);
    assert_exported(&folder, &retail);
}

/// The figures of the invoices in the read model of [`INVOICES`].
pub(crate) fn assert_retail(database: &impl Tables, retail: &Located) {
    let value = |of: &str| {
        let lines = database.texts(&format!("SELECT quantity || ' ' || unit_price FROM lines WHERE {of}"));
        decimal_sum(lines.iter().map(|line| {
            let (quantity, price) = line.split_once(' ').expect("two words");
            (quantity.parse().expect("a whole number"), price)
        }))
    };
    assert_eq!(value("true"), retail.text("net_value"));
    assert_eq!(value("type = 'LineSold'"), retail.text("value_LineSold"));
    assert_eq!(value("type = 'LineReturned'"), retail.text("value_LineReturned"));
    assert_eq!(
        value("country = 'EIRE'"),
        retail.truth["value_by_country"]["EIRE"].as_str().expect("a figure")
    );
    assert_eq!(database.number("SELECT sum(quantity) FROM lines"), retail.number("sum_quantity"));
    assert_eq!(
        database.counts("SELECT country, count(*) FROM lines GROUP BY 1"),
        retail.counts("lines_by_country")
    );
    let distinct = |column: &str| database.number(&format!("SELECT count(DISTINCT {column}) FROM lines"));
    assert_eq!(distinct("customer"), retail.number("distinct_customers"));
    assert_eq!(distinct("stock_code"), retail.number("distinct_stock_codes"));
    let without = database.number("SELECT count(*) FROM lines WHERE customer IS NULL");
    assert_eq!(without, retail.number("lines_without_customer"), "JSON null is NULL, not a text");
}

#[test]
fn f_6_nasty_payloads_that_are_not_touched_are_all_applied() {
    let Some(nasty) = Sample::Nasty.find() else { return };
    let folder = run(&nasty, &[]);
    assert_each_once(&folder.database(), &nasty);
    assert!(dead_letters(&folder, "recorder").is_empty());
    assert_exported(&folder, &nasty);
}

#[test]
fn x_9_nasty_payloads_that_are_read_are_applied_or_set_aside_each_exactly_once() {
    let Some(nasty) = Sample::Nasty.find() else { return };
    let folder = run(&nasty, &[READS_SET, READS_EACH]);
    assert_each_once(&folder.database(), &nasty);
    assert_settled(&folder, &folder.database(), &nasty);
    assert_letters_survive(&folder, &nasty);
}

/// [`READS_SET`] and [`READS_EACH`] have each applied or set aside each event, and not both.
pub(crate) fn assert_settled(folder: &Folder, database: &impl Tables, nasty: &Located) {
    let events = usize::try_from(nasty.number("events")).expect("a count");
    for (projection, table) in [("reads_set", "read_set"), ("reads_each", "read_each")] {
        let applied = database.texts(&format!("SELECT position || ':0' FROM {table}"));
        let parked: Vec<String> =
            dead_letters(folder, projection).into_iter().map(|letter| letter.position).collect();
        assert_eq!(applied.len() + parked.len(), events, "{projection}: applied and set aside");
        let distinct: BTreeSet<&String> = applied.iter().chain(&parked).collect();
        assert_eq!(distinct.len(), events, "{projection}: each once");
        let stands = status(folder, projection);
        assert_eq!(stands.position, stands.head, "{projection} has settled everything");
    }
    let hazards = database.counts("SELECT hazard, count(*) FROM read_set GROUP BY 1");
    let mut wanted = nasty.counts("events_by_hazard");
    for letter in dead_letters(folder, "reads_set") {
        *wanted.get_mut(hazard_of(&letter.stream)).expect("a known hazard") -= 1;
    }
    assert_eq!(hazards, wanted);
}

#[test]
fn e_19_savepoints_for_batches_and_for_events_set_the_same_events_aside() {
    let Some(nasty) = Sample::Nasty.find() else { return };
    let per_event =
        READS_EACH.replace("name = \"reads_each\"", "name = \"reads_each\"\nsavepoint = \"per-event\"");
    assert_ne!(per_event, READS_EACH);
    let [optimistic, per_event] = [READS_EACH, per_event.as_str()].map(|projection| {
        let folder = run(&nasty, &[projection]);
        let rows =
            "SELECT position || ' ' || coalesce(value, '-') || ' ' || coalesce(text, '-') FROM read_each
                    ORDER BY position";
        (dead_letters(&folder, "reads_each"), folder.database().texts(rows))
    });
    assert_eq!(optimistic, per_event);
}

/// Only the JSON sets may be set aside.
fn hazard_of(stream: &str) -> &'static str {
    match stream {
        stream if stream.starts_with("case-jts-i_") => "json-i",
        stream if stream.starts_with("case-jts-y_") => "json-y",
        other => panic!("{other} should have been applied"),
    }
}

/// Lone surrogates are no text, so the events that have them are set aside, with their payload as it was.
pub(crate) fn assert_letters_survive(folder: &Folder, nasty: &Located) {
    let letters = dead_letters(folder, "reads_each");
    assert!(!letters.is_empty(), "a lone surrogate cannot be bound as text");
    let bytes = nasty.bytes();
    for letter in letters {
        let raw = folder.ok(&["dead-letters", "show", "reads_each", &letter.position, "--raw"]).stdout;
        let raw = raw.strip_suffix(b"\n").unwrap_or(&raw);
        let id = format!("{{\"id\":\"{}\"", letter.id);
        let line = bytes.split(|byte| *byte == b'\n').find(|line| line.starts_with(id.as_bytes()));
        let line = line.unwrap_or_else(|| panic!("no line has the id {}", letter.id));
        let held = [b"\"data\":", raw, b",\"metadata\":"].concat();
        assert!(
            line.windows(held.len()).any(|window| window == held),
            "the letter of {} is not the payload of its line",
            letter.position
        );
    }
}
