//! The class of driver errors that a projection meets.

use std::error::Error as StdError;

use highwater_core::policy::{Class, ClassifyError, Decided};

use crate::fault::{Fault, code_of, fault_of};

/// Knows `rusqlite::Error`: what passes, what is the event's own fault, and what no event can mend.
///
/// An interrupted statement is unclassified: with an event run alone, it is that event that takes too long.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteClassifier;

impl ClassifyError for SqliteClassifier {
    fn classify(&self, error: &(dyn StdError + 'static)) -> Option<Decided> {
        let error = error.downcast_ref::<rusqlite::Error>()?;
        let class = match fault_of(error)? {
            Fault::Contention | Fault::Unavailable => Class::Transient,
            Fault::Constraint | Fault::Value | Fault::TooBig | Fault::Conversion => Class::Permanent,
            Fault::Schema
            | Fault::Denied
            | Fault::Access
            | Fault::Corrupt
            | Fault::Transaction
            | Fault::Misuse => Class::Fatal,
            Fault::Interrupted | Fault::Opaque => Class::Unclassified,
        };
        Some(Decided { class, code: code_of(error), by: "sqlite" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rusqlite::{Connection, ffi};

    use highwater_core::Failure;
    use highwater_core::policy::Classifier;

    use super::*;

    fn class(error: rusqlite::Error) -> Class {
        Classifier::new().with(Arc::new(SqliteClassifier)).failure(&Failure::new(error)).class
    }

    fn code(extended: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended), None)
    }

    #[test]
    fn b_9_the_class_follows_the_type_of_the_error() {
        for passing in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_NOMEM,
        ] {
            assert_eq!(class(code(passing)), Class::Transient, "{passing}");
        }
        for data in
            [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_MISMATCH, ffi::SQLITE_TOOBIG, ffi::SQLITE_ERROR]
        {
            assert_eq!(class(code(data)), Class::Permanent, "{data}");
        }
        for fatal in [ffi::SQLITE_AUTH, ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_PERM] {
            assert_eq!(class(code(fatal)), Class::Fatal, "{fatal}");
        }
        assert_eq!(class(code(ffi::SQLITE_INTERRUPT)), Class::Unclassified);
        assert_eq!(class(rusqlite::Error::QueryReturnedNoRows), Class::Unclassified);
    }

    #[test]
    fn what_real_statements_answer() {
        let conn = Connection::open_in_memory().unwrap();
        let error = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_err();
        assert_eq!(class(error("SELECT json_extract('{', '$.a')")), Class::Permanent);
        assert_eq!(class(error("SELECT 'text'")), Class::Permanent, "a value of the wrong type");
        assert_eq!(class(error("SELECT x FROM missing")), Class::Fatal);
        assert_eq!(class(error("SELECT ?1, ?2")), Class::Fatal, "wrong number of parameters");
    }
}
