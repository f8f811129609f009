//! Every setting with its default and its reason: one file a component.
//!
//! Defaults pass the validator that users get, and `validate` names all violations, not the first.

mod projection;
mod savepoint_mode;
mod start_from;
mod violation;

pub use projection::ProjectionSettings;
pub use savepoint_mode::SavepointMode;
pub use start_from::StartFrom;
pub use violation::Violation;
