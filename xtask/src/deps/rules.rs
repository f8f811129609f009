//! The rules as data: what each part of the workspace may depend on, and why.

use std::path::Path;

/// The part that a crate plays, told from its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// `crates/core`
    Core,
    /// `crates/runtime`
    Runtime,
    /// `crates/testkit`
    Testkit,
    /// `crates/adapters-*`
    Adapter,
    /// `crates/app`
    App,
    /// `tests`, `benches` and every crate in `examples`
    Outside,
    /// `xtask`
    Xtask,
}

/// What crates of one role may depend on.
pub(super) struct Rule {
    /// Roles allowed as a normal or build dependency.
    pub(super) allowed: &'static [Role],
    /// Roles allowed besides as a dev-dependency.
    pub(super) allowed_dev: &'static [Role],
    /// Third-party packages that are forbidden as any kind of dependency; an entry also covers the packages
    /// whose names continue it after a hyphen (`tokio` covers `tokio-util`).
    pub(super) forbidden: &'static [&'static [&'static str]],
    /// The rule in words, for the error.
    pub(super) text: &'static str,
}

/// Clients of a backend: only adapters talk to one.
const DRIVERS: &[&str] = &[
    "rusqlite",
    "libsqlite3-sys",
    "sqlx",
    "postgres",
    "tokio-postgres",
    "redis",
    "deadpool",
    "kurrentdb",
    "tonic",
];

/// What makes code depend on a running executor or on a place that logs go to.
const RUNTIMES: &[&str] = &["tokio", "tracing"];

const EVERYTHING_BUT_XTASK: &[Role] =
    &[Role::Core, Role::Runtime, Role::Testkit, Role::Adapter, Role::App, Role::Outside];

impl Role {
    /// The role of the crate in `folder` (relative to the workspace's root); `None` when it has none yet.
    pub(super) fn of_folder(folder: &Path) -> Option<Self> {
        let parts: Vec<&str> = folder.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
        match parts.as_slice() {
            ["crates", "core"] => Some(Self::Core),
            ["crates", "runtime"] => Some(Self::Runtime),
            ["crates", "testkit"] => Some(Self::Testkit),
            ["crates", "app"] => Some(Self::App),
            ["crates", name] if name.starts_with("adapters-") => Some(Self::Adapter),
            ["tests" | "benches"] | ["examples", _] => Some(Self::Outside),
            ["xtask"] => Some(Self::Xtask),
            _ => None,
        }
    }

    /// The rule for crates of this role. No rule but `Outside`'s allows `App` as a normal dependency; none
    /// allows `Xtask`.
    pub(super) const fn rule(self) -> Rule {
        match self {
            Self::Core => Rule {
                allowed: &[],
                allowed_dev: &[],
                forbidden: &[RUNTIMES, DRIVERS],
                text: "core decides: no crate of ours, no async runtime, no tracing, no driver",
            },
            Self::Runtime => Rule {
                allowed: &[Role::Core],
                allowed_dev: &[Role::Testkit],
                forbidden: &[DRIVERS],
                text: "runtime acts through the ports: of ours only core (in tests: testkit), and no driver",
            },
            Self::Testkit => Rule {
                allowed: &[Role::Core],
                allowed_dev: &[],
                forbidden: &[],
                text: "testkit implements the ports: of ours only core",
            },
            Self::Adapter => Rule {
                allowed: &[Role::Core],
                allowed_dev: &[Role::Testkit],
                forbidden: &[],
                text: "an adapter serves the ports from one backend: of ours only core (in tests: testkit)",
            },
            Self::App => Rule {
                allowed: &[Role::Core, Role::Runtime, Role::Adapter],
                allowed_dev: EVERYTHING_BUT_XTASK,
                forbidden: &[],
                text: "app composes: of ours only core, runtime and adapters (in tests: any)",
            },
            Self::Outside => Rule {
                allowed: EVERYTHING_BUT_XTASK,
                allowed_dev: EVERYTHING_BUT_XTASK,
                forbidden: &[],
                text: "tests, benches and examples use the product: any crate of ours but xtask",
            },
            Self::Xtask => Rule {
                allowed: &[],
                allowed_dev: &[],
                forbidden: &[],
                text: "xtask must build when the product does not: no crate of ours",
            },
        }
    }
}
