//! The class of driver errors that a projection meets.

use std::error::Error as StdError;

use highwater_core::policy::{Class, ClassifyError, Decided};

use crate::fault::{Fault, find};

/// Knows `sqlx::Error` and the server's SQLSTATEs: what passes, what is the event's own fault, and what no event
/// can mend.
///
/// A cancelled statement is unclassified: with an event run alone, it is that event that takes too long. So is an
/// exception that the user's own SQL raised with a code of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct PgClassifier;

impl ClassifyError for PgClassifier {
    fn classify(&self, error: &(dyn StdError + 'static)) -> Option<Decided> {
        let (fault, code) = find(error)?;
        let class = match fault {
            Fault::Unavailable | Fault::Contention | Fault::StalePlan => Class::Transient,
            Fault::Constraint | Fault::Value | Fault::Conversion => Class::Permanent,
            Fault::Schema
            | Fault::Access
            | Fault::Unsupported
            | Fault::TransactionEnded
            | Fault::Corrupt
            | Fault::Misuse => Class::Fatal,
            Fault::Cancelled | Fault::TransactionBroken | Fault::Opaque => Class::Unclassified,
        };
        Some(Decided { class, code, by: "postgres" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use highwater_core::Failure;
    use highwater_core::policy::Classifier;

    use super::*;

    #[test]
    fn what_never_reached_a_server_has_a_class_as_well() {
        let class = |error: sqlx::Error| {
            Classifier::new().with(Arc::new(PgClassifier)).failure(&Failure::new(error)).class
        };
        assert_eq!(class(sqlx::Error::PoolTimedOut), Class::Transient);
        assert_eq!(class(sqlx::Error::Io(std::io::Error::other("cut"))), Class::Transient);
        assert_eq!(class(sqlx::Error::ColumnNotFound("x".into())), Class::Fatal);
        assert_eq!(class(sqlx::Error::RowNotFound), Class::Unclassified);
    }
}
