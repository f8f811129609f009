use super::*;

#[test]
fn f_5_an_unknown_parameter_is_named_with_its_place_and_the_nearest_one() {
    for dialect in BOTH {
        let text = "INSERT INTO größe\nVALUES ('é', :streem)";
        let kind = fails_at(text, dialect, (2, 14));
        assert_eq!(
            kind,
            ScanErrorKind::UnknownParameter { name: "streem".to_owned(), nearest: Root::Stream }
        );
        let message = fails(text, dialect).to_string();
        assert!(message.contains(":streem") && message.contains(":stream;"), "{message}");
    }
    for (text, name) in [
        (":Data.x", "Data"),
        (":customer.id", "customer"),
        (":id\u{a0}", "id\u{a0}"),
        (":data$x", "data$x"),
        (":1", "1"),
    ] {
        let kind = fails_at(text, Dialect::Sqlite, (1, 1));
        assert!(
            matches!(kind, ScanErrorKind::UnknownParameter { name: found, .. } if found == name),
            "{text}"
        );
    }
    assert!(fails(":id\u{a0}", Dialect::Sqlite).to_string().contains(r":id\u{a0}"));
}

#[test]
fn placeholders_of_the_database_are_refused() {
    for (text, placeholder) in
        [("? ", "?"), ("?1", "?1"), ("@name", "@name"), ("$name", "$name"), ("$1", "$1")]
    {
        let kind = fails_at(&format!("SELECT\n a, {text}"), Dialect::Sqlite, (2, 5));
        assert_eq!(kind, ScanErrorKind::ForeignParameter { text: placeholder.to_owned() });
    }
    let kind = fails_at("SELECT $12", Dialect::Postgres, (1, 8));
    assert_eq!(kind, ScanErrorKind::ForeignParameter { text: "$12".to_owned() });
    none("SELECT a ? 'b', a @> b, a ?| c, @ -5", Dialect::Postgres);
    none("SELECT a$1, '?1', \"@x\" -- ?", Dialect::Sqlite);
}

#[test]
fn a_dot_must_be_followed_by_a_segment() {
    for dialect in BOTH {
        for (text, before) in [
            (":data.", ":data"),
            (":data. x", ":data"),
            (":data..x", ":data"),
            (":data.'x'", ":data"),
            (":data.*", ":data"),
            (":data.-1", ":data"),
            (":data.@type", ":data"),
            (":metadata.a.b.", ":metadata.a.b"),
            (":data.\"a b\".)", ":data.\"a b\""),
        ] {
            let kind = fails_at(text, dialect, (1, before.len() + 1));
            assert_eq!(kind, ScanErrorKind::MissingSegment { parameter: before.to_owned() }, "{text}");
        }
        for root in Root::ALL.into_iter().filter(|root| !root.has_fields()) {
            let kind = fails_at(&format!("\n:{}.x", root.name()), dialect, (2, 1));
            assert_eq!(kind, ScanErrorKind::NoFields { root });
        }
    }
}

#[test]
fn an_invisible_character_never_becomes_part_of_a_key() {
    for (text, column) in [(":data.dest\u{a0}", 11), (":data.\u{200b}x", 7), (":data.a\u{301}b", 8)] {
        assert!(matches!(fails_at(text, Dialect::Sqlite, (1, column)), ScanErrorKind::OddCharacter { .. }));
    }
    let quoted = sqlite(":data.\"a\u{301}\u{a0}\"");
    assert_eq!(quoted.statements()[0].parameters()[0].path, [key("a\u{301}\u{a0}")]);
}

#[test]
fn a_path_has_a_greatest_length() {
    let longest = format!(":data{}", ".a".repeat(crate::sql::MAX_SEGMENTS));
    assert_eq!(sqlite(&longest).statements()[0].parameters()[0].path.len(), crate::sql::MAX_SEGMENTS);
    let kind = fails_at(&format!("{longest}.a"), Dialect::Sqlite, (1, 1));
    assert_eq!(kind, ScanErrorKind::PathTooLong { root: Root::Data });
}

