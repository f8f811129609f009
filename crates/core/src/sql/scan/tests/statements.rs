use super::*;

#[test]
fn statements_end_at_semicolons_and_empty_ones_are_dropped() {
    for dialect in BOTH {
        let text = "\u{feff} ;; SELECT 1 ; -- nothing;\n SELECT ';' /* ; */ , 2 -- end\n;/**/; SELECT 3 -- ;";
        let scanned = ScannedSql::scan(text, dialect).unwrap();
        assert_eq!(statements(&scanned), ["SELECT 1", "SELECT ';' /* ; */ , 2", "SELECT 3"]);
        for statement in scanned.statements() {
            assert_eq!(&text[statement.range()], statement.sql());
        }
        for nothing in ["", ";", " \n", "-- x", "/* x */;", "\u{feff}"] {
            assert_eq!(ScannedSql::scan(nothing, dialect).unwrap().statements(), []);
        }
    }
    assert_eq!(statements(&postgres("SELECT $$a;b$$; SELECT E'\\';'")), ["SELECT $$a;b$$", "SELECT E'\\';'"]);
    assert_eq!(statements(&sqlite("SELECT [a;b]; SELECT `;`")), ["SELECT [a;b]", "SELECT `;`"]);
}

#[test]
fn the_commands_of_a_rule_stay_together() {
    let rule = "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)";
    assert_eq!(statements(&postgres(&format!("{rule}; SELECT 1"))), [rule, "SELECT 1"]);
}

#[test]
fn the_body_of_a_sqlite_trigger_is_not_split() {
    for trigger in [
        "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; END",
        "create temp trigger x after insert on t begin insert into u values (1);update u set a = 2; end",
        "CREATE TEMPORARY TRIGGER IF NOT EXISTS x AFTER UPDATE OF a ON t FOR EACH ROW BEGIN SELECT 1; END",
        "CREATE TRIGGER x AFTER INSERT ON t WHEN CASE WHEN new.a THEN 1 ELSE 0 END BEGIN \
         UPDATE u SET a = CASE b WHEN 1 THEN 2 END; SELECT CASE WHEN 1 THEN CASE 2 WHEN 2 THEN 3 END END; \
         END",
        "CREATE TRIGGER x AFTER INSERT ON t WHEN new.begin BEGIN SELECT new.a AS end; SELECT end FROM u; END",
        "CREATE /* a */ TRIGGER -- b\n x AFTER INSERT ON t BEGIN SELECT 1; -- ; END;\n END",
        "CREATE TRIGGER \"begin\" AFTER INSERT ON t BEGIN SELECT ';END;'; END",
    ] {
        let scanned = sqlite(&format!("SELECT 1;\n{trigger} ; SELECT 2"));
        assert_eq!(statements(&scanned), ["SELECT 1", trigger, "SELECT 2"]);
        assert_eq!(statements(&sqlite(trigger)), [trigger]);
        assert_eq!(sqlite(trigger).statements()[0].kind(), StatementKind::Ddl);
    }
    // The same words elsewhere begin nothing.
    assert_eq!(statements(&sqlite("CREATE TABLE trigger (begin); SELECT 1")).len(), 2);
    assert_eq!(statements(&sqlite("DROP TRIGGER x; SELECT begin; SELECT 1")).len(), 3);
    assert_eq!(statements(&sqlite("CREATE TRIGGER x; SELECT 1")).len(), 2);
}

#[test]
fn a_body_that_does_not_end_is_named_where_it_began() {
    let text =
        "SELECT 1;\nCREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; SELECT CASE 1 WHEN 1 THEN 2 END;";
    let kind = fails_at(text, Dialect::Sqlite, (2, 36));
    assert_eq!(kind, ScanErrorKind::Unterminated(Unterminated::Body));
    let text = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2";
    let kind = fails_at(text, Dialect::Postgres, (1, 33));
    assert_eq!(kind, ScanErrorKind::Unterminated(Unterminated::Body));
    // Where a bracket is open the database has the better answer.
    assert_eq!(statements(&sqlite("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT (1; END;")).len(), 1);
}

#[test]
fn postgresql_triggers_and_routines() {
    let trigger = "CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()";
    assert_eq!(statements(&postgres(&format!("{trigger}; SELECT 1"))), [trigger, "SELECT 1"]);
    for routine in [
        "CREATE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT CASE a WHEN 1 THEN 2 END; SELECT 3; END",
        "create or replace procedure p() language sql begin atomic delete from t; end",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$",
        "CREATE PROCEDURE p() BEGIN ATOMIC END",
        "CREATE FUNCTION begin() RETURNS int RETURN 1",
    ] {
        assert_eq!(statements(&postgres(&format!("{routine}; SELECT 1"))), [routine, "SELECT 1"]);
    }
}

