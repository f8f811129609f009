//! SQL projections whose read models can be held against the published figures.
//!
//! Each is a `[[projection]]` of a config. They are ordinary SQL: nothing in them guards against an event
//! that comes twice, so one that does shows in the figures.

/// Records every event in the order in which it was handled, and counts by stream; no payload is touched.
pub const RECORDER: &str = r#"
[[projection]]
name = "recorder"
schema = """
CREATE TABLE handled (
    nr INTEGER PRIMARY KEY, id TEXT NOT NULL, stream TEXT NOT NULL, category TEXT NOT NULL,
    sequence INTEGER NOT NULL, type TEXT NOT NULL, time TEXT NOT NULL,
    position INTEGER NOT NULL, "offset" INTEGER NOT NULL
);
CREATE TABLE stream_events (stream TEXT PRIMARY KEY, events INTEGER NOT NULL)
"""
apply = """
INSERT INTO handled (id, stream, category, sequence, type, time, position, "offset")
SELECT id, stream, category, sequence, type, time, position, "offset" FROM events ORDER BY position, "offset";
INSERT INTO stream_events (stream, events)
SELECT stream, count(*) FROM events WHERE true GROUP BY stream
ON CONFLICT (stream) DO UPDATE SET events = events + excluded.events
"""
"#;

/// The flights by airport: set-based.
pub const TRAFFIC: &str = r#"
[[projection]]
name = "traffic"
types = ["FlightDeparted", "FlightLanded"]
schema = """
CREATE TABLE departures (
    origin TEXT PRIMARY KEY, departures INTEGER NOT NULL, late INTEGER NOT NULL, delay INTEGER NOT NULL
);
CREATE TABLE landings (
    dest TEXT PRIMARY KEY, landings INTEGER NOT NULL, delay INTEGER NOT NULL, air_time INTEGER NOT NULL,
    distance INTEGER NOT NULL
)
"""
apply = """
INSERT INTO departures (origin, departures, late, delay)
SELECT data->>'origin', count(*), sum(data->>'dep_delay_minutes' > 60), sum(data->>'dep_delay_minutes')
FROM events WHERE type = 'FlightDeparted' GROUP BY 1
ON CONFLICT (origin) DO UPDATE SET
    departures = departures + excluded.departures, late = late + excluded.late,
    delay = delay + excluded.delay;
INSERT INTO landings (dest, landings, delay, air_time, distance)
SELECT data->>'dest', count(*), coalesce(sum(data->>'arr_delay_minutes'), 0),
       coalesce(sum(data->>'air_time_minutes'), 0), sum(data->>'distance_miles')
FROM events WHERE type = 'FlightLanded' GROUP BY 1
ON CONFLICT (dest) DO UPDATE SET
    landings = landings + excluded.landings, delay = delay + excluded.delay,
    air_time = air_time + excluded.air_time, distance = distance + excluded.distance
"""
"#;

/// The aircraft in the air: event by event, in order.
pub const AIRCRAFT: &str = r#"
[[projection]]
name = "aircraft"
schema = "CREATE TABLE aircraft (stream TEXT PRIMARY KEY, in_air INTEGER NOT NULL, moves INTEGER NOT NULL)"
[projection.on]
FlightDeparted = """
INSERT INTO aircraft VALUES (:stream, 1, 1)
ON CONFLICT (stream) DO UPDATE SET in_air = in_air + 1, moves = moves + 1
"""
FlightLanded = """
INSERT INTO aircraft VALUES (:stream, -1, 1)
ON CONFLICT (stream) DO UPDATE SET in_air = in_air - 1, moves = moves + 1
"""
FlightDiverted = """
INSERT INTO aircraft VALUES (:stream, -1, 1)
ON CONFLICT (stream) DO UPDATE SET in_air = in_air - 1, moves = moves + 1
"""
"#;

