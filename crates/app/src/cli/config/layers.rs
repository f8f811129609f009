//! Laying environment and flags over the file.

use std::collections::BTreeMap;

use super::keys::unknown;
use super::node::{Node, Origin, Value};
use super::problems::Problems;

const PREFIX: &str = "HIGHWATER_";
const SEPARATOR: &str = "__";

/// The keys that have no table, and the tables whose keys may be set one by one.
const PLAIN: [&str; 1] = ["migrate"];
const TABLES: [&str; 5] = ["log", "store", "checkpoints", "defaults", "handler_defaults"];

/// Lays `HIGHWATER_…` variables over `tree`. Variables that do not have the form of a key are somebody else's
/// (`HIGHWATER_CONFIG` is the command line's); one that names an unknown table with two underscores is a
/// mistake.
pub(crate) fn lay_environment(
    tree: &mut BTreeMap<String, Node>,
    variables: impl IntoIterator<Item = (String, String)>,
    problems: &mut Problems,
) {
    for (variable, text) in variables {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let key = name.to_lowercase();
        let path: Vec<&str> = key.split(SEPARATOR).collect();
        if path.len() > 1 || PLAIN.contains(&path[0]) {
            let origin = Origin::Environment(variable.clone());
            set(tree, &path, text, &origin, problems);
        }
    }
}

/// Lays `--set key=value` flags over `tree`.
pub(crate) fn lay_flags(tree: &mut BTreeMap<String, Node>, flags: &[String], problems: &mut Problems) {
    for flag in flags {
        match flag.split_once('=') {
            Some((key, text)) => {
                let key = key.trim();
                let path: Vec<&str> = key.split('.').collect();
                set(tree, &path, text.to_owned(), &Origin::Flag(format!("--set {key}")), problems);
            }
            None => {
                let origin = Origin::Flag(format!("--set {flag}"));
                problems.add(&origin, "write --set key=value, such as --set log.url=sqlite:events.db");
            }
        }
    }
}

fn set(
    tree: &mut BTreeMap<String, Node>,
    path: &[&str],
    text: String,
    origin: &Origin,
    problems: &mut Problems,
) {
    let node = Node { value: Value::Text(text), origin: origin.clone() };
    match path {
        [key] if PLAIN.contains(key) => {
            tree.insert((*key).to_owned(), node);
        }
        [table, key] if TABLES.contains(table) => {
            let entry = tree
                .entry((*table).to_owned())
                .or_insert_with(|| Node { value: Value::Table(BTreeMap::new()), origin: origin.clone() });
            // A table that is none in the file is reported by the reader of the tree.
            if let Value::Table(keys) = &mut entry.value {
                keys.insert((*key).to_owned(), node);
            }
        }
        _ => {
            let first = path.first().copied().unwrap_or_default();
            let what = if TABLES.contains(&first) || PLAIN.contains(&first) {
                format!("`{}` is not a key that can be set from here", path.join("."))
            } else {
                format!(
                    "{} (from here only these can be set; projections and handlers are set in the file)",
                    unknown("", first, TABLES.iter().chain(&PLAIN).copied())
                )
            };
            problems.add(origin, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay(variables: &[(&str, &str)], flags: &[&str]) -> (BTreeMap<String, Node>, Vec<String>) {
        let mut problems = Problems::new("highwater.toml");
        let url = Node { value: Value::String("file".to_owned(), 2), origin: Origin::File(2) };
        let log = Value::Table(BTreeMap::from([("url".to_owned(), url)]));
        let mut tree = BTreeMap::from([("log".to_owned(), Node { value: log, origin: Origin::File(1) })]);
        let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        lay_environment(&mut tree, variables, &mut problems);
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        lay_flags(&mut tree, &flags, &mut problems);
        let found = problems.into_result::<()>(Some(())).err().map_or_else(Vec::new, |error| error.problems);
        (tree, found)
    }

    fn url(tree: &BTreeMap<String, Node>) -> &Node {
        let Value::Table(log) = &tree["log"].value else { panic!() };
        &log["url"]
    }

    #[test]
    fn the_environment_wins_over_the_file_and_flags_over_both() {
        let (tree, problems) = lay(&[("HIGHWATER_LOG__URL", "environment")], &[]);
        assert_eq!(problems, [""; 0]);
        assert_eq!(url(&tree).origin, Origin::Environment("HIGHWATER_LOG__URL".to_owned()));
        let (tree, _) = lay(&[("HIGHWATER_LOG__URL", "environment")], &["log.url=a=b"]);
        assert_eq!(
            *url(&tree),
            Node { value: Value::Text("a=b".to_owned()), origin: Origin::Flag("--set log.url".to_owned()) }
        );
        let (tree, _) = lay(&[("HIGHWATER_STORE__URL", "x"), ("HIGHWATER_MIGRATE", "manual")], &[]);
        assert!(tree.contains_key("store") && tree.contains_key("migrate"));
    }

    #[test]
    fn foreign_variables_are_left_alone_and_mistakes_are_named() {
        let foreign = [("HIGHWATER_CONFIG", "x"), ("HIGHWATER_TEST_DATA", "x"), ("PATH", "x")];
        assert_eq!(lay(&foreign, &[]).1, [""; 0]);
        let (_, problems) = lay(&[("HIGHWATER_LOGG__URL", "x")], &["stor.url=x", "log"]);
        assert!(problems[0].contains("HIGHWATER_LOGG__URL") && problems[0].contains("did you mean `log`"));
        assert!(problems.iter().any(|problem| problem.contains("did you mean `store`")), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.contains("key=value")), "{problems:?}");
    }
}
