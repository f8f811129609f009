//! Which flow an event belongs to, as far as its metadata says.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The keys that are in use: KurrentDB's, snake case, camel case, and that of CloudEvents' extension.
#[derive(Deserialize, Default)]
struct Known<'m> {
    #[serde(rename = "$correlationId", borrow)]
    kurrent: Option<&'m RawValue>,
    #[serde(rename = "correlation_id", borrow)]
    snake: Option<&'m RawValue>,
    #[serde(rename = "correlationId", borrow)]
    camel: Option<&'m RawValue>,
    #[serde(rename = "correlationid", borrow)]
    flat: Option<&'m RawValue>,
}

/// The correlation id in an event's metadata, for logs; `None` where the metadata is no object, or says
/// nothing. That is no error: metadata may be anything.
#[must_use]
pub fn correlation_id(metadata: &[u8]) -> Option<String> {
    let known: Known<'_> = serde_json::from_slice(metadata).unwrap_or_default();
    let texts = [known.kurrent, known.snake, known.camel, known.flat].into_iter().flatten();
    let mut texts = texts.filter_map(|raw| serde_json::from_str::<String>(raw.get()).ok());
    texts.find(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_under_the_keys_in_use_and_nothing_else_is_an_error() {
        for metadata in [
            r#"{"$correlationId":"c-1"}"#,
            r#"{"other":{"deep":[1e400]},"correlation_id":"c-1"}"#,
            r#"{"$correlationId":7,"correlationId":"c-1"}"#,
            r#"{"correlation_id":"","correlationid":"c-1"}"#,
        ] {
            assert_eq!(correlation_id(metadata.as_bytes()).as_deref(), Some("c-1"), "{metadata}");
        }
        for metadata in [&b"{}"[..], b"", b"[]", b"{\"correlationId\":null}", b"\xff\xfe"] {
            assert_eq!(correlation_id(metadata), None, "{metadata:?}");
        }
    }
}
