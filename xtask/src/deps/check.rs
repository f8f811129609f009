//! Comparing a graph of crates with the rules: pure, so that made-up graphs prove it.

use std::fmt;

use super::rules::{Role, Rule};

/// One crate of the workspace.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) edges: Vec<Edge>,
}

/// A declared dependency, on a crate of ours or on a third party's.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) to: String,
    /// Whether it is a dev-dependency; build dependencies are judged as normal ones.
    pub(super) dev: bool,
}

/// A forbidden edge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    from: String,
    to: String,
    dev: bool,
    rule: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.dev { " (dev-dependency)" } else { "" };
        write!(f, "{} -> {}{kind}: {}", self.from, self.to, self.rule)
    }
}

/// Every edge that a rule forbids, in the order of `members`.
pub(super) fn violations(members: &[Member]) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in members {
        let rule = member.role.rule();
        for edge in &member.edges {
            let forbidden = match members.iter().find(|other| other.name == edge.to) {
                Some(ours) => !allows(&rule, ours.role, edge.dev),
                None => forbids_package(&rule, &edge.to),
            };
            if forbidden {
                found.push(Violation {
                    from: member.name.clone(),
                    to: edge.to.clone(),
                    dev: edge.dev,
                    rule: rule.text,
                });
            }
        }
    }
    found
}

fn allows(rule: &Rule, to: Role, dev: bool) -> bool {
    rule.allowed.contains(&to) || (dev && rule.allowed_dev.contains(&to))
}

fn forbids_package(rule: &Rule, package: &str) -> bool {
    rule.forbidden
        .iter()
        .copied()
        .flatten()
        .any(|name| package.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate named as its role; an edge that starts with `dev:` is a dev-dependency.
    fn member(name: &str, role: Role, edges: &[&str]) -> Member {
        let edges = edges
            .iter()
            .map(|edge| match edge.strip_prefix("dev:") {
                Some(to) => Edge { to: to.into(), dev: true },
                None => Edge { to: (*edge).into(), dev: false },
            })
            .collect();
        Member { name: name.into(), role, edges }
    }

    /// The workspace as it is meant to be, with the edges of `from` replaced by `edges`.
    fn workspace_with(from: &str, edges: &[&str]) -> Vec<Member> {
        let mut members = vec![
            member("core", Role::Core, &["serde", "dev:proptest"]),
            member("runtime", Role::Runtime, &["core", "tokio", "tracing", "dev:testkit"]),
            member("testkit", Role::Testkit, &["core", "tokio"]),
            member("sqlite", Role::Adapter, &["core", "rusqlite", "tokio", "dev:testkit"]),
            member("redis-streams", Role::Adapter, &["core", "redis", "dev:testkit"]),
            member("app", Role::App, &["core", "runtime", "sqlite", "redis-streams", "dev:testkit"]),
            member("tests", Role::Outside, &["app", "runtime", "sqlite", "dev:testkit"]),
            member("xtask", Role::Xtask, &["anyhow"]),
        ];
        let index = members.iter().position(|member| member.name == from).expect("a crate of this graph");
        let role = members[index].role;
        members[index] = member(from, role, edges);
        members
    }

    fn forbidden_edges(from: &str, edges: &[&str]) -> Vec<String> {
        violations(&workspace_with(from, edges)).into_iter().map(|found| found.to).collect()
    }

    #[test]
    fn the_intended_graph_passes() {
        assert_eq!(violations(&workspace_with("xtask", &["anyhow"])), []);
    }

    #[test]
    fn core_reaches_no_crate_of_ours_no_runtime_and_no_driver() {
        let edges = [
            "runtime",
            "dev:testkit",
            "tokio",
            "dev:tokio",
            "tokio-util",
            "tracing",
            "rusqlite",
            "sqlx",
            "redis",
            "kurrentdb",
        ];
        let found = forbidden_edges("core", &edges);
        assert_eq!(found, edges.map(|edge| edge.trim_start_matches("dev:")));
        assert_eq!(forbidden_edges("core", &["serde", "tokiotic", "redistribute"]), [""; 0]);
    }

    #[test]
    fn runtime_reaches_core_only_and_no_driver() {
        assert_eq!(
            forbidden_edges("runtime", &["core", "tokio", "testkit", "sqlite", "sqlx", "app"]),
            ["testkit", "sqlite", "sqlx", "app"]
        );
    }

    #[test]
    fn testkit_and_adapters_reach_core_only() {
        assert_eq!(forbidden_edges("testkit", &["core", "runtime", "dev:sqlite"]), ["runtime", "sqlite"]);
        assert_eq!(
            forbidden_edges(
                "sqlite",
                &["core", "redis-streams", "runtime", "testkit", "dev:app", "rusqlite"]
            ),
            ["redis-streams", "runtime", "testkit", "app"]
        );
    }

    #[test]
    fn app_takes_the_testkit_for_its_tests_only() {
        assert_eq!(forbidden_edges("app", &["core", "dev:testkit", "testkit"]), ["testkit"]);
    }

    #[test]
    fn nothing_reaches_xtask_and_xtask_reaches_nothing_of_ours() {
        assert_eq!(forbidden_edges("xtask", &["core", "app", "anyhow"]), ["core", "app"]);
        assert_eq!(forbidden_edges("tests", &["app", "xtask"]), ["xtask"]);
    }

    #[test]
    fn a_violation_names_the_edge_its_kind_and_the_rule() {
        let found = violations(&workspace_with("core", &["dev:tokio"]));
        assert_eq!(
            found[0].to_string(),
            format!("core -> tokio (dev-dependency): {}", Role::Core.rule().text)
        );
    }
}
