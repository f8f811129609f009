//! The file's text as a tree whose values know their lines.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use highwater_core::sql::line_column;

use super::node::{Node, Origin, Value};
use super::problems::Problems;

/// Parses TOML. Syntax errors go to `problems`, all of them; then nothing is returned, since what is left of
/// a broken document would only raise problems that are not there.
pub(crate) fn parse(text: &str, problems: &mut Problems) -> Option<BTreeMap<String, Node>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut lines = Vec::new();
    for error in &errors {
        let (line, column) = line_column(text, error.span().map_or(0, |span| span.start));
        // One mistake often breaks the parser twice on a line; the first is the one to mend.
        if !lines.contains(&line) {
            lines.push(line);
            problems.add(&Origin::File(line), format!("column {column}: not TOML: {}", error.message()));
        }
    }
    errors.is_empty().then(|| Document { text }.table(document.get_ref()))
}

struct Document<'t> {
    text: &'t str,
}

impl Document<'_> {
    fn table(&self, table: &DeTable<'_>) -> BTreeMap<String, Node> {
        table.iter().map(|(key, value)| (key.get_ref().to_string(), self.node(key, value))).collect()
    }

    fn node(&self, key: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) -> Node {
        let line = self.line(&key.span());
        Node { value: self.value(value), origin: Origin::File(line) }
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string(), self.text_line(&value.span())),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Value::Other("number", number.to_string()), Value::Integer),
            DeValue::Float(number) => Value::Other("number", number.to_string()),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(date) => Value::Other("date", date.to_string()),
            DeValue::Array(array) => Value::Array(
                array
                    .iter()
                    .map(|item| Node {
                        value: self.value(item),
                        origin: Origin::File(self.line(&item.span())),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        line_column(self.text, span.start).0
    }

    /// The line on which a string's text begins: TOML drops a line end right behind the opening `"""`.
    fn text_line(&self, span: &Range<usize>) -> usize {
        let raw = &self.text[span.clone()];
        let opened = raw.strip_prefix("\"\"\"").or_else(|| raw.strip_prefix("'''")).unwrap_or_default();
        let dropped = opened.starts_with('\n') || opened.starts_with("\r\n");
        self.line(span) + usize::from(dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> BTreeMap<String, Node> {
        let mut problems = Problems::new("highwater.toml");
        parse(text, &mut problems).unwrap_or_else(|| panic!("{:?}", problems.into_result::<()>(None)))
    }

    #[test]
    fn values_know_their_lines() {
        let document =
            parsed("a = 1\n\n[log]\nurl = 'x'\n[[projection]]\nname = \"p\"\ntypes = [\n 'A',\n 2.5]\n");
        assert_eq!(document["a"], Node { value: Value::Integer(1), origin: Origin::File(1) });
        let Value::Table(log) = &document["log"].value else { panic!() };
        assert_eq!(log["url"], Node { value: Value::String("x".to_owned(), 4), origin: Origin::File(4) });
        let Value::Array(projections) = &document["projection"].value else { panic!() };
        assert_eq!(projections[0].origin, Origin::File(5));
        let Value::Table(projection) = &projections[0].value else { panic!() };
        let Value::Array(types) = &projection["types"].value else { panic!() };
        assert_eq!(
            types[1],
            Node { value: Value::Other("number", "2.5".to_owned()), origin: Origin::File(9) }
        );
    }

    #[test]
    fn f_5_inline_sql_keeps_the_line_on_which_it_begins() {
        let document =
            parsed("a = \"\"\"\nSELECT 1\n\"\"\"\nb = \"\"\"SELECT 1\n\"\"\"\nc = '''\r\nSELECT'''\n");
        let line = |key: &str| match &document[key].value {
            Value::String(_, line) => *line,
            other => panic!("{other}"),
        };
        assert_eq!((line("a"), line("b"), line("c")), (2, 4, 7));
    }

    #[test]
    fn x_12_all_syntax_errors_are_listed_with_their_lines() {
        let mut problems = Problems::new("highwater.toml");
        assert!(parse("a = \nb = 1\nc = [1,\n", &mut problems).is_none());
        let error = problems.into_result::<()>(None).unwrap_err();
        assert!(error.problems.len() >= 2, "{error}");
        assert!(error.problems[0].starts_with("highwater.toml:1: column"), "{error}");
    }
}
