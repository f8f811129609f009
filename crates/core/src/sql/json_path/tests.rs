use super::*;

fn path(text: &str) -> Vec<Segment> {
    text.split('.').filter(|segment| !segment.is_empty()).map(Segment::unquoted).collect()
}

fn paths(texts: &[&str]) -> PathSet {
    let paths: Vec<_> = texts.iter().map(|text| path(text)).collect();
    PathSet::new(paths.iter().map(Vec::as_slice))
}

fn extract(texts: &[&str], json: &str) -> Vec<SqlValue> {
    paths(texts).extract(json.as_bytes()).unwrap()
}

fn one(text: &str, json: &str) -> SqlValue {
    extract(&[text], json).remove(0)
}

fn fails(text: &str, json: &[u8]) -> JsonPathError {
    paths(&[text]).extract(json).unwrap_err()
}

fn number(text: &str) -> SqlValue {
    SqlValue::Number(text.to_owned())
}

fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.to_owned())
}

fn json(text: &str) -> SqlValue {
    SqlValue::Json(text.to_owned())
}

#[test]
fn f_3_every_kind_of_value_in_one_pass() {
    let document = r#" {"s":"a\nb","i":-7,"n":14.50,"t":true,"f":false,"z":null,
        "o": { "x" : [1, {"y": "deep"}] },"a":[10,20,30]} "#;
    assert_eq!(
        extract(
            &["s", "i", "n", "t", "f", "z", "o", "o.x.1.y", "a.1", "a.3", "none", "i.x", "a.k"],
            document
        ),
        [
            text("a\nb"),
            SqlValue::Integer(-7),
            number("14.50"),
            SqlValue::Bool(true),
            SqlValue::Bool(false),
            SqlValue::Null,
            json(r#"{ "x" : [1, {"y": "deep"}] }"#),
            text("deep"),
            SqlValue::Integer(20),
            SqlValue::Null,
            SqlValue::Null,
            SqlValue::Null,
            SqlValue::Null,
        ]
    );
}

