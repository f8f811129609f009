//! A table has one projection (E-14): two that write the same one would each undo or double what the other did.
//!
//! For projections in SQL the builder knows the tables beforehand. What the set-up of one in Rust creates is seen
//! while it runs; the store remembers it, so that a projection which is added years later, in another process, is
//! refused as well.

use highwater_core::ports::UnitOfWork;
use highwater_core::{Error, ErrorKind};

use super::definition::ProjectionDefinition;
use super::start::refused;

/// Whether the read model is to be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    /// At the first start of a version.
    First,
    /// It was, at an earlier start; what it creates by name is checked again.
    Done,
}

/// Sets the read model up, if it is not, and gives the projection its tables.
///
/// # Errors
/// `Invalid` naming both projections if a table is another's; why the set-up failed; or why the store cannot be
/// asked.
pub(super) async fn own_tables<U: UnitOfWork>(
    unit: &mut U,
    definition: &ProjectionDefinition<U::Tx>,
    setup: Setup,
) -> Result<(), Error> {
    let key = definition.key();
    unit.note_tables().await?;
    let done = match setup {
        Setup::First => definition.projection.setup(unit.tx()).await,
        Setup::Done => Ok(()),
    };
    let taken = unit.own_tables(&key.name, &definition.projection.creates()).await;
    // A set-up may have failed for the very reason that its table is there, as another's; and where a failed
    // statement spoils the transaction, nobody can be asked any more.
    let taken = match (done, taken) {
        (Err(failure), Ok(taken)) if taken.is_empty() => {
            return Err(refused("set up the read model", &key, failure));
        }
        (Err(failure), Err(_)) => return Err(refused("set up the read model", &key, failure)),
        (_, taken) => taken?,
    };
    match taken.into_iter().next() {
        None => Ok(()),
        Some(taken) => Err(Error::new(ErrorKind::Invalid, "set up the read model")
            .with("projection", &key)
            .because(format!(
                "projections {} and {} both create the table {}: a table has one projection, so give one of them a \
                 table of another name",
                taken.owner, key.name, taken.table
            ))),
    }
}
