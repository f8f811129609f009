use super::*;

#[test]
fn f_3_every_root_and_where_it_stands() {
    for dialect in BOTH {
        let text = ":id,:stream,:category,:sequence,:position,:offset,:type,:time,:data,:metadata";
        let scanned = ScannedSql::scan(text, dialect).unwrap();
        let found: Vec<(Root, &str)> = scanned.statements()[0]
            .parameters()
            .iter()
            .map(|parameter| (parameter.root, &text[parameter.range.clone()]))
            .collect();
        let names: Vec<String> = Root::ALL.iter().map(|root| format!(":{}", root.name())).collect();
        assert_eq!(found, Root::ALL.into_iter().zip(names.iter().map(String::as_str)).collect::<Vec<_>>());
    }
}

#[test]
fn f_3_paths_quoted_segments_and_indexes() {
    for dialect in BOTH {
        for (text, path) in [
            (":data.customer.id", vec![key("customer"), key("id")]),
            (":metadata.a_1.B2", vec![key("a_1"), key("B2")]),
            (r#":data."a b".c"#, vec![key("a b"), key("c")]),
            (r#":data."a.b"."x""y""#, vec![key("a.b"), key("x\"y")]),
            (r#":data."""""#, vec![key("\"")]),
            (r#":data."""#, vec![key("")]),
            (r#":data."it's; :nope --""#, vec![key("it's; :nope --")]),
            (":data.0", vec![Segment::Index(0)]),
            (":data.lines.12.sku", vec![key("lines"), Segment::Index(12), key("sku")]),
            (":data.01", vec![key("01")]),
            (r#":data."0""#, vec![key("0")]),
            (":data.größe", vec![key("größe")]),
            (":data.$ref", vec![key("$ref")]),
            (":data.select", vec![key("select")]),
        ] {
            let text = format!("SELECT {text}, 1");
            let scanned = ScannedSql::scan(&text, dialect).unwrap();
            let [found] = scanned.statements()[0].parameters() else { panic!("{text}") };
            assert_eq!(found.path, path, "{text}");
            assert_eq!(found.range, 7..text.len() - 3, "{text}");
        }
    }
}

#[test]
fn a_parameter_ends_where_its_path_ends() {
    for (text, found) in [
        ("(:data.a)", ":data.a"),
        (":data.a->>'b'", ":data.a"),
        (":data.a-b", ":data.a"),
        (":data.a .b", ":data.a"),
        (":data.a||'x'", ":data.a"),
        ("1-:sequence", ":sequence"),
        ("x=:id", ":id"),
        ("AND:id", ":id"),
        (":data.a--b", ":data.a"),
        (":data.a/* b */", ":data.a"),
    ] {
        assert_eq!(parameters(&sqlite(text)), [found], "{text}");
        assert_eq!(parameters(&postgres(text)), [found], "{text}");
    }
    assert_eq!(parameters(&postgres(":data.n::int + :data.m::numeric(10,2)")), [":data.n", ":data.m"]);
    assert_eq!(parameters(&sqlite(":id:type")), [":id", ":type"]);
}

#[test]
fn one_value_has_one_number_in_each_statement() {
    let scanned = sqlite(r#"SELECT :id, :data.a, :id, :metadata.a, :data."a"; SELECT :data.a"#);
    let [first, second] = scanned.statements() else { panic!("two statements") };
    assert_eq!(first.numbers(), [0, 1, 0, 2, 1]);
    assert_eq!(
        first.values().map(Parameter::to_string).collect::<Vec<_>>(),
        [":id", ":data.a", ":metadata.a"]
    );
    assert_eq!(second.numbers(), [0]);
}