#[test]
fn f_3_numbers_keep_their_text() {
    for raw in ["-0", "1E2", "1e400", "18446744073709551615", "9223372036854775808"] {
        assert_eq!(one("n", &format!(r#"{{"n":{raw}}}"#)), number(raw));
        assert_eq!(one("n.0", &format!(r#"{{"n":[ {raw} ]}}"#)), number(raw));
    }
    assert_eq!(one("n", r#"{"n":-9223372036854775808}"#), SqlValue::Integer(i64::MIN));
}

#[test]
fn values_come_in_the_order_of_the_paths_and_a_path_may_come_twice() {
    assert_eq!(extract(&["b", "a", "b"], r#"{"a":1,"b":"x"}"#), [text("x"), SqlValue::Integer(1), text("x")]);
}

#[test]
fn f_6_an_empty_set_never_touches_the_payload() {
    assert!(paths(&[]).is_empty());
    assert_eq!(paths(&[]).extract(b"\xff not json"), Ok(Vec::new()));
}

#[test]
fn the_empty_path_is_the_document() {
    assert_eq!(extract(&["", "a"], "\t{\"a\":1}\n"), [json("{\"a\":1}"), SqlValue::Integer(1)]);
    assert_eq!(extract(&["", "a"], " 1e400 "), [number("1e400"), SqlValue::Null]);
}

#[test]
fn a_segment_of_digits_is_an_index_and_a_key() {
    assert_eq!(one("a.0", r#"{"a":["x"]}"#), text("x"));
    assert_eq!(one("a.0", r#"{"a":{"0":"x"}}"#), text("x"));
    assert_eq!(one("0", r#"["x"]"#), text("x"));
    let quoted = [Segment::Key("0".to_owned())];
    assert_eq!(PathSet::new([&quoted[..]]).extract(b"[7]"), Ok(vec![SqlValue::Integer(7)]));
    assert_eq!(one("a.00", r#"{"a":["x"]}"#), SqlValue::Null);
    assert_eq!(one("a.00", r#"{"a":{"00":"x"}}"#), text("x"));
    let beyond = usize::MAX.to_string();
    assert_eq!(one(&beyond, "[1,2,3]"), SqlValue::Null);
    assert_eq!(one("99999999999999999999999", r#"{"99999999999999999999999":1}"#), SqlValue::Integer(1));
}

#[test]
fn the_last_of_equal_keys_counts_with_everything_below_it() {
    assert_eq!(one("a", r#"{"a":1,"a":2}"#), SqlValue::Integer(2));
    assert_eq!(one("a.b", r#"{"a":1,"a":{"b":2}}"#), SqlValue::Integer(2));
    assert_eq!(one("a.b", r#"{"a":{"b":2},"a":1}"#), SqlValue::Null);
    assert_eq!(one("a.b", r#"{"a":{"b":2},"a":{"c":1}}"#), SqlValue::Null);
    assert_eq!(extract(&["a", "a.b"], r#"{"a":{"b":2},"a":[]}"#), [json("[]"), SqlValue::Null]);
    // the same in the careful walk, which the number out of range forces
    assert_eq!(
        extract(&["a.b", "c.d"], r#"{"a":{"b":2},"a":1,"c":1e400}"#),
        [SqlValue::Null, SqlValue::Null]
    );
}

#[test]
fn keys_match_after_unescaping() {
    assert_eq!(one("é", r#"{"\u00e9":1}"#), SqlValue::Integer(1));
    assert_eq!(one("é", r#"{"é":1}"#), SqlValue::Integer(1));
    let odd = [Segment::Key("a\"\\\n😀\u{7f}".to_owned())];
    let document = r#"{"a\"\\\n\ud83d\ude00\u007f":1}"#;
    assert_eq!(PathSet::new([&odd[..]]).extract(document.as_bytes()), Ok(vec![SqlValue::Integer(1)]));
    let long = "k".repeat(10_000);
    assert_eq!(one(&long, &format!(r#"{{"{}\u006b":1}}"#, &long[1..])), SqlValue::Integer(1));
    assert_eq!(
        PathSet::new([&[Segment::Key(String::new())][..]]).extract(br#"{"":1}"#),
        Ok(vec![SqlValue::Integer(1)])
    );
}

#[test]
fn f_6_what_no_path_wants_may_be_as_odd_as_json_allows() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for odd in [r#""\ud800""#, "1e400", "123456789012345678901234567890", deep.as_str(), r#""\u0000""#] {
        let document = format!(r#"{{"odd":{odd},"a":1,"after":{odd}}}"#);
        assert_eq!(one("a", &document), SqlValue::Integer(1), "{odd}");
        // a path that goes through the odd value finds nothing and is no error
        assert_eq!(extract(&["odd.x", "a"], &document), [SqlValue::Null, SqlValue::Integer(1)], "{odd}");
        assert_eq!(extract(&["after.x.y", "a"], &document)[1], SqlValue::Integer(1), "{odd}");
    }
    assert_eq!(one("a", r#"{"\ud800":1,"a":2,"\udc00x":{}}"#), SqlValue::Integer(2));
    assert_eq!(one("a", r#"{"b\u0001":1,"a":2}"#), SqlValue::Integer(2));
    assert_eq!(one("x", r#""\ud800""#), SqlValue::Null);
}

#[test]
fn documents_and_paths_may_be_deep() {
    let document = format!("{}7{}", r#"{"a":"#.repeat(500), "}".repeat(500));
    let names = vec!["a"; super::super::MAX_SEGMENTS];
    assert!(matches!(one(&names.join("."), &document), SqlValue::Json(_)));
    let names = vec!["a"; 500];
    assert_eq!(one(&names.join("."), &document), SqlValue::Integer(7));
    let arrays = format!("{}7{}", "[".repeat(500), "]".repeat(500));
    assert_eq!(one(&vec!["0"; 500].join("."), &arrays), SqlValue::Integer(7));
    assert_eq!(one("0", &arrays), json(&arrays[1..arrays.len() - 1]));
}

#[test]
fn a_half_of_a_surrogate_pair_in_a_wanted_string_names_the_path() {
    let error = fails("customer.name", br#"{"customer":{"name":"x\ud800y"}}"#);
    assert!(matches!(&error, JsonPathError::NotText { path, .. } if path == "customer.name"), "{error}");
    assert!(error.to_string().contains("customer.name"), "{error}");
    // overwritten by a later key, it is not wanted
    assert_eq!(one("a", r#"{"a":"\ud800","a":1}"#), SqlValue::Integer(1));
}

#[test]
fn what_is_not_json_says_where() {
    for (document, at) in [
        (r#"{"a":1"#, (1, 6)),
        (r#"{"a":1} x"#, (1, 9)),
        ("{\"a\":1}\n{}", (2, 1)),
        (r#"{"é":"€", a:1}"#, (1, 11)),
        ("{\"a\":1,\n \"b\":01}", (2, 7)),
        (r#"{"a":1,}"#, (1, 8)),
        ("{\"k\n\":1,\"a\":2}", (1, 3)),
        ("{\"b\":\"x\ty\",\"a\":2}", (1, 7)),
        (r#"{"b":nul,"a":2}"#, (1, 9)),
        ("\u{feff}{\"a\":2}", (1, 1)),
    ] {
        match fails("a", document.as_bytes()) {
            JsonPathError::NotJson { line, column, reason } => {
                assert_eq!((line, column), at, "{document}: {reason}");
                assert!(!reason.is_empty() && !reason.contains("at line"), "{reason}");
            }
            other => panic!("{document}: {other}"),
        }
    }
    for document in [
        "",
        " ",
        "x",
        "{",
        "[1,",
        "'a'",
        r#"{"a" 1}"#,
        r#"{"a":+1}"#,
        r#"{"a":1.}"#,
        r#"{"a":NaN}"#,
        r#"{"b":"\x"}"#,
    ] {
        assert!(matches!(fails("a", document.as_bytes()), JsonPathError::NotJson { .. }), "{document}");
        assert!(matches!(fails("", document.as_bytes()), JsonPathError::NotJson { .. }), "{document}");
    }
}

#[test]
fn what_is_not_utf8_says_where_also_in_what_is_skipped() {
    let mut document = "{\"a\":1,\n\"é\":\"".as_bytes().to_vec();
    document.extend(b"\xff\"}");
    assert_eq!(fails("a", &document), JsonPathError::NotUtf8 { line: 2, column: 6 });
    assert!(fails("a", &document).to_string().contains("line 2, column 6"));
}
