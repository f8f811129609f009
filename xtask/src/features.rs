//! Every feature alone: a combination that only builds because another feature is on fails here.

use anyhow::Context;

use crate::{cargo, metadata::Metadata};

/// The crates whose features a user chooses.
const CRATES: [&str; 3] = ["highwater-core", "highwater-sinks", "highwater"];

/// Checks that each crate builds without features and with each feature alone.
///
/// # Errors
/// The first build that fails, or a crate that the workspace does not have.
pub(crate) fn check() -> anyhow::Result<()> {
    let metadata = Metadata::read()?;
    for name in CRATES {
        let package = metadata.packages.iter().find(|package| package.name == name).with_context(|| {
            format!("no package `{name}` in the workspace: correct the list in features.rs")
        })?;
        for selection in selections(package.features.keys().map(String::as_str)) {
            let mut check = cargo::cargo(["check", "-p", name, "--no-default-features"]);
            if let Some(feature) = selection {
                check.args(["--features", feature]);
            }
            eprintln!("{name}: {}", selection.unwrap_or("no features"));
            cargo::run(&mut check)?;
        }
    }
    Ok(())
}

/// No feature, then each alone. Nothing for a crate without features, which every other step builds anyway;
/// `default` only names others.
fn selections<'a>(features: impl Iterator<Item = &'a str>) -> Vec<Option<&'a str>> {
    let mut selections: Vec<_> = features.filter(|feature| *feature != "default").map(Some).collect();
    if !selections.is_empty() {
        selections.insert(0, None);
    }
    selections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_stands_alone_and_none_comes_first() {
        assert_eq!(selections(["cli", "default", "sqlite"].into_iter()), [None, Some("cli"), Some("sqlite")]);
    }

    #[test]
    fn a_crate_without_features_is_skipped() {
        assert_eq!(selections(["default"].into_iter()), []);
        assert_eq!(selections([].into_iter()), []);
    }
}
