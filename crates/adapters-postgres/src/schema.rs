//! The schema that our tables and functions live in, and the one place where SQL text is put together.
//!
//! Every statement of ours is written with `highwater.` before the names of our own tables and functions; here
//! that becomes the chosen schema, quoted. Values are never spliced in: they are bound.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

use highwater_core::error::{Error, ErrorKind};

/// The longest identifier that PostgreSQL keeps.
const LONGEST: usize = 63;

/// The name of the schema, quoted.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    name: Arc<str>,
    quoted: Arc<str>,
}

impl Schema {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// `Invalid` for a name that PostgreSQL does not keep as it is.
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        if name.is_empty() || name.len() > LONGEST || name.contains('\0') || name.starts_with("pg_") {
            return Err(Error::new(ErrorKind::Invalid, "choose a schema")
                .with("schema", name)
                .because("a schema's name has 1 to 63 bytes, no NUL, and does not begin with pg_"));
        }
        let quoted = quote_identifier(name);
        Ok(Self { name: name.into(), quoted: quoted.into() })
    }

    /// The name as the catalogue has it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name as SQL writes it.
    pub(crate) fn quoted(&self) -> &str {
        &self.quoted
    }

    /// A statement of ours in this schema.
    pub(crate) fn text(&self, template: &str) -> String {
        template.replace("highwater.", &format!("{}.", self.quoted))
    }

    /// A statement of ours in this schema, for the driver. Prepared statements are kept by their text, so it
    /// pays to make it once and keep it.
    pub(crate) fn sql(&self, template: &str) -> Statement {
        Statement(self.text(template).into())
    }
}

/// A statement whose text is made of constants and quoted identifiers only.
#[derive(Debug, Clone)]
pub(crate) struct Statement(Arc<str>);

impl Statement {
    /// What `sqlx::query` and its kin take.
    pub(crate) fn safe(&self) -> AssertSqlSafe<Arc<str>> {
        AssertSqlSafe(self.0.clone())
    }
}

/// A name in double quotes.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes, whatever `standard_conforming_strings` says.
pub(crate) fn quote_literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("E'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_bad_ones_refused() {
        let schema = Schema::new("odd\"name").unwrap();
        assert_eq!(schema.text("SELECT highwater.f()"), "SELECT \"odd\"\"name\".f()");
        for bad in ["", "pg_mine", "a\0b", &"x".repeat(64)] {
            assert_eq!(Schema::new(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(quote_literal(r"it's a \"), r"E'it\'s a \\'");
    }
}
