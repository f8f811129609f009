//! Values written into the text of a statement.
//!
//! Only the statements that travel together with a `COMMIT` need them: several statements in one flight take
//! no bound values. Every value is a quoted literal, whatever its type, and the server reads it as the
//! column's type; so there is one way to write a value, and it is [`quote_literal`].

use highwater_core::model::Position;

use crate::schema::quote_literal;
use crate::text::escaped;

/// A text, escaped where it has a NUL character.
pub(super) fn text(value: &str) -> String {
    quote_literal(&escaped(value))
}

/// A number, a boolean or an id.
pub(super) fn plain(value: impl ToString) -> String {
    quote_literal(&value.to_string())
}

/// NULL where there is nothing.
pub(super) fn maybe<T>(value: Option<T>, write: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "NULL".to_owned(), write)
}

/// The halves of a position, or twice NULL.
pub(super) fn halves(position: Option<Position>) -> [String; 2] {
    [maybe(position, |at| plain(at.commit())), maybe(position, |at| plain(at.prepare()))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_quoted() {
        assert_eq!(text("it's \\ \0"), "E'it\\'s \\\\ \u{1}0'");
        assert_eq!(plain(i64::MIN), "E'-9223372036854775808'");
        assert_eq!(maybe(None::<u64>, plain), "NULL");
        assert_eq!(halves(Some(Position::MAX)), ["E'18446744073709551615'", "E'18446744073709551615'"]);
    }
}
