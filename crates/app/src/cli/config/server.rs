//! What `[log]`, `[store]` and `[checkpoints]` say of a PostgreSQL server besides its address: how many connections, and
//! how the owners of projections are told apart there.

use std::time::Duration;

use highwater::compose::{Address, Ownership};

use super::durations::show_duration;
use super::node::{Node, Origin};
use super::problems::Problems;
use super::settings::{duration, number};
use super::table::Table;

/// The keys.
pub(super) const KEYS: [&str; 3] = ["lease_term", "max_connections", "ownership"];

/// As the adapter has them.
const CONNECTIONS: u32 = 8;
const TERM: Duration = Duration::from_secs(10);
/// A server takes no more.
const MOST_CONNECTIONS: u32 = 10_000;
/// A shorter lease is lost in a moment in which the server is slow; after a longer one nobody waits for it any more.
const TERMS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(600)];

/// The values of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    ownership: Ownership,
    max_connections: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self { ownership: Ownership::Session, max_connections: CONNECTIONS }
    }
}

impl Server {
    /// Reads the keys of a table; those of a backend that knows none of them are a mistake.
    pub(super) fn read(table: &Table<'_>, is_postgres: bool, problems: &mut Problems) -> Self {
        let mut this = Self::default();
        let given = KEYS.into_iter().filter_map(|key| table.get(key).map(|node| (key, node)));
        if !is_postgres {
            for (key, node) in given {
                problems.add(&node.origin, format!("`{}` is for PostgreSQL: remove it", table.name(key)));
            }
            return this;
        }
        if let Some(node) = table.get("max_connections") {
            this.read_connections(table, node, problems);
        }
        let by_lease = match table.string("ownership", problems) {
            None | Some("session") => false,
            Some("lease") => true,
            Some(other) => {
                let what = format!(
                    "`{}` must be \"session\", or \"lease\" behind a connection pooler in transaction mode, not \
                     {other:?}",
                    table.name("ownership")
                );
                problems
                    .add(&table.get("ownership").map_or(Origin::Default, |node| node.origin.clone()), what);
                return this;
            }
        };
        if by_lease {
            this.ownership = Ownership::Lease { term: TERM };
        }
        if let Some(node) = table.get("lease_term") {
            this.read_term(table, node, problems);
        }
        this
    }

    fn read_connections(&mut self, table: &Table<'_>, node: &Node, problems: &mut Problems) {
        let read = number::<u32>(&node.value).and_then(|connections| match connections {
            1..=MOST_CONNECTIONS => Ok(connections),
            _ => Err(format!("must be from 1 to {MOST_CONNECTIONS}, not {connections}")),
        });
        match read {
            Ok(connections) => self.max_connections = connections,
            Err(what) => problems.add(&node.origin, format!("`{}` {what}", table.name("max_connections"))),
        }
    }

    fn read_term(&mut self, table: &Table<'_>, node: &Node, problems: &mut Problems) {
        let name = table.name("lease_term");
        let Ownership::Lease { term } = &mut self.ownership else {
            let what = format!("`{name}` counts only beside `{} = \"lease\"`", table.name("ownership"));
            return problems.add(&node.origin, what);
        };
        let [shortest, longest] = TERMS;
        let read = duration(&node.value).and_then(|wanted| match wanted {
            _ if wanted < shortest || wanted > longest => {
                let (shortest, longest) = (show_duration(shortest), show_duration(longest));
                Err(format!("must be from {shortest} to {longest}, not {}", show_duration(wanted)))
            }
            _ => Ok(wanted),
        });
        match read {
            Ok(wanted) => *term = wanted,
            Err(what) => problems.add(&node.origin, format!("`{name}` {what}")),
        }
    }

    /// The address with these.
    pub(super) fn at(self, address: Address) -> Address {
        address.ownership(self.ownership).max_connections(Some(self.max_connections))
    }

    /// The keys that count, with their values.
    pub(super) fn shown(self) -> Vec<(&'static str, String)> {
        let mut shown = vec![("max_connections", self.max_connections.to_string())];
        match self.ownership {
            Ownership::Session => shown.push(("ownership", "session".to_owned())),
            Ownership::Lease { term } => {
                shown.push(("ownership", "lease".to_owned()));
                shown.push(("lease_term", show_duration(term)));
            }
        }
        shown
    }
}