#[test]
fn what_a_statement_is() {
    use StatementKind::{Control, Ddl, Dml, Other};
    for (text, first, verb, kind) in [
        ("create table t (a)", "CREATE", "CREATE", Ddl),
        ("ALTER TABLE t ADD b", "ALTER", "ALTER", Ddl),
        ("Drop Index i", "DROP", "DROP", Ddl),
        ("COMMENT ON TABLE t IS 'x'", "COMMENT", "COMMENT", Ddl),
        ("INSERT INTO t VALUES (1)", "INSERT", "INSERT", Dml),
        ("REPLACE INTO t VALUES (1)", "REPLACE", "REPLACE", Dml),
        ("UPDATE t SET a = 1", "UPDATE", "UPDATE", Dml),
        ("DELETE FROM t", "DELETE", "DELETE", Dml),
        ("TRUNCATE t", "TRUNCATE", "TRUNCATE", Dml),
        ("( SELECT 1) UNION SELECT 2", "SELECT", "SELECT", Dml),
        ("((SELECT 1))", "SELECT", "SELECT", Dml),
        (
            "WITH a AS (SELECT 1), b AS (DELETE FROM t RETURNING *) INSERT INTO t SELECT 1",
            "WITH",
            "INSERT",
            Dml,
        ),
        ("WITH RECURSIVE a(x) AS NOT MATERIALIZED (VALUES (1)) UPDATE t SET a = 1", "WITH", "UPDATE", Dml),
        ("with a as (insert into t values (1)) select 1", "WITH", "SELECT", Dml),
        ("MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE", "MERGE", "MERGE", Dml),
        ("savepoint x", "SAVEPOINT", "SAVEPOINT", Control),
        ("EXPLAIN SELECT 1", "EXPLAIN", "EXPLAIN", Other),
        ("ANALYZE", "ANALYZE", "ANALYZE", Other),
        ("DO $$ x $$", "DO", "DO", Other),
        ("+ SELECT", "", "", Other),
        (":id SELECT", "", "", Other),
    ] {
        let scanned = postgres(text);
        let [statement] = scanned.statements() else { panic!("{text}") };
        assert_eq!(
            (statement.first_keyword(), statement.verb(), statement.kind()),
            (first, verb, kind),
            "{text}"
        );
    }
}

/// Each line was tried on SQLite: the hint is given exactly where it stops near DO.
#[test]
fn f_5_the_upsert_that_sqlite_misreads() {
    for (misread, text) in [
        (true, "insert into t select a,b from s on conflict(a) do nothing"),
        (true, "INSERT INTO t SELECT a,b FROM s ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE true"),
        (true, "replace into t select * from s on conflict do nothing"),
        (true, "insert into t select s.a,s.b from s join u on s.a=u.a, s as x on conflict(a) do nothing"),
        (true, "insert into t select s.a,s.b from s join u on conflict(a) do nothing"),
        (true, "insert into t select * from s natural join u on conflict do nothing"),
        (
            true,
            "insert into t select s.a,s.b from s where true union select a,b from u on conflict do nothing",
        ),
        (true, "insert into t select s.a,s.b from (select * from s where true) s on conflict(a) do nothing"),
        (true, "with x as (select * from s where true) insert into t select * from x on conflict do nothing"),
        (true, "insert into t select * from s not indexed on conflict do nothing"),
        (true, "insert into t select * from json_each('[]') on conflict do nothing"),
        (true, "insert into t select * from s on conflict do nothing returning *"),
        (true, "insert into t select :id, data->>'x' from events on conflict do nothing"),
        (false, "insert into t select a,b from s where true on conflict(a) do nothing"),
        (false, "insert into t select a,b from s group by a on conflict(a) do nothing"),
        (false, "insert into t select a,b from s order by a on conflict(a) do nothing"),
        (false, "insert into t select a,b from s limit 1 on conflict(a) do nothing"),
        (false, "insert into t select * from s window w as (order by a) on conflict do nothing"),
        (false, "insert into t select 1,2 on conflict(a) do nothing"),
        (false, "insert into t select s.a,s.b from s join u on s.a=u.a on conflict(a) do nothing"),
        (false, "insert into t select s.a,s.b from s join u on (s.a=u.a) on conflict(a) do nothing"),
        (false, "insert into t select s.a,s.b from s join u using(a) on conflict(a) do nothing"),
        (
            false,
            "insert into t select a,b from s union select a,b from u where true on conflict(a) do nothing",
        ),
        (false, "insert into t select a,b from s union values(1,2) on conflict(a) do nothing"),
        (false, "insert into t (a) values (1) on conflict do nothing"),
        (false, "insert into t select a,b from s"),
        (false, "select * from s join u on s.a = u.a"),
        (false, "update t set a = (select a from s)"),
    ] {
        assert_eq!(sqlite(text).statements()[0].needs_where_true_hint(), misread, "{text}");
        assert!(!postgres(text).statements()[0].needs_where_true_hint(), "{text}");
    }
}