#[test]
fn what_is_open_at_the_end_is_named_where_it_began() {
    use Unterminated as U;
    let sqlite = Dialect::Sqlite;
    let postgres = Dialect::Postgres;
    for (text, dialects, at, what) in [
        ("SELECT 'é',\n  'x''", &BOTH[..], (2, 3), U::String),
        ("SELECT \"x", &BOTH, (1, 8), U::Identifier),
        ("SELECT\n\n `x``", &[sqlite], (3, 2), U::Identifier),
        ("SELECT [x", &[sqlite], (1, 8), U::Identifier),
        ("SELECT :data.a.\"x\"\"", &BOTH, (1, 16), U::Segment),
        ("SELECT 1 /* x\n", &BOTH, (1, 10), U::Comment),
        ("SELECT 1 /* x /* y */", &[postgres], (1, 10), U::Comment),
        ("/*/", &BOTH, (1, 1), U::Comment),
        ("SELECT E'x\\'", &[postgres], (1, 8), U::String),
        ("SELECT E'x\\", &[postgres], (1, 8), U::String),
        ("SELECT E'x'\n'y\\'", &[postgres], (1, 8), U::String),
        ("SELECT $a$ x $A$", &[postgres], (1, 8), U::DollarQuote("$a$".to_owned())),
        ("SELECT $$", &[postgres], (1, 8), U::DollarQuote("$$".to_owned())),
    ] {
        for dialect in dialects {
            let kind = fails_at(text, *dialect, at);
            assert_eq!(kind, ScanErrorKind::Unterminated(what.clone()), "{text}");
        }
    }
    assert!(fails("SELECT $a$", postgres).to_string().ends_with("close it with $a$"));
}

#[test]
fn a_nul_is_refused_wherever_it_stands() {
    for text in ["SELECT 1 \0", "SELECT ' \0'", "-- xxxxx \0"] {
        assert_eq!(fails_at(text, Dialect::Sqlite, (1, text.find('\0').unwrap() + 1)), ScanErrorKind::Nul);
    }
}

#[test]
fn statements_that_reach_for_the_transaction_are_refused_with_their_place() {
    for keyword in [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "RELEASE x",
        "END",
        "ATTACH 'x' AS y",
        "DETACH y",
        "PRAGMA foreign_keys = off",
        "VACUUM",
        "START TRANSACTION",
        "ABORT",
        "PREPARE TRANSACTION 'x'",
        "begin immediate",
        "Rollback TO x",
        "/* so */ commit",
    ] {
        for dialect in BOTH {
            let text = format!("INSERT INTO t VALUES (1);\n  {keyword};");
            let error = ScannedSql::scan(&text, dialect).unwrap().refuse_control().expect_err(keyword);
            let column = if keyword.starts_with("/*") { 12 } else { 3 };
            assert_eq!((error.line, error.column), (2, column), "{keyword}");
            let word = keyword.trim_start_matches("/* so */ ").split(' ').next().unwrap().to_uppercase();
            assert_eq!(error.kind, ScanErrorKind::Refused { keyword: word });
        }
    }
    for text in [
        "INSERT INTO t(begin, \"commit\") VALUES ('rollback', 1)",
        "SELECT 1 -- ; commit",
        "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; END;",
        "SELECT * FROM pragma_table_info('t')",
        "PREPARE p AS SELECT 1",
    ] {
        assert_eq!(sqlite(text).refuse_control(), Ok(()), "{text}");
    }
}

#[test]
fn parameters_can_be_refused_as_a_whole() {
    let error = sqlite("SELECT 1;\nSELECT x, :data.\"a b\"").refuse_parameters().unwrap_err();
    assert_eq!((error.line, error.column), (2, 11));
    assert_eq!(error.kind, ScanErrorKind::ParameterWithoutEvent { parameter: ":data.\"a b\"".to_owned() });
    assert_eq!(sqlite("SELECT ':id'").refuse_parameters(), Ok(()));
}
