use super::*;

#[test]
fn f_3_strings_and_quoted_identifiers() {
    for dialect in BOTH {
        for text in [
            "SELECT ':nope'",
            "SELECT 'it''s :nope; '",
            "SELECT ''':nope'''",
            r#"SELECT ":nope" "a"":nope;""#,
            "SELECT x':nope'",
            "SELECT 'line\nbreak :nope'",
            "SELECT '-- :nope', '/*'",
        ] {
            none(text, dialect);
        }
    }
    // A backslash is an ordinary character, so the string ends at the quote after it.
    assert_eq!(parameters(&sqlite(r"SELECT '\', :id")), [":id"]);
    assert_eq!(parameters(&postgres(r"SELECT '\', :id")), [":id"]);
}

#[test]
fn identifiers_in_backticks_and_brackets_are_sqlites() {
    none("SELECT `:nope``;:nope`, [:nope;'\"]", Dialect::Sqlite);
    let kind = fails_at("SELECT `:nope`", Dialect::Postgres, (1, 9));
    assert!(matches!(kind, ScanErrorKind::UnknownParameter { name, .. } if name == "nope"));
    assert_eq!(parameters(&postgres("SELECT a[:id]")), [":id"]);
    none("SELECT [a:id]", Dialect::Sqlite);
}

#[test]
fn f_3_escape_strings_are_postgresqls() {
    for text in [
        r"SELECT E'\' :nope'",
        r"SELECT e'\\', 'x', E'a''b\' :nope'",
        r"SELECT E'\€\' :nope'",
        "SELECT E'a'\n  'b\\' :nope'",
        "SELECT E'a' -- why\n\t'b\\' :nope'",
    ] {
        none(text, Dialect::Postgres);
    }
    // Without a line break it is another string, and after another word an ordinary one.
    assert_eq!(parameters(&postgres(r"SELECT E'a' 'b\', :id")), [":id"]);
    assert_eq!(parameters(&postgres(r"SELECT name'b\', :id")), [":id"]);
    assert_eq!(parameters(&sqlite(r"SELECT E'\', :id")), [":id"]);
}

#[test]
fn f_3_dollar_quotes_are_postgresqls() {
    for text in [
        "SELECT $$ :nope ; ' $$",
        "SELECT $tag$ :nope $$ $tagg$ $tag$",
        "SELECT $größe$ :nope $größe$",
        "DO $body$ BEGIN x := ':nope'; END $body$",
        "SELECT a$b$c",
    ] {
        none(text, Dialect::Postgres);
    }
    assert_eq!(parameters(&postgres("SELECT a$$, :id")), [":id"]);
    assert_eq!(parameters(&postgres("SELECT $a $, :id")), [":id"]);
    assert_eq!(parameters(&postgres("SELECT $A$ $a$ $A$, :id")), [":id"]);
}

#[test]
fn f_3_comments_which_nest_in_postgresql() {
    for dialect in BOTH {
        none("SELECT 1 -- :nope ' ; \" /*\n, 2 /* :nope ' -- */", dialect);
        none("-- :nope", dialect);
        assert_eq!(parameters(&ScannedSql::scan("SELECT 1 -- x\n, :id", dialect).unwrap()), [":id"]);
        assert_eq!(
            parameters(&ScannedSql::scan("SELECT 4/ *:id - -:type", dialect).unwrap()),
            [":id", ":type"]
        );
    }
    none("SELECT 1 /* a /* :nope */ :nope */", Dialect::Postgres);
    assert_eq!(parameters(&sqlite("SELECT 1 /* a /* b */ , :id")), [":id"]);
    assert_eq!(parameters(&postgres("SELECT 1 -- x\r, :id")), [":id"]);
    none("SELECT 1 -- x\r, :nope", Dialect::Sqlite);
}

#[test]
fn f_3_casts_assignments_and_lone_colons() {
    for dialect in BOTH {
        none("SELECT x::nope, 'a'::text, f(a := 1), :: int", dialect);
    }
    none("SELECT a [ 1 : 2 ], a[:]", Dialect::Postgres);
    assert_eq!(parameters(&postgres("SELECT x::int[] , f(a:=:id), (:data.n)::int")), [":id", ":data.n"]);
}

#[test]
fn f_3_array_slices_are_postgresqls() {
    for text in [
        "SELECT a[1:2]",
        "SELECT a[1:2][3:4], b[:5], c[6:]",
        "SELECT a[:n], a[lo:hi], a[f(1):n], (a)[2:n]",
        "SELECT a[b[1:n]:m]",
        "SELECT ARRAY[a[1:n], a[:n]]",
        "SELECT a[1::int:n::int]",
        "SELECT a[1: id]",
    ] {
        none(text, Dialect::Postgres);
    }
    assert_eq!(
        parameters(&postgres("SELECT a[:sequence], a[1:data.n], a[1: :offset]")),
        [":sequence", ":data.n", ":offset"]
    );
    assert_eq!(
        parameters(&postgres("SELECT ARRAY[:id, :stream], ARRAY[[:type]]")),
        [":id", ":stream", ":type"]
    );
}

#[test]
fn a_colon_that_parts_nothing_is_a_parameter_in_postgresql() {
    for (text, column) in [
        ("SELECT ARRAY[:nope]", 14),
        ("SELECT array [1, :nope]", 18),
        ("SELECT ARRAY[[1], [:nope]]", 20),
        ("SELECT a[f(:nope)]", 12),
        ("SELECT a[1:2], :nope", 16),
        ("SELECT a[1:2] ] :nope", 17),
    ] {
        let error = fails(text, Dialect::Postgres);
        assert_eq!((error.line, error.column), (1, column), "{text}");
    }
    let kind = fails_at("SELECT x, :1", Dialect::Postgres, (1, 11));
    assert!(matches!(kind, ScanErrorKind::UnknownParameter { name, .. } if name == "1"));
}
