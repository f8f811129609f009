use highwater_core::error::ErrorKind;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::super::{SqlProjection, SqlProjectionDef};
use super::support::{Running, With, def, rows};

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS delays (origin TEXT PRIMARY KEY, n INTEGER)";

fn set_up(conn: &Connection, schema: &str) -> Result<(), highwater_core::error::Error> {
    SqlProjection::new(def().schema(schema).apply("SELECT 1")).unwrap().setup_on(conn)
}

#[test]
fn a_table_that_holds_rows_already_is_not_added_to() {
    let conn = Connection::open_in_memory().unwrap();
    set_up(&conn, SCHEMA).unwrap();
    set_up(&conn, SCHEMA).unwrap();
    conn.execute("INSERT INTO delays VALUES ('ATL', 1)", []).unwrap();
    let error = set_up(&conn, SCHEMA).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    for part in ["`p`", "delays", "DROP TABLE"] {
        assert!(error.chain().replace("projection p", "`p`").contains(part), "{part} in {}", error.chain());
    }
    set_up(&conn, "CREATE TABLE other (x); INSERT INTO other VALUES (1)").unwrap();
    for emptying in ["DROP TABLE IF EXISTS delays", "DELETE FROM delays"] {
        let seeded = format!("{emptying}; {SCHEMA}; INSERT INTO delays VALUES ('', 0)");
        set_up(&conn, &seeded).unwrap();
        assert_eq!(rows(&conn, "SELECT count(*) FROM delays"), [[Value::Integer(1)]]);
    }
}

#[test]
fn a_schema_that_fails_says_where() {
    let conn = Connection::open_in_memory().unwrap();
    let error = set_up(&conn, "CREATE TABLE a (x);\nCREATE INDEX i ON nosuch (x)").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.chain().contains("schema.sql") && error.chain().contains("line 2"), "{}", error.chain());
}

fn cleared(def: SqlProjectionDef, fill: &str) -> Running {
    let running = Running::on(def, &[]);
    running.conn().execute_batch(fill).unwrap();
    running.conn().execute_batch("BEGIN").unwrap();
    running.projection.clear_on(running.conn()).unwrap();
    running.conn().execute_batch("COMMIT").unwrap();
    running
}

#[test]
fn e_24_a_rebuild_begins_as_a_first_start_does() {
    let schema = "CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, n);
                  CREATE TABLE child (id INTEGER PRIMARY KEY, parent NOT NULL REFERENCES Parent (id),
                                      before REFERENCES child (id));
                  CREATE TABLE kinds (kind TEXT PRIMARY KEY);
                  INSERT INTO kinds VALUES ('a'), ('b')";
    let running = cleared(
        def().schema(schema).apply("SELECT 1"),
        "INSERT INTO parent (n) VALUES (1), (2); INSERT INTO child VALUES (1, 1, NULL), (2, 2, 1);
         INSERT INTO kinds VALUES ('c')",
    );
    assert_eq!((running.count("parent"), running.count("child"), running.count("kinds")), (0, 0, 2));
    running.conn().execute_batch("INSERT INTO parent (n) VALUES (3)").unwrap();
    assert_eq!(running.value("SELECT id FROM parent"), Value::Integer(1));
    let orphan = running.conn().execute("INSERT INTO child (parent) VALUES (99)", []);
    assert!(orphan.is_err(), "foreign keys are checked");
}

#[test]
fn e_24_named_tables_are_emptied_and_no_others() {
    let named = SqlProjectionDef { tables: Some(vec!["a".to_owned()]), ..def() };
    let running = cleared(
        named.schema("CREATE TABLE a (x); CREATE TABLE b (x)").apply("SELECT 1"),
        "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)",
    );
    assert_eq!((running.count("a"), running.count("b")), (0, 1));
}

#[test]
fn e_24_a_rebuild_without_known_tables_is_refused() {
    let refused = |def: SqlProjectionDef| {
        let running = Running::on(def.apply("SELECT 1"), &[]);
        running.projection.clear_on(running.conn()).unwrap_err().kind()
    };
    assert_eq!(refused(def()), ErrorKind::Invalid);
    assert_eq!(
        refused(SqlProjectionDef { tables: Some(Vec::new()), ..def() }.schema(SCHEMA)),
        ErrorKind::Invalid
    );
    assert_eq!(refused(SqlProjectionDef { tables: Some(vec!["gone".into()]), ..def() }), ErrorKind::NotFound);
}

#[test]
fn e_14_what_a_schema_creates_is_known_before_it_runs() {
    let projection = SqlProjection::new(def().schema(SCHEMA).apply("SELECT 1")).unwrap();
    assert_eq!(projection.created_tables(), ["delays"]);
}
