//! What a driver error means: the one table behind both the error kinds of the ports and the failure classes of
//! projections. The server says nearly all of it by SQLSTATE (PostgreSQL's documentation, appendix A); only what
//! never reached a server is told by the driver's own error.

use std::error::Error as StdError;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use crate::sql_projection::Raised;
use crate::stale_plans;

/// What the server calls it, in every language, when a table has changed under a prepared statement: its SQLSTATE is
/// that of everything that a server cannot do.
const STALE_PLAN: (&str, &str) = ("0A000", "RevalidateCachedQuery");

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server cannot be reached, is starting, stopping, full or read-only for the moment.
    Unavailable,
    /// A lock, a deadlock, a serialization failure.
    Contention,
    /// A table has changed under a statement that this connection had prepared before: another connection takes it.
    StalePlan,
    /// The statement was cancelled: it took too long.
    Cancelled,
    /// A constraint of the user's tables.
    Constraint,
    /// A value that the SQL cannot take.
    Value,
    /// A value of a row that does not become what the code asked for.
    Conversion,
    /// A table, column or function is missing, or the SQL does not parse.
    Schema,
    /// Credentials or privileges.
    Access,
    /// A version or a feature that the server does not have.
    Unsupported,
    /// The transaction was ended by somebody else than its owner.
    TransactionEnded,
    /// An earlier statement broke the transaction, and its error was swallowed.
    TransactionBroken,
    /// Stored data is damaged.
    Corrupt,
    /// The code calls the driver wrongly; it will at every event.
    Misuse,
    /// None of these.
    Opaque,
}

/// What an SQLSTATE means.
pub(crate) fn by_sqlstate(code: &str) -> Fault {
    match code {
        "55P03" | "40001" | "40P01" | "55006" => Fault::Contention,
        "57014" => Fault::Cancelled,
        "25P01" | "2D000" => Fault::TransactionEnded,
        "25P02" => Fault::TransactionBroken,
        "25P03" | "25P04" | "25006" => Fault::Unavailable,
        // Names a database or a schema that is not there.
        "3D000" | "3F000" => Fault::Schema,
        // A prepared statement that is not there, or is there already: a pooler in between hands sessions out that
        // others have prepared statements in.
        "0A000" | "26000" | "42P05" => Fault::Unsupported,
        // Too many columns or arguments: the statement's own.
        "54011" | "54023" => Fault::Schema,
        // An object that is of the wrong sort for the statement, such as a view that cannot be written to, or a
        // sequence that was not used yet: no lock, and nothing that passes.
        "55000" | "55P02" => Fault::Opaque,
        "42501" => Fault::Access,
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "53" | "57" | "58" => Fault::Unavailable,
            "40" | "55" => Fault::Contention,
            "22" | "21" => Fault::Value,
            "23" | "44" => Fault::Constraint,
            "28" => Fault::Access,
            "42" | "2F" | "38" | "39" | "3B" => Fault::Schema,
            // Too large or too deep for the server, such as a value for an index, or what a function goes through:
            // that is the data's doing.
            "54" => Fault::Value,
            "25" => Fault::TransactionEnded,
            "XX" => Fault::Corrupt,
            _ => Fault::Opaque,
        },
    }
}

/// What a driver error means.
pub(crate) fn fault_of(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Database(database) => of_database(&**database),
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Fault::Unavailable,
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => {
            Fault::Unsupported
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => {
            Fault::Conversion
        }
        sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. } => Fault::Misuse,
        _ => Fault::Opaque,
    }
}

/// What an answer of the server means.
pub(crate) fn of_database(error: &dyn DatabaseError) -> Fault {
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return of_server(error);
    }
    error.code().map_or(Fault::Opaque, |code| by_sqlstate(&code))
}

fn of_server(error: &PgDatabaseError) -> Fault {
    if error.routine().is_some_and(|routine| (error.code(), routine) == STALE_PLAN) {
        stale_plans::note();
        return Fault::StalePlan;
    }
    by_sqlstate(error.code())
}

/// The SQLSTATE, where the server gave one.
pub(crate) fn code_of(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(DatabaseError::code).map(|code| code.into_owned())
}

/// The driver error in a cause, whether it stands there by itself or was unwrapped by a transparent wrapper.
pub(crate) fn find(error: &(dyn StdError + 'static)) -> Option<(Fault, Option<String>)> {
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return Some((fault_of(error), code_of(error)));
    }
    if let Some(error) = error.downcast_ref::<Box<dyn DatabaseError>>() {
        return Some((of_database(&**error), error.code().map(|code| code.into_owned())));
    }
    if let Some(error) = error.downcast_ref::<Raised>() {
        return Some((by_sqlstate(error.code()), Some(error.code().to_owned())));
    }
    let error = error.downcast_ref::<PgDatabaseError>()?;
    Some((of_server(error), Some(error.code().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_9_sqlstates_decide() {
        for (code, fault) in [
            ("08006", Fault::Unavailable),
            ("53100", Fault::Unavailable),
            ("53300", Fault::Unavailable),
            ("57P01", Fault::Unavailable),
            ("57P03", Fault::Unavailable),
            ("25006", Fault::Unavailable),
            ("40001", Fault::Contention),
            ("40P01", Fault::Contention),
            ("55P03", Fault::Contention),
            ("55000", Fault::Opaque),
            ("57014", Fault::Cancelled),
            ("22012", Fault::Value),
            ("22P02", Fault::Value),
            ("23505", Fault::Constraint),
            ("42P01", Fault::Schema),
            ("42703", Fault::Schema),
            ("42501", Fault::Access),
            ("28P01", Fault::Access),
            ("3D000", Fault::Schema),
            ("25P01", Fault::TransactionEnded),
            ("25P02", Fault::TransactionBroken),
            ("26000", Fault::Unsupported),
            ("42P05", Fault::Unsupported),
            ("54000", Fault::Value),
            ("54001", Fault::Value),
            ("54011", Fault::Schema),
            ("54023", Fault::Schema),
            ("0A000", Fault::Unsupported),
            ("XX001", Fault::Corrupt),
            ("P0001", Fault::Opaque),
        ] {
            assert_eq!(by_sqlstate(code), fault, "{code}");
        }
    }
}
