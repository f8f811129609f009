//! Where events come from, and how SQL says each of their fields.

use highwater_core::model::{Filter, Pattern};
use highwater_core::sql::{Root, Segment, fingerprint};

use crate::filter_sql::filter_text;
use crate::schema::{Schema, quote_literal};

/// Where the events of a slice are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// In the log, in this schema.
    Log,
    /// In `pg_temp.hw_slice`, handed over.
    Slice {
        /// They come from the log in this schema, too, whose offsets are `int`.
        of_log: bool,
    },
}

impl Source {
    /// The field of the row `row` (an alias or a record), lazily cast where it travelled as something else.
    pub(super) fn field(self, row: &str, root: Root) -> String {
        let plain = format!("{row}.{}", column(root));
        let Self::Slice { of_log } = self else { return plain };
        let far = |part: u8, of_type: &str| {
            format!("coalesce({plain}, split_part({row}.far, '|', {part})::{of_type})")
        };
        match root {
            Root::Position => far(1, "bigint"),
            Root::Offset if of_log => format!("{plain}::int"),
            Root::Offset => far(2, "bigint"),
            Root::Sequence => far(3, "bigint"),
            Root::Time => far(4, "timestamptz"),
            Root::Data | Root::Metadata => {
                let raw = format!("{row}.raw_{}", root.name());
                format!("CASE WHEN {raw} IS NULL THEN {plain} ELSE convert_from({raw}, 'UTF8')::json END")
            }
            Root::Id | Root::Stream | Root::Category | Root::Type => plain,
        }
    }

    /// The type of the field.
    pub(super) fn type_of(self, root: Root) -> &'static str {
        match root {
            Root::Id => "uuid",
            Root::Stream | Root::Category | Root::Type => "text",
            Root::Offset if self != (Self::Slice { of_log: false }) => "int",
            Root::Sequence | Root::Position | Root::Offset => "bigint",
            Root::Time => "timestamptz",
            Root::Data | Root::Metadata => "json",
        }
    }

    /// The columns that [`Source::field`] reads for these roots, of the alias `e`.
    pub(super) fn columns(self, roots: &[Root]) -> String {
        let mut columns = Vec::new();
        for root in roots {
            columns.push(format!("e.{}", column(*root)));
            if matches!(self, Self::Slice { .. }) && root.has_fields() {
                columns.push(format!("e.raw_{}", root.name()));
            }
        }
        if matches!(self, Self::Slice { .. }) {
            columns.push("e.far".to_owned());
        }
        columns.join(", ")
    }
}

/// The columns of the relation `events`, in their order (F-2).
const COLUMNS: [Root; 10] = [
    Root::Position,
    Root::Offset,
    Root::Id,
    Root::Stream,
    Root::Category,
    Root::Sequence,
    Root::Type,
    Root::Time,
    Root::Data,
    Root::Metadata,
];

fn column(root: Root) -> &'static str {
    match root {
        // A keyword.
        Root::Offset => "\"offset\"",
        other => other.name(),
    }
}

/// What the value of a path in the document `document` is as text: NULL where it leads nowhere or to null.
pub(super) fn extract(document: &str, path: &[Segment]) -> String {
    let Some((last, before)) = path.split_last() else { return format!("({document})") };
    if !path.iter().any(misread) {
        let steps: Vec<String> = path.iter().map(|segment| quote_literal(&segment.text())).collect();
        return format!("(({document}) #>> ARRAY[{}])", steps.join(", "));
    }
    let mut at = format!("({document})");
    for segment in before {
        at = format!("({at} {})", step(segment, "->", "#>"));
    }
    format!("({at} {})", step(last, "->>", "#>>"))
}

fn step(segment: &Segment, key: &str, path: &str) -> String {
    let text = quote_literal(&segment.text());
    if misread(segment) { format!("{key} {text}") } else { format!("{path} ARRAY[{text}]") }
}

/// In an array `#>>` takes everything for an index that the C library reads as a number: `-1`, `01`, ` 1`.
fn misread(segment: &Segment) -> bool {
    match segment {
        Segment::Index(_) => false,
        Segment::Key(key) => {
            let number = key.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
            let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
            digits.starts_with(|c: char| c.is_ascii_digit())
                && matches!(Segment::unquoted(key), Segment::Key(_))
        }
    }
}

/// The query that the relation `events` stands for, and its name.
///
/// The events of a slice in the log are those of a range of positions, which stands in settings, so that the view
/// need not change from slice to slice. The planner folds settings into constants, so that it knows how much it is
/// about to read. `OFFSET 0` keeps conditions of the user's above ours: a payload outside of the filter must not be
/// looked at, whatever it is.
#[derive(Debug)]
pub(super) struct EventsQuery {
    pub(super) key: String,
    pub(super) query: String,
}

impl EventsQuery {
    pub(super) fn new(source: Source, filter: &Filter, schema: &Schema) -> Self {
        let columns: Vec<String> = COLUMNS
            .into_iter()
            .map(|root| {
                let name = column(root);
                let collation = if source.type_of(root) == "text" { " COLLATE \"default\"" } else { "" };
                format!("({}){collation} AS {name}", source.field("e", root))
            })
            .collect();
        let columns = columns.join(", ");
        let query = match source {
            Source::Log => {
                let filter = filter_text(filter);
                let setting = |name: &str, of_type: &str| format!("current_setting('hw.{name}')::{of_type}");
                let range = range([
                    setting("lo_position", "bigint"),
                    format!("(SELECT {})", setting("lo_position", "bigint")),
                    format!("(SELECT {})", setting("lo_offset", "int")),
                    setting("hi_position", "bigint"),
                    format!("(SELECT {})", setting("hi_position", "bigint")),
                    format!("(SELECT {})", setting("hi_offset", "int")),
                ]);
                schema.text(&format!(
                    "SELECT {columns} FROM highwater.event e WHERE {range} AND {filter} \
                     ORDER BY e.position, e.\"offset\" OFFSET 0"
                ))
            }
            Source::Slice { .. } => {
                // A slice has been filtered before; only what goes to `on` is in it besides.
                let rest = Filter { except_types: filter.except_types.clone(), ..Filter::default() };
                format!("SELECT {columns} FROM pg_temp.hw_slice e WHERE {}", filter_text(&rest))
            }
        };
        Self { key: fingerprint(&[&query]), query }
    }
}

/// The condition of a range, open below. The bounds on the position alone are what the index and the planner's
/// estimate go by; those on the offset cut at most two positions to size.
pub(super) fn range(bounds: [String; 6]) -> String {
    let [lo, lo_again, lo_offset, hi, hi_again, hi_offset] = bounds;
    format!(
        "e.position >= {lo} AND e.position <= {hi} \
         AND NOT (e.position = {lo_again} AND e.\"offset\" <= {lo_offset}) \
         AND NOT (e.position = {hi_again} AND e.\"offset\" > {hi_offset})"
    )
}

/// The filter for the events that have an entry in `on`.
pub(super) fn filter_of_types(filter: &Filter, types: impl Iterator<Item = Pattern>) -> Filter {
    Filter { types: types.collect(), except_types: Vec::new(), ..filter.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_3_a_key_that_only_looks_like_an_index_is_told_apart() {
        for (key, expected) in
            [("-1", true), ("01", true), (" 7", true), ("+2", true), ("7", false), ("a1", false), ("", false)]
        {
            assert_eq!(misread(&Segment::Key(key.to_owned())), expected, "{key:?}");
        }
        assert!(!misread(&Segment::Index(3)));
    }
}
