//! How laws become tests: one macro writes the functions and the macro that expands them, so that no law can
//! be written and then forgotten in some adapter's list.

use std::future::Future;
use std::time::Duration;

/// How long one law may run before it counts as hung: 120 s, far above what any backend needs.
pub const LAW_LIMIT: Duration = Duration::from_secs(120);

/// Runs a law, and turns one that hangs into a failure that names it.
///
/// # Panics
/// When the law breaks, or runs longer than [`LAW_LIMIT`].
pub async fn bounded(law: &str, run: impl Future<Output = ()>) {
    assert!(tokio::time::timeout(LAW_LIMIT, run).await.is_ok(), "{law} did not end within {LAW_LIMIT:?}");
}

/// Says that a test was skipped since its backend cannot be had.
///
/// # Panics
/// When `REQUIRE_BACKENDS` is set: then a missing backend is a failure.
pub fn skipped(module: &str, law: &str) {
    assert!(
        std::env::var_os("REQUIRE_BACKENDS").is_none(),
        "{module}::{law}: the backend is missing, and REQUIRE_BACKENDS is set"
    );
    eprintln!("skipped: {module}::{law}: the backend is missing");
}

/// Writes the laws of one file, and a hidden macro that expands them into tests. The `$` is passed in,
/// because a macro that writes a macro cannot spell it.
macro_rules! suite {
    (
        @law [$($generics:tt)*] ($fixture:ident: $fixture_type:ty)
        $(#[$meta:meta])* fn $law:ident $body:block
    ) => {
        $(#[$meta])*
        pub async fn $law $($generics)* ($fixture: $fixture_type) $body
    };
    (
        [$d:tt] $module:ident => $expand:ident $generics:tt ($fixture:ident: $fixture_type:ty)
        $( $(#[$meta:meta])* fn $law:ident $body:block )+
    ) => {
        $( suite! { @law $generics ($fixture: $fixture_type) $(#[$meta])* fn $law $body } )+

        #[doc(hidden)]
        #[macro_export]
        macro_rules! $expand {
            ($d factory:expr) => {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $law() {
                        match ($d factory)(stringify!($law)).await {
                            Some(fixture) => {
                                let run = $crate::contract::$module::$law(fixture);
                                $crate::contract::bounded(stringify!($law), run).await;
                            }
                            None => $crate::contract::skipped(module_path!(), stringify!($law)),
                        }
                    }
                )+
            };
        }
    };
}
pub(super) use suite;

/// Expands the laws of `EventLog` and `EventReader` over a factory `async fn(law: &str) ->
/// Option<LogFixture>`.
#[macro_export]
macro_rules! event_log_contract {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;
            $crate::event_log_laws!($factory);
            $crate::event_reader_laws!($factory);
        }
    };
}

/// Expands the laws of `AppendEvents` over a factory `async fn(law: &str) -> Option<LogFixture>`.
#[macro_export]
macro_rules! append_events_contract {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;
            $crate::append_events_laws!($factory);
        }
    };
}

/// Expands the laws of `CheckpointStore` over a factory `async fn(law: &str) -> Option<CheckpointFixture>`.
#[macro_export]
macro_rules! checkpoint_store_contract {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;
            $crate::checkpoint_store_laws!($factory);
        }
    };
}

/// Expands the laws of `OwnedCheckpoints` over a factory
/// `async fn(law: &str) -> Option<OwnedCheckpointsFixture>`. Those of `CheckpointStore` hold as well: expand
/// `checkpoint_store_contract!` beside it.
#[macro_export]
macro_rules! owned_checkpoints_contract {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;
            $crate::owned_checkpoints_laws!($factory);
        }
    };
}

/// Expands the laws of `DeadLetters` over a factory `async fn(law: &str) -> Option<DeadLettersFixture>`.
#[macro_export]
macro_rules! dead_letters_contract {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;
            $crate::dead_letters_laws!($factory);
        }
    };
}

/// Expands the laws of `Subscriptions` and `Consumer` over a factory
/// `async fn(law: &str) -> Option<SubscriptionFixture>`.
#[macro_export]
macro_rules! persistent_subscription_contract {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;
            $crate::persistent_subscription_laws!($factory);
        }
    };
}

/// Expands the laws of `PersistTarget` over a factory `async fn(law: &str) -> Option<TargetFixture>`.
#[macro_export]
macro_rules! persist_target_contract {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;
            $crate::persist_target_laws!($factory);
        }
    };
}

/// Expands the laws of `ReadModelStore` and `UnitOfWork` over a factory
/// `async fn(law: &str) -> Option<StoreFixture<S>>`.
#[macro_export]
macro_rules! read_model_store_contract {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;
            $crate::read_model_store_laws!($factory);
            $crate::unit_of_work_laws!($factory);
            $crate::unit_records_laws!($factory);
            $crate::unit_tables_laws!($factory);
        }
    };
}

/// Expands the laws of `ProjectionControl` over a factory `async fn(law: &str) -> Option<ControlFixture<S>>`.
#[macro_export]
macro_rules! projection_control_contract {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;
            $crate::projection_control_laws!($factory);
        }
    };
}
