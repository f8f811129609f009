use super::*;

fn numbered(text: &str) -> String {
    let scanned = sqlite(text);
    scanned.statements()[0].render(|number| format!("?{}", number + 1)).sql().to_owned()
}

#[test]
fn each_value_gets_its_placeholder() {
    assert_eq!(numbered("SELECT :id, ':id', :data.a + :id ;"), "SELECT ?1, ':id', ?2 + ?1");
    assert_eq!(numbered("  SELECT 1"), "SELECT 1");
    assert_eq!(numbered(":id"), "?1");
    assert_eq!(numbered(":id:type"), "?1?2");
}

#[test]
fn each_occurrence_can_have_its_own() {
    let scanned = postgres("SELECT :id, :type, :id");
    let rendered = scanned.statements()[0].render_occurrences(|occurrence| format!("${}", occurrence + 1));
    assert_eq!(rendered.sql(), "SELECT $1, $2, $3");
}

#[test]
fn a_placeholder_never_runs_into_its_neighbour() {
    assert_eq!(numbered(":data.\"a\"2"), "?1 2");
    assert_eq!(numbered(":data.\"a\"x"), "?1 x");
    let scanned = postgres("SELECT 1 AND:id:type");
    let rendered = scanned.statements()[0].render(|number| format!("${}", number + 1));
    assert_eq!(rendered.sql(), "SELECT 1 AND $1 $2");
}

#[test]
fn places_lead_back_to_the_text_as_written() {
    let text = "SELECT 1;\n  INSERT é VALUES (:data.customer.\"a b\", x, :id, y)  ; SELECT 2";
    let scanned = sqlite(text);
    let statement = &scanned.statements()[1];
    let rendered = statement.render(|number| format!("?{}", number + 100));
    assert_eq!(rendered.sql(), "INSERT é VALUES (?100, x, ?101, y)");
    let place = |needle: &str| rendered.original_offset(rendered.sql().find(needle).unwrap());
    for needle in ["INSERT", "é", "VALUES", "x", "y", ")"] {
        assert_eq!(&text[place(needle)..][..needle.len()], needle);
    }
    for offset in 0..5 {
        let placeholder = rendered.sql().find("?100").unwrap() + offset;
        let expected = if offset < 4 { ":data" } else { ", x" };
        assert!(text[rendered.original_offset(placeholder)..].starts_with(expected), "{offset}");
    }
    assert_eq!(place("?101"), text.find(":id").unwrap());
    let end = statement.range().end;
    assert_eq!(rendered.original_offset(rendered.sql().len()), end);
    assert_eq!(rendered.original_offset(usize::MAX), end);
    assert_eq!(scanned.line_column(place("y")), (2, 50));
}

#[test]
fn places_lead_back_across_a_space_that_was_put_in() {
    let scanned = sqlite("SELECT :data.\"a\"2, b");
    let rendered = scanned.statements()[0].render(|_| "?1".to_owned());
    assert_eq!(rendered.sql(), "SELECT ?1 2, b");
    let back: Vec<usize> = (7..14).map(|offset| rendered.original_offset(offset)).collect();
    assert_eq!(back, [7, 7, 16, 16, 17, 18, 19]);
}

#[test]
fn a_range_is_that_of_the_whole_text() {
    let text = "SELECT 1; SELECT :id";
    let range: Range<usize> = sqlite(text).statements()[1].parameters()[0].range.clone();
    assert_eq!(&text[range], ":id");
}
