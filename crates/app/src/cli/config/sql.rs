//! SQL in the config: written in place, or in a file beside it.

use std::path::Path;

use highwater::sqlite::sql_projection::SqlText;

use super::node::{Node, Value};
use super::problems::Problems;

const SUFFIX: &str = ".sql";

/// Reads a key's SQL. A value that ends in `.sql` names a file; relative to `folder`.
pub(crate) fn read(name: &str, node: &Node, folder: &Path, problems: &mut Problems) -> Option<SqlText> {
    let Value::String(text, line) = &node.value else {
        problems.add(&node.origin, format!("`{name}` must be SQL in quotes, not {}", node.value));
        return None;
    };
    let sql = if is_file(text) {
        let path = folder.join(text.trim());
        match std::fs::read_to_string(&path) {
            Ok(text) => SqlText { text, origin: path.display().to_string(), first_line: 1 },
            Err(error) => {
                let what = format!("`{name}` names {}, which cannot be read: {error}", path.display());
                problems.add(&node.origin, what);
                return None;
            }
        }
    } else {
        SqlText { text: text.clone(), origin: problems.file().to_owned(), first_line: *line }
    };
    if sql.text.trim().is_empty() {
        problems.add(&node.origin, format!("`{name}` is empty: leave the key out, or write SQL"));
        return None;
    }
    Some(sql)
}

/// Where the SQL of a value stands, for `config show`.
pub(crate) fn shown(sql: &SqlText, file: &str) -> String {
    let lines = sql.text.trim().lines().count();
    let lines = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
    if sql.origin == file { format!("SQL, {lines}") } else { format!("{}, {lines}", sql.origin) }
}

fn is_file(text: &str) -> bool {
    let text = text.trim();
    text.ends_with(SUFFIX) && !text.contains(['\n', ';'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::node::Origin;

    #[test]
    fn a_file_beside_the_config_or_text_in_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.sql"), "CREATE TABLE a (b)\n").unwrap();
        let mut problems = Problems::new("c.toml");
        let mut sql_of = |text: &str| {
            let node = Node { value: Value::String(text.to_owned(), 3), origin: Origin::File(2) };
            read("projection.p.schema", &node, folder.path(), &mut problems)
        };
        let file = sql_of("a.sql").unwrap();
        assert_eq!((file.text.as_str(), file.first_line), ("CREATE TABLE a (b)\n", 1));
        assert!(file.origin.ends_with("a.sql"));
        let inline = sql_of("SELECT 1").unwrap();
        assert_eq!((inline.origin.as_str(), inline.first_line), ("c.toml", 3));
        assert!(sql_of("missing.sql").is_none());
        assert!(sql_of(" ").is_none());
        let found = problems.into_result::<()>(None).unwrap_err().problems;
        assert!(found[0].contains("missing.sql") && found[0].starts_with("c.toml:2"), "{found:?}");
        assert!(found[1].contains("empty"), "{found:?}");
    }
}
