//! Tables for people.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table as Comfy, presets};

use super::text::plain;

/// A table: left-aligned unless a column is said to hold numbers.
#[derive(Debug)]
pub(crate) struct Table {
    comfy: Comfy,
    numbers: Vec<bool>,
}

impl Table {
    /// A table with these headings; one that begins with `#` holds numbers.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let mut comfy = Comfy::new();
        comfy.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let numbers: Vec<bool> = headings.iter().map(|heading| heading.starts_with('#')).collect();
        let cells = headings
            .iter()
            .zip(&numbers)
            .map(|(heading, number)| cell(heading.trim_start_matches('#').to_uppercase(), *number));
        comfy.set_header(cells.collect::<Vec<_>>());
        Self { comfy, numbers }
    }

    /// Adds a row; control characters are made visible.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().zip(&self.numbers).map(|(text, number)| cell(plain(&text), *number));
        self.comfy.add_row(cells.collect::<Vec<_>>());
    }

    /// The table as text, with `empty` in its place where it has no rows.
    pub(crate) fn text(&self, empty: &str) -> String {
        if self.comfy.is_empty() {
            return empty.to_owned();
        }
        self.comfy.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

fn cell(text: String, number: bool) -> Cell {
    let cell = Cell::new(text);
    if number { cell.set_alignment(CellAlignment::Right) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_right_aligned_and_control_characters_visible() {
        let mut table = Table::new(&["name", "#lag"]);
        table.row(["a\u{1b}[31m".to_owned(), "7".to_owned()]);
        table.row(["b".to_owned(), "1,234".to_owned()]);
        let text = table.text("none");
        assert!(text.contains("a\\u{1b}[31m"), "{text:?}");
        assert!(
            text.lines().all(|line| line.ends_with("LAG") || line.ends_with('7') || line.ends_with("1,234"))
        );
        let widths: Vec<usize> = text.lines().map(str::len).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
        assert_eq!(Table::new(&["a"]).text("none"), "none");
    }
}
