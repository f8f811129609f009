//! A value on its way from an event's JSON into a statement.

/// What a parameter is bound to.
///
/// It says what stood in the payload and leaves the database's types to the adapter: a number that no `i64`
/// holds stays text, so that nothing is rounded before a `numeric` column sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlValue {
    /// The path leads nowhere, or to `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A JSON number without fraction and exponent, within `i64`.
    Integer(i64),
    /// Any other JSON number, exactly as it is written in the payload: `14.50`, `1E400`, `-0`.
    Number(String),
    /// A JSON string, unescaped, or any other text.
    Text(String),
    /// A JSON object or array, exactly as it is written in the payload.
    Json(String),
}

impl SqlValue {
    /// The value of one JSON value. `raw` is valid JSON without white space around it.
    ///
    /// # Errors
    /// A string that holds an escaped half of a surrogate pair alone (`"\ud800"`), which is no text.
    pub(super) fn from_json(raw: &str) -> Result<Self, serde_json::Error> {
        Ok(match raw.as_bytes() {
            b"null" => Self::Null,
            b"true" => Self::Bool(true),
            b"false" => Self::Bool(false),
            [b'{' | b'[', ..] => Self::Json(raw.to_owned()),
            [b'"', plain @ .., b'"'] if !plain.contains(&b'\\') => {
                Self::Text(raw[1..raw.len() - 1].to_owned())
            }
            [b'"', ..] => Self::Text(serde_json::from_str(raw)?),
            // An integer has no sign for zero, so -0 is kept as it is written.
            b"-0" => Self::Number(raw.to_owned()),
            // `parse` refuses fractions, exponents and what is out of range.
            _ => raw.parse().map_or_else(|_| Self::Number(raw.to_owned()), Self::Integer),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(raw: &str) -> SqlValue {
        SqlValue::from_json(raw).unwrap()
    }

    #[test]
    fn f_3_an_integer_within_i64_is_an_integer_and_every_other_number_keeps_its_text() {
        for (raw, integer) in [
            ("0", 0),
            ("7", 7),
            ("-1", -1),
            ("9223372036854775806", i64::MAX - 1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775807", i64::MIN + 1),
            ("-9223372036854775808", i64::MIN),
            ("9007199254740993", 9_007_199_254_740_993),
        ] {
            assert_eq!(value(raw), SqlValue::Integer(integer), "{raw}");
        }
        for raw in [
            "-0",
            "-0.0",
            "0.0",
            "1.0",
            "14.50",
            "0.1",
            "1E2",
            "1e400",
            "-1e-400",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "123456789012345678901234567890.123456789",
        ] {
            assert_eq!(value(raw), SqlValue::Number(raw.to_owned()), "{raw}");
        }
    }

    #[test]
    fn f_3_strings_are_unescaped() {
        for (raw, text) in [
            (r#""""#, ""),
            (r#""plain €""#, "plain €"),
            (r#""a\"b\\c\/d\n""#, "a\"b\\c/d\n"),
            (r#""\u00e9\ud83d\ude00""#, "é😀"),
            (r#""\u0000""#, "\0"),
            (r#""\\""#, "\\"),
            (r#""7""#, "7"),
            (r#""null""#, "null"),
        ] {
            assert_eq!(value(raw), SqlValue::Text(text.to_owned()), "{raw}");
        }
        for raw in [r#""\ud800""#, r#""x\udc00""#, r#""\ud800\ud800""#] {
            assert!(SqlValue::from_json(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn f_3_the_rest_is_null_bool_or_json_as_written() {
        assert_eq!(value("null"), SqlValue::Null);
        assert_eq!(value("true"), SqlValue::Bool(true));
        assert_eq!(value("false"), SqlValue::Bool(false));
        for raw in ["{}", "[]", r#"{ "b" : 1.50, "a":[ ] , "b":2 }"#, r#"[1e400,"\ud800"]"#] {
            assert_eq!(value(raw), SqlValue::Json(raw.to_owned()));
        }
    }
}
