//! What `cargo metadata` says about the workspace: the part that the chores need.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Deserialize;

use crate::cargo;

/// The workspace's members, without their transitive dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_root: PathBuf,
}

/// One member of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

/// A dependency as a manifest declares it, optional and target-specific ones included.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package's name, also where the manifest renames it.
    pub(crate) name: String,
    /// Absent for a normal dependency.
    pub(crate) kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Dev,
    Build,
}

impl Metadata {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo fails, or answers in a format that this program does not know.
    pub(crate) fn read() -> anyhow::Result<Self> {
        Self::parse(&cargo::stdout_of(&mut cargo::cargo(["metadata", "--format-version", "1", "--no-deps"]))?)
    }

    /// Parses cargo's answer.
    pub(crate) fn parse(json: &str) -> anyhow::Result<Self> {
        serde_json::from_str(json).context("cannot read the answer of `cargo metadata`")
    }

    /// The folder of `package`, relative to the workspace's root.
    ///
    /// # Errors
    /// When the package lies outside the workspace.
    pub(crate) fn folder<'a>(&self, package: &'a Package) -> anyhow::Result<&'a Path> {
        package
            .manifest_path
            .parent()
            .and_then(|folder| folder.strip_prefix(&self.workspace_root).ok())
            .with_context(|| {
                format!(
                    "package `{}` lies outside the workspace {}",
                    package.name,
                    self.workspace_root.display()
                )
            })
    }
}
