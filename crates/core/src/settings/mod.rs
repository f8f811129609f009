//! Every setting with its default and its reason: one file a component.
//!
//! Defaults pass the validator that users get, and `validate` names all violations, not the first.

mod catch_up;
mod check;
mod on_permanent;
mod persistence;
mod projection;
mod savepoint_mode;
mod start_from;
mod violation;

pub use catch_up::CatchUpSettings;
pub use on_permanent::OnPermanent;
pub use persistence::PersistenceSettings;
pub use projection::ProjectionSettings;
pub use savepoint_mode::SavepointMode;
pub use start_from::StartFrom;
pub use violation::Violation;
