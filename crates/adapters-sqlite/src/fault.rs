//! What a driver error means: the one table behind both the error kinds of the ports and the failure classes
//! of projections.
//!
//! SQLite's result codes say nearly all of it. Only its generic code stands for two things that must be told
//! apart: SQL that can never work (a table that is not there), and data that the SQL cannot take (a text that
//! is not JSON). The first is found while a statement is prepared, and begins with one of a few fixed texts.

use std::borrow::Cow;

use rusqlite::{Error, ErrorCode, ffi};

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Somebody else writes.
    Contention,
    /// The disk is full, failing, or read-only; memory is out.
    Unavailable,
    /// A constraint of the user's tables.
    Constraint,
    /// A value that the SQL cannot take.
    Value,
    /// A value that is larger than SQLite permits.
    TooBig,
    /// A value of a row that does not become what the code asked for.
    Conversion,
    /// The file is damaged, or no database.
    Corrupt,
    /// The authorizer refused the statement.
    Denied,
    /// The operating system refused access.
    Access,
    /// The statement was interrupted.
    Interrupted,
    /// A table, column or function is missing, or the SQL does not parse.
    Schema,
    /// There is no such transaction or savepoint.
    Transaction,
    /// The code calls the driver wrongly; it will at every event.
    Misuse,
    /// None of these.
    Opaque,
}

/// What a driver error means; `None` where it only wraps another error, which may say more.
pub(crate) fn fault_of(error: &Error) -> Option<Fault> {
    Some(match error {
        Error::SqliteFailure(code, message) => by_code(*code, message.as_deref().unwrap_or_default()),
        Error::SqlInputError { .. } => Fault::Schema,
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::InvalidFunctionParameterType(..)
        | Error::Utf8Error(..)
        | Error::NulError(..)
        | Error::ToSqlConversionFailure(..) => Fault::Conversion,
        Error::InvalidParameterName(..)
        | Error::InvalidParameterCount(..)
        | Error::InvalidColumnIndex(..)
        | Error::InvalidColumnName(..)
        | Error::MultipleStatement
        | Error::ExecuteReturnedResults
        | Error::InvalidQuery => Fault::Misuse,
        Error::UserFunctionError(..) => return None,
        _ => Fault::Opaque,
    })
}

fn by_code(error: ffi::Error, message: &str) -> Fault {
    match error.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            Fault::Contention
        }
        ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::OutOfMemory => Fault::Unavailable,
        ErrorCode::ConstraintViolation => Fault::Constraint,
        ErrorCode::TypeMismatch => Fault::Value,
        ErrorCode::TooBig => Fault::TooBig,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Fault::Corrupt,
        ErrorCode::AuthorizationForStatementDenied => Fault::Denied,
        ErrorCode::PermissionDenied => Fault::Access,
        ErrorCode::OperationInterrupted | ErrorCode::OperationAborted => Fault::Interrupted,
        ErrorCode::SchemaChanged => Fault::Schema,
        ErrorCode::Unknown => by_message(message),
        _ => Fault::Opaque,
    }
}

fn by_message(message: &str) -> Fault {
    const TRANSACTION: [&str; 4] =
        ["no such savepoint", "cannot commit", "cannot rollback", "cannot start a transaction"];
    const SCHEMA: [&str; 14] = [
        "no such ",
        "near \"",
        "incomplete input",
        "unrecognized token",
        "ambiguous column name",
        "wrong number of arguments",
        "misuse of ",
        "unknown function",
        "duplicate column name",
        "row value misused",
        "sub-select returns",
        "SELECTs to the left and right",
        "cannot modify ",
        "not authorized",
    ];
    const SCHEMA_INSIDE: [&str; 5] = [
        " has no column named ",
        " columns but ",
        " values for ",
        " already exists",
        " is circularly defined",
    ];
    if TRANSACTION.iter().any(|start| message.starts_with(start)) {
        Fault::Transaction
    } else if SCHEMA.iter().any(|start| message.starts_with(start))
        || SCHEMA_INSIDE.iter().any(|part| message.contains(part))
    {
        Fault::Schema
    } else {
        Fault::Value
    }
}

/// SQLite's own name of the result code, with the extended code where it has one.
pub(crate) fn code_of(error: &Error) -> Option<String> {
    match error {
        Error::SqliteFailure(code, _) | Error::SqlInputError { error: code, .. } => {
            Some(code_name(code.extended_code).into_owned())
        }
        _ => None,
    }
}

