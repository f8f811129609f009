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

/// The recorder in PostgreSQL's SQL.
pub const PG_RECORDER: &str = r#"
[[projection]]
name = "recorder"
schema = """
CREATE TABLE handled (
    nr bigserial PRIMARY KEY, id text NOT NULL, stream text NOT NULL, sequence bigint NOT NULL, type text NOT NULL,
    position bigint NOT NULL, "offset" int NOT NULL
);
CREATE TABLE stream_events (stream text PRIMARY KEY, events bigint NOT NULL)
"""
apply = """
INSERT INTO handled (id, stream, sequence, type, position, "offset")
SELECT id::text, stream, sequence, type, position, "offset" FROM events ORDER BY position, "offset";
INSERT INTO stream_events (stream, events)
SELECT stream, count(*) FROM events GROUP BY stream
ON CONFLICT (stream) DO UPDATE SET events = stream_events.events + excluded.events
"""
"#;

/// The flights by airport: set-based, on any database.
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
SELECT data->>'origin', count(*),
       sum(CASE WHEN CAST(data->>'dep_delay_minutes' AS INTEGER) > 60 THEN 1 ELSE 0 END),
       sum(CAST(data->>'dep_delay_minutes' AS INTEGER))
FROM events WHERE type = 'FlightDeparted' GROUP BY 1
ON CONFLICT (origin) DO UPDATE SET
    departures = departures.departures + excluded.departures, late = departures.late + excluded.late,
    delay = departures.delay + excluded.delay;
INSERT INTO landings (dest, landings, delay, air_time, distance)
SELECT data->>'dest', count(*), coalesce(sum(CAST(data->>'arr_delay_minutes' AS INTEGER)), 0),
       coalesce(sum(CAST(data->>'air_time_minutes' AS INTEGER)), 0),
       sum(CAST(data->>'distance_miles' AS INTEGER))
FROM events WHERE type = 'FlightLanded' GROUP BY 1
ON CONFLICT (dest) DO UPDATE SET
    landings = landings.landings + excluded.landings, delay = landings.delay + excluded.delay,
    air_time = landings.air_time + excluded.air_time, distance = landings.distance + excluded.distance
"""
"#;

/// The aircraft in the air: event by event, in order, on any database.
pub const AIRCRAFT: &str = r#"
[[projection]]
name = "aircraft"
schema = "CREATE TABLE aircraft (stream TEXT PRIMARY KEY, in_air INTEGER NOT NULL, moves INTEGER NOT NULL)"
[projection.on]
FlightDeparted = """
INSERT INTO aircraft VALUES (:stream, 1, 1)
ON CONFLICT (stream) DO UPDATE SET in_air = aircraft.in_air + 1, moves = aircraft.moves + 1
"""
FlightLanded = """
INSERT INTO aircraft VALUES (:stream, -1, 1)
ON CONFLICT (stream) DO UPDATE SET in_air = aircraft.in_air - 1, moves = aircraft.moves + 1
"""
FlightDiverted = """
INSERT INTO aircraft VALUES (:stream, -1, 1)
ON CONFLICT (stream) DO UPDATE SET in_air = aircraft.in_air - 1, moves = aircraft.moves + 1
"""
"#;

/// The webhooks by API and sender, with a sum over what is deep in the payload; on any database.
pub const WEBHOOKS: &str = r#"
[[projection]]
name = "apis"
schema = """
CREATE TABLE apis (
    api TEXT PRIMARY KEY, events INTEGER NOT NULL, repositories INTEGER NOT NULL,
    repository_ids BIGINT NOT NULL
);
CREATE TABLE senders (login TEXT PRIMARY KEY)
"""
apply = """
INSERT INTO apis (api, events, repositories, repository_ids)
SELECT metadata->>'api', count(*), count(data->'repository'->>'id'),
       coalesce(sum(CAST(data->'repository'->>'id' AS BIGINT)), 0)
FROM events WHERE true GROUP BY 1
ON CONFLICT (api) DO UPDATE SET
    events = apis.events + excluded.events, repositories = apis.repositories + excluded.repositories,
    repository_ids = apis.repository_ids + excluded.repository_ids;
INSERT INTO senders (login)
SELECT DISTINCT data->'sender'->>'login' FROM events WHERE data->'sender'->>'login' IS NOT NULL
ON CONFLICT DO NOTHING
"""
"#;

/// The invoice lines, money as text: sales set-based, the rest event by event; on any database.
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
SELECT type, data->>'country', data->>'stock_code', data->>'customer_id',
       CAST(data->>'quantity' AS INTEGER), data->>'unit_price'
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

/// Reads hostile payloads, set-based; on any database.
pub const READS_SET: &str = r#"
[[projection]]
name = "reads_set"
schema = "CREATE TABLE read_set (position INTEGER NOT NULL, value TEXT, text TEXT, hazard TEXT)"
apply = """
INSERT INTO read_set (position, value, text, hazard)
SELECT position, data->>'value', data->>'s', metadata->>'hazard' FROM events ORDER BY position, "offset"
"""
"#;

/// Reads hostile payloads event by event; events whose types are hostile, too, go to `apply`. On any database.
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
    beginning_with(projection, &work(steps))
}

/// A projection with this statement before each of its own: before each batch of `apply`, and before each event of
/// the flights in `on`.
#[must_use]
pub fn beginning_with(projection: &str, statement: &str) -> String {
    ["apply = \"\"\"\n", "FlightDeparted = \"\"\"\n", "FlightLanded = \"\"\"\n", "FlightDiverted = \"\"\"\n"]
        .iter()
        .fold(projection.to_owned(), |text, head| text.replace(head, &format!("{head}{statement};\n")))
}
