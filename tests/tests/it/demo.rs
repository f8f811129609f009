//! The first contact: one command, from nothing to read models whose figures are right.

use highwater_tests::{Database, Folder, Sample};
use serde_json::Value;

fn figures(folder: &Folder) -> Database {
    let flights = Sample::Flights.here();
    let database = Database::read(&folder.file("try/flights.db"));
    let by_origin = |column: &str| database.counts(&format!("SELECT origin, {column} FROM airport_delays"));
    assert_eq!(by_origin("departures"), flights.counts("departures_by_origin"));
    assert_eq!(by_origin("departures").into_values().collect::<Vec<_>>(), [2197, 2163, 1703]);
    assert_eq!(by_origin("late_over_60"), flights.counts("late_departures_over_60"));
    for (sql, figure) in [
        ("SELECT sum(delay_minutes) FROM airport_delays", "sum_dep_delay_minutes"),
        ("SELECT sum(arr_delay_minutes) FROM landings", "sum_arr_delay_minutes"),
        ("SELECT sum(air_time_minutes) FROM landings", "sum_air_time_minutes"),
        ("SELECT sum(distance_miles) FROM landings", "sum_landed_distance_miles"),
        ("SELECT count(*) FROM aircraft WHERE open_flights > 0", "aircraft_with_an_open_flight_at_the_end"),
        ("SELECT sum(events) FROM stream_counts", "events"),
        ("SELECT count(*) FROM stream_counts", "streams"),
        ("SELECT max(events) FROM stream_counts", "max_events_per_stream"),
    ] {
        assert_eq!(database.number(sql), flights.number(figure), "{sql}");
    }
    let types = flights.counts("events_by_type");
    let number = |sql: &str| u64::try_from(database.number(sql)).expect("a count");
    assert_eq!(number("SELECT sum(landings) FROM landings"), types["FlightLanded"]);
    assert_eq!(number("SELECT sum(cancelled) FROM airport_delays"), types["FlightCancelled"]);
    assert_eq!(number("SELECT count(*) FROM diversions"), types["FlightDiverted"]);
    let top = "SELECT dest, landings FROM landings ORDER BY landings DESC LIMIT 10";
    assert_eq!(database.counts(top), flights.counts("landings_by_dest_top10"));
    database
}

fn applied(done: &Value) -> u64 {
    let runs = done["run"]["projections"].as_array().unwrap_or_else(|| panic!("no projections in {done}"));
    assert_eq!(runs.len(), 4);
    assert!(runs.iter().all(|run| run["outcome"] == "caught-up" && run["failed"] == 0), "{done}");
    runs.iter().filter_map(|run| run["applied"].as_u64()).sum()
}

#[test]
fn g_demo_ends_with_the_published_figures_and_a_second_one_has_nothing_to_do() {
    let folder = Folder::empty();
    let first = folder.json(&["demo", "try"]);
    figures(&folder);
    assert_eq!((first["imported"].as_u64(), first["already_there"].as_u64()), (Some(12_107), Some(0)));
    assert_eq!(applied(&first), (6063 + 35 + 21) + 5988 + (6063 + 5988 + 21) + 12_107);
    assert_eq!(first["read_model"]["in_the_air"], 54);

    let second = folder.json(&["demo", "try"]);
    figures(&folder);
    assert_eq!((second["imported"].as_u64(), second["already_there"].as_u64()), (Some(0), Some(12_107)));
    assert_eq!(applied(&second), 0);
    assert_eq!(second["read_model"], first["read_model"]);
}

#[test]
fn g_demo_shows_its_figures_and_what_to_do_next() {
    let folder = Folder::empty();
    let text = folder.ok(&["demo", "try"]).text();
    for shown in ["12,107 events", "EWR", "2,197", "ATL", "312", "54 aircraft", "highwater status"] {
        assert!(text.contains(shown), "{shown} is not shown:\n{text}");
    }
    // What it names as next steps works, in its folder.
    let folder_arg = folder.file("try/highwater.toml");
    let config = folder_arg.to_str().expect("UTF-8");
    folder.ok(&["-c", config, "status"]);
    folder.ok(&["-c", config, "verify", "airport_delays"]);
    folder.ok(&["-c", config, "rebuild", "landings", "--yes"]);
    folder.ok(&["-c", config, "run", "--until-caught-up"]);
    figures(&folder);
}

#[test]
fn g_demo_leaves_a_folder_of_somebody_else_alone() {
    let folder = Folder::empty();
    folder.write("thesis.txt", "mine");
    folder.exits(1, &["demo", "."]).says(&["not empty"]);
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 1);
}
