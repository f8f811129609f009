//! `cargo xtask deps`: the direction of the dependencies, checked by machine.
//!
//! The cut into crates is worth only what is enforced: one edge from the pure core to a driver or to the
//! async runtime, and decisions can no longer be tested without either. [`rules`] holds the rules as data,
//! [`check`](mod@check) compares a graph with them, and this file reads the graph from `cargo metadata`.

mod check;
mod rules;

use anyhow::{Context, bail};

use crate::metadata::{Kind, Metadata};

use check::{Edge, Member, violations};
use rules::Role;

/// Checks the workspace.
///
/// # Errors
/// Names every forbidden edge with its rule, and every member whose folder has no role.
pub(crate) fn check() -> anyhow::Result<()> {
    let members = members(&Metadata::read()?)?;
    let found = violations(&members);
    if !found.is_empty() {
        let list: Vec<String> = found.iter().map(|violation| format!("\n  {violation}")).collect();
        bail!("the dependency graph has {} forbidden edge(s):{}", found.len(), list.concat());
    }
    eprintln!("deps: {} crates, every edge is allowed", members.len());
    Ok(())
}

/// Every package of the workspace with its role and its declared edges.
fn members(metadata: &Metadata) -> anyhow::Result<Vec<Member>> {
    let mut members = Vec::new();
    for package in &metadata.packages {
        let folder = metadata.folder(package)?;
        let role = Role::of_folder(folder).with_context(|| {
            format!("folder {} has no role: give it one in xtask/src/deps/rules.rs", folder.display())
        })?;
        let edges = package
            .dependencies
            .iter()
            // A crate that depends on itself switches on a feature for its own tests; that is no direction.
            .filter(|to| to.name != package.name)
            .map(|to| Edge { to: to.name.clone(), dev: to.kind == Some(Kind::Dev) })
            .collect();
        members.push(Member { name: package.name.clone(), role, edges });
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(folder: &str, dependencies: &str) -> Metadata {
        let json = format!(
            r#"{{"workspace_root": "/w", "packages": [{{"name": "a",
                "manifest_path": "/w/{folder}/Cargo.toml",
                "dependencies": {dependencies}, "features": {{}}, "unknown": 1}}]}}"#
        );
        Metadata::parse(&json).expect("valid metadata")
    }

    #[test]
    fn members_carry_their_role_and_the_kind_of_each_edge() {
        let read = metadata(
            "crates/adapters-redis",
            r#"[{"name": "highwater-core", "kind": null}, {"name": "highwater-testkit", "kind": "dev"},
                {"name": "cc", "kind": "build"}]"#,
        );
        let members = members(&read).expect("a known folder");
        assert_eq!(members[0].role, Role::Adapter);
        let edges: Vec<_> = members[0].edges.iter().map(|edge| (edge.to.as_str(), edge.dev)).collect();
        assert_eq!(edges, [("highwater-core", false), ("highwater-testkit", true), ("cc", false)]);
    }

    #[test]
    fn a_folder_without_a_role_is_an_error_that_names_it() {
        let error = members(&metadata("crates/newcomer", "[]")).unwrap_err();
        assert!(error.to_string().contains("crates/newcomer"), "{error:#}");
    }
}