fn code_name(extended: i32) -> Cow<'static, str> {
    let exact = match extended {
        ffi::SQLITE_BUSY_SNAPSHOT => "SQLITE_BUSY_SNAPSHOT",
        ffi::SQLITE_BUSY_RECOVERY => "SQLITE_BUSY_RECOVERY",
        ffi::SQLITE_CONSTRAINT_CHECK => "SQLITE_CONSTRAINT_CHECK",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "SQLITE_CONSTRAINT_DATATYPE",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "SQLITE_CONSTRAINT_FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "SQLITE_CONSTRAINT_NOTNULL",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "SQLITE_CONSTRAINT_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_ROWID => "SQLITE_CONSTRAINT_ROWID",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "SQLITE_CONSTRAINT_TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "SQLITE_CONSTRAINT_UNIQUE",
        ffi::SQLITE_IOERR_FSYNC => "SQLITE_IOERR_FSYNC",
        ffi::SQLITE_IOERR_READ => "SQLITE_IOERR_READ",
        ffi::SQLITE_IOERR_SHORT_READ => "SQLITE_IOERR_SHORT_READ",
        ffi::SQLITE_IOERR_WRITE => "SQLITE_IOERR_WRITE",
        ffi::SQLITE_READONLY_DIRECTORY => "SQLITE_READONLY_DIRECTORY",
        _ => "",
    };
    if !exact.is_empty() {
        return exact.into();
    }
    let primary = match extended & 0xff {
        ffi::SQLITE_ERROR => "SQLITE_ERROR",
        ffi::SQLITE_ABORT => "SQLITE_ABORT",
        ffi::SQLITE_AUTH => "SQLITE_AUTH",
        ffi::SQLITE_BUSY => "SQLITE_BUSY",
        ffi::SQLITE_CANTOPEN => "SQLITE_CANTOPEN",
        ffi::SQLITE_CONSTRAINT => "SQLITE_CONSTRAINT",
        ffi::SQLITE_CORRUPT => "SQLITE_CORRUPT",
        ffi::SQLITE_FULL => "SQLITE_FULL",
        ffi::SQLITE_INTERRUPT => "SQLITE_INTERRUPT",
        ffi::SQLITE_IOERR => "SQLITE_IOERR",
        ffi::SQLITE_LOCKED => "SQLITE_LOCKED",
        ffi::SQLITE_MISMATCH => "SQLITE_MISMATCH",
        ffi::SQLITE_MISUSE => "SQLITE_MISUSE",
        ffi::SQLITE_NOMEM => "SQLITE_NOMEM",
        ffi::SQLITE_NOTADB => "SQLITE_NOTADB",
        ffi::SQLITE_PERM => "SQLITE_PERM",
        ffi::SQLITE_PROTOCOL => "SQLITE_PROTOCOL",
        ffi::SQLITE_RANGE => "SQLITE_RANGE",
        ffi::SQLITE_READONLY => "SQLITE_READONLY",
        ffi::SQLITE_SCHEMA => "SQLITE_SCHEMA",
        ffi::SQLITE_TOOBIG => "SQLITE_TOOBIG",
        _ => return format!("SQLite code {extended}").into(),
    };
    if extended > 0xff { format!("{primary} ({extended})").into() } else { primary.into() }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn fault(sql: &str) -> (Option<Fault>, Option<String>) {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT NOT NULL UNIQUE, s CHECK (s <> 'bad'));
             CREATE TRIGGER refuses BEFORE INSERT ON t WHEN new.s = 'raised' BEGIN
                 SELECT RAISE(ABORT, 'no such customer');
             END;
             INSERT INTO t VALUES (1, 'a', '');",
        )
        .unwrap();
        let error = conn.execute_batch(sql).unwrap_err();
        (fault_of(&error), code_of(&error))
    }

    #[test]
    fn what_sql_cannot_do_and_what_data_cannot_be_are_told_apart() {
        for sql in [
            "SELECT * FROM missing",
            "SELECT missing FROM t",
            "SELECT nosuchfunction(1)",
            "SELEC 1",
            "SELECT",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t (missing) VALUES (1)",
            "SELECT abs(1, 2)",
            "CREATE TABLE t (x)",
            "SELECT (1, 2) = 1",
        ] {
            assert_eq!(fault(sql).0, Some(Fault::Schema), "{sql}");
        }
        for sql in [
            "SELECT '{' ->> 'a'",
            "SELECT abs(-9223372036854775808)",
            "SELECT json_extract('{}', 'x')",
            "INSERT INTO t (id, n) VALUES ('x', 'b')",
        ] {
            assert_eq!(fault(sql).0, Some(Fault::Value), "{sql}");
        }
        assert_eq!(fault("SELECT zeroblob(2000000000)").0, Some(Fault::TooBig));
        assert_eq!(fault("RELEASE gone").0, Some(Fault::Transaction));
    }

    #[test]
    fn constraints_carry_their_extended_code() {
        for (sql, code) in [
            ("INSERT INTO t VALUES (1, 'b', '')", "SQLITE_CONSTRAINT_PRIMARYKEY"),
            ("INSERT INTO t VALUES (2, 'a', '')", "SQLITE_CONSTRAINT_UNIQUE"),
            ("INSERT INTO t VALUES (2, NULL, '')", "SQLITE_CONSTRAINT_NOTNULL"),
            ("INSERT INTO t VALUES (2, 'b', 'bad')", "SQLITE_CONSTRAINT_CHECK"),
            ("INSERT INTO t VALUES (2, 'b', 'raised')", "SQLITE_CONSTRAINT_TRIGGER"),
        ] {
            assert_eq!(fault(sql), (Some(Fault::Constraint), Some(code.to_owned())), "{sql}");
        }
    }
}