/// The webhooks by API and sender, with a sum over what is deep in the payload.
pub const WEBHOOKS: &str = r#"
[[projection]]
name = "apis"
schema = """
CREATE TABLE apis (
    api TEXT PRIMARY KEY, events INTEGER NOT NULL, repositories INTEGER NOT NULL,
    repository_ids INTEGER NOT NULL
);
CREATE TABLE senders (login TEXT PRIMARY KEY)
"""
apply = """
INSERT INTO apis (api, events, repositories, repository_ids)
SELECT metadata->>'api', count(*), count(data->>'$.repository.id'), coalesce(sum(data->>'$.repository.id'), 0)
FROM events WHERE true GROUP BY 1
ON CONFLICT (api) DO UPDATE SET
    events = events + excluded.events, repositories = repositories + excluded.repositories,
    repository_ids = repository_ids + excluded.repository_ids;
INSERT INTO senders (login)
SELECT data->>'$.sender.login' FROM events WHERE data->>'$.sender.login' IS NOT NULL
ON CONFLICT DO NOTHING
"""
"#;

/// The invoice lines, money as text: sales set-based, the rest event by event.
pub const INVOICES: &str = r#"
[[projection]]
name = "invoices"
types = ["LineSold", "LineReturned", "StockWrittenOff"]
schema = """
CREATE TABLE lines (
    type TEXT NOT NULL, country TEXT, stock_code TEXT, customer TEXT, quantity INTEGER NOT NULL,
    unit_price TEXT NOT NULL
)
"""
apply = """
INSERT INTO lines (type, country, stock_code, customer, quantity, unit_price)
SELECT type, data->>'country', data->>'stock_code', data->>'customer_id', data->>'quantity',
       data->>'unit_price'
FROM events ORDER BY position, "offset"
"""
[projection.on]
LineReturned = """
INSERT INTO lines
VALUES (:type, :data.country, :data.stock_code, :data.customer_id, :data.quantity, :data.unit_price)
"""
StockWrittenOff = """
INSERT INTO lines
VALUES (:type, :data.country, :data.stock_code, :data.customer_id, :data.quantity, :data.unit_price)
"""
"#;

/// Reads hostile payloads, set-based.
pub const READS_SET: &str = r#"
[[projection]]
name = "reads_set"
schema = "CREATE TABLE read_set (position INTEGER NOT NULL, value TEXT, text TEXT, hazard TEXT)"
apply = """
INSERT INTO read_set (position, value, text, hazard)
SELECT position, data->>'value', data->>'s', metadata->>'hazard' FROM events ORDER BY position, "offset"
"""
"#;

/// Reads hostile payloads event by event; events whose types are hostile, too, go to `apply`.
pub const READS_EACH: &str = r#"
[[projection]]
name = "reads_each"
schema = "CREATE TABLE read_each (position INTEGER NOT NULL, value TEXT, text TEXT)"
apply = """
INSERT INTO read_each (position, value, text)
SELECT position, data->>'n', NULL FROM events ORDER BY position, "offset"
"""
[projection.on]
JsonValue = "INSERT INTO read_each VALUES (:position, :data.value, :data.value.0)"
NaughtyString = "INSERT INTO read_each VALUES (:position, NULL, :data.s)"
NaughtyStream = "INSERT INTO read_each VALUES (:position, :data.n, :stream)"
BigBody = "INSERT INTO read_each VALUES (:position, :data.body, NULL)"
"#;

/// A statement that is nothing but work, `steps` of it: some 10,000 a millisecond.
#[must_use]
pub fn work(steps: u32) -> String {
    format!(
        "WITH RECURSIVE work (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM work WHERE n < {steps}) \
         SELECT max(n) FROM work"
    )
}

/// A projection with `work` before each of its statements.
#[must_use]
pub fn slow(projection: &str, steps: u32) -> String {
    let work = work(steps);
    ["apply = \"\"\"\n", "FlightDeparted = \"\"\"\n", "FlightLanded = \"\"\"\n", "FlightDiverted = \"\"\"\n"]
        .iter()
        .fold(projection.to_owned(), |text, head| text.replace(head, &format!("{head}{work};\n")))
}
