//! Settings that cannot be used, as one error that names all that is wrong with them.

use highwater_core::settings::Violation;
use highwater_core::{Error, ErrorKind};

/// The error of a sink that is not set up, for these violations.
pub(crate) fn invalid(operation: &'static str, violations: &[Violation]) -> Error {
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Error::new(ErrorKind::Invalid, operation).because(all.join("; "))
}
