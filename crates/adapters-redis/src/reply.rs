//! Answers of the server, read piece by piece.

use deadpool_redis::redis::Value;

use highwater_core::error::Error;
use highwater_core::model::Position;

use crate::error::{corrupt, refused};

/// An answer that is no error.
///
/// # Errors
/// What the server said.
pub(crate) fn checked(operation: &'static str, value: Value) -> Result<Value, Error> {
    match value {
        Value::ServerError(error) => Err(refused(operation, &error)),
        value => Ok(value),
    }
}

/// A list of bytes or nothing: what HMGET answers, and our scripts.
pub(crate) struct Fields {
    operation: &'static str,
    fields: std::vec::IntoIter<Value>,
}

impl Fields {
    /// Takes a list apart.
    ///
    /// # Errors
    /// What the server said, or that it is no list.
    pub(crate) fn of(operation: &'static str, value: Value) -> Result<Self, Error> {
        match checked(operation, value)? {
            Value::Array(fields) => Ok(Self { operation, fields: fields.into_iter() }),
            _ => Err(corrupt(operation, "the server has not answered with a list")),
        }
    }

    /// The next one, whatever it is.
    pub(crate) fn value(&mut self) -> Option<Value> {
        self.fields.next()
    }

    /// The next one; `None` where it is nothing.
    ///
    /// # Errors
    /// `Corrupt` if it is neither; so for all methods.
    pub(crate) fn bytes(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match self.fields.next() {
            Some(Value::BulkString(bytes)) => Ok(Some(bytes)),
            Some(Value::SimpleString(text)) => Ok(Some(text.into_bytes())),
            Some(Value::Okay) => Ok(Some(b"OK".to_vec())),
            Some(Value::Int(number)) => Ok(Some(number.to_string().into_bytes())),
            Some(Value::Nil) => Ok(None),
            Some(_) => Err(self.corrupt("a part of the answer is of an unexpected type")),
            None => Err(self.corrupt("the answer is too short")),
        }
    }

    /// A text that has to be there.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let bytes = self.bytes()?.ok_or_else(|| self.corrupt("a part of the answer is missing"))?;
        String::from_utf8(bytes).map_err(|error| corrupt(self.operation, error))
    }

    /// A `u64` that has to be there.
    pub(crate) fn number(&mut self) -> Result<u64, Error> {
        let text = self.text()?;
        parse_u64(&text).ok_or_else(|| self.corrupt(&format!("`{text}` is no number")))
    }

    /// Two halves that have to be there.
    pub(crate) fn position(&mut self) -> Result<Position, Error> {
        Ok(Position::new(self.number()?, self.number()?))
    }

    /// Two halves, or neither.
    pub(crate) fn maybe_position(&mut self) -> Result<Option<Position>, Error> {
        let halves = (self.bytes()?, self.bytes()?);
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(parse_u64);
        match &halves {
            (None, None) => Ok(None),
            (Some(commit), Some(prepare)) => match (number(commit), number(prepare)) {
                (Some(commit), Some(prepare)) => Ok(Some(Position::new(commit, prepare))),
                _ => Err(self.corrupt(&format!(
                    "`{}:{}` is no position",
                    String::from_utf8_lossy(commit),
                    String::from_utf8_lossy(prepare)
                ))),
            },
            _ => Err(self.corrupt("one half of the position is missing")),
        }
    }

    pub(crate) fn corrupt(&self, what: &str) -> Error {
        corrupt(self.operation, what.to_owned())
    }
}

/// A whole number as the server's answers have it.
///
/// # Errors
/// What the server said, or that it is no number.
pub(crate) fn integer(operation: &'static str, value: Value) -> Result<u64, Error> {
    match checked(operation, value)? {
        Value::Int(number) => {
            u64::try_from(number).map_err(|_| corrupt(operation, format!("the server counts {number}")))
        }
        _ => Err(corrupt(operation, "the server has not answered with a number")),
    }
}

/// A canonical decimal: there is one text for each number, since texts are what is compared (D-1).
pub(crate) fn parse_u64(text: &str) -> Option<u64> {
    let canonical = text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use highwater_core::ErrorKind;

    use super::*;

    fn list(fields: &[Option<&str>]) -> Fields {
        let value = |field: &Option<&str>| {
            field.map_or(Value::Nil, |text| Value::BulkString(text.as_bytes().to_vec()))
        };
        Fields::of("test", Value::Array(fields.iter().map(value).collect())).unwrap()
    }

    #[test]
    fn d_1_only_canonical_decimals_are_numbers() {
        assert_eq!(parse_u64("18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64("0"), Some(0));
        for text in ["", "00", "01", "+1", "-1", " 1", "1.0", "1e3", "18446744073709551616", "٣"] {
            assert_eq!(parse_u64(text), None, "{text:?}");
        }
    }

    #[test]
    fn d_4_absent_and_corrupt_are_two_answers() {
        assert_eq!(list(&[None, None]).maybe_position().unwrap(), None);
        assert_eq!(list(&[Some("3"), Some("0")]).maybe_position().unwrap(), Some(Position::new(3, 0)));
        for half in [[Some("3"), None], [None, Some("3")], [Some("03"), Some("0")], [Some("x"), Some("0")]] {
            assert_eq!(list(&half).maybe_position().unwrap_err().kind(), ErrorKind::Corrupt, "{half:?}");
        }
        assert_eq!(list(&[]).text().unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
