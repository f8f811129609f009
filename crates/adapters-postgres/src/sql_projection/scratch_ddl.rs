//! What becomes of a schema's statements when temporary tables stand in for the real ones.
//!
//! A change to a real table shows by the lock that it takes, and is rolled back. What takes no such lock, or
//! removes what would show it, is told apart here, by its words.

use super::table_name::Words;

/// What to do with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Run it.
    Run,
    /// Run it so that it finds nothing but what is temporary.
    Within,
    /// Leave it out: it is not about the rows of the read model.
    Skip,
    /// It names what is real.
    Refuse,
}

/// Kinds of objects that live in a schema, and so may be temporary.
const IN_SCHEMAS: [&str; 13] = [
    "TABLE",
    "VIEW",
    "INDEX",
    "SEQUENCE",
    "TYPE",
    "DOMAIN",
    "TRIGGER",
    "RULE",
    "POLICY",
    "FUNCTION",
    "PROCEDURE",
    "ROUTINE",
    "AGGREGATE",
];
/// Those among them whose changes take a lock that shows.
const LOCKED: [&str; 4] = ["TABLE", "VIEW", "INDEX", "SEQUENCE"];

pub(super) fn treatment(sql: &str) -> Treatment {
    let mut words = Words(sql);
    let qualified = Words(sql).any(|word| word.is("."));
    if words.pass("COMMENT") || words.pass("GRANT") || words.pass("REVOKE") || words.pass("SECURITY") {
        return Treatment::Skip;
    }
    if words.pass("DROP") {
        let known = IN_SCHEMAS.iter().any(|kind| words.pass(kind));
        return if known && !qualified { Treatment::Within } else { Treatment::Refuse };
    }
    if words.pass("ALTER") {
        if LOCKED.iter().any(|kind| words.pass(kind)) {
            return Treatment::Run;
        }
        let known = IN_SCHEMAS.iter().any(|kind| words.pass(kind));
        return if known && !qualified { Treatment::Within } else { Treatment::Refuse };
    }
    if words.pass("CREATE") {
        let _or_replace = words.pass("OR") && words.pass("REPLACE");
        let rows =
            ["TABLE", "UNLOGGED", "TEMP", "TEMPORARY", "VIEW", "RECURSIVE", "INDEX", "UNIQUE", "SEQUENCE"];
        if rows.iter().any(|kind| words.pass(kind)) {
            return Treatment::Run;
        }
        let (trigger, policy) = (words.pass("TRIGGER") || words.pass("CONSTRAINT"), words.pass("POLICY"));
        if trigger || policy || words.pass("RULE") || words.pass("STATISTICS") {
            return Treatment::Run;
        }
        let own = ["TYPE", "DOMAIN", "FUNCTION", "PROCEDURE", "AGGREGATE"];
        if own.iter().any(|kind| words.pass(kind)) {
            let named = words.next().is_some() && words.pass(".");
            return if named { Treatment::Skip } else { Treatment::Run };
        }
        // Extensions, schemas, roles: they are there where the projection ran.
        return Treatment::Skip;
    }
    Treatment::Run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e_26_what_is_real_is_left_alone() {
        for (sql, expected) in [
            ("CREATE TABLE t (x int DEFAULT 1.5)", Treatment::Run),
            ("CREATE UNIQUE INDEX i ON t (x)", Treatment::Run),
            ("CREATE OR REPLACE VIEW v AS SELECT app.f()", Treatment::Run),
            ("ALTER TABLE app.t ADD x int", Treatment::Run),
            ("INSERT INTO t VALUES (1.5)", Treatment::Run),
            ("CREATE OR REPLACE FUNCTION f() RETURNS int", Treatment::Run),
            ("CREATE OR REPLACE FUNCTION app.f() RETURNS int", Treatment::Skip),
            ("CREATE EXTENSION IF NOT EXISTS pg_trgm", Treatment::Skip),
            ("GRANT SELECT ON app.t TO reader", Treatment::Skip),
            ("COMMENT ON TABLE t IS 'x'", Treatment::Skip),
            ("DROP TABLE IF EXISTS t", Treatment::Within),
            ("ALTER TYPE mood ADD VALUE 'x'", Treatment::Within),
            ("DROP TABLE t, app.t", Treatment::Refuse),
            ("DROP SCHEMA app CASCADE", Treatment::Refuse),
            ("ALTER TYPE app.mood ADD VALUE 'x'", Treatment::Refuse),
            ("ALTER ROLE me SET x = 1", Treatment::Refuse),
            ("DROP OWNED BY me", Treatment::Refuse),
        ] {
            assert_eq!(treatment(sql), expected, "{sql}");
        }
    }
}
