//! Which flow an event belongs to and what caused it, as far as its metadata says.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The ids of CloudEvents' correlation extension.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lineage {
    /// What all events of one flow share.
    pub(super) correlation: Option<String>,
    /// The id of the event, or command, that caused this one.
    pub(super) causation: Option<String>,
}

/// The keys that are in use: those of KurrentDB, snake case, camel case, and the extension's own.
#[derive(Deserialize, Default)]
struct Known<'m> {
    #[serde(rename = "$correlationId", borrow)]
    correlation_kurrent: Option<&'m RawValue>,
    #[serde(rename = "correlation_id", borrow)]
    correlation_snake: Option<&'m RawValue>,
    #[serde(rename = "correlationId", borrow)]
    correlation_camel: Option<&'m RawValue>,
    #[serde(rename = "correlationid", borrow)]
    correlation_flat: Option<&'m RawValue>,
    #[serde(rename = "$causationId", borrow)]
    causation_kurrent: Option<&'m RawValue>,
    #[serde(rename = "causation_id", borrow)]
    causation_snake: Option<&'m RawValue>,
    #[serde(rename = "causationId", borrow)]
    causation_camel: Option<&'m RawValue>,
    #[serde(rename = "causationid", borrow)]
    causation_flat: Option<&'m RawValue>,
}

impl Lineage {
    /// Reads what is there. Metadata may be anything: what is no object, or no text under a known key, says
    /// nothing; it is no error, since the metadata itself travels along.
    pub(super) fn of(metadata: &[u8]) -> Self {
        let known: Known<'_> = serde_json::from_slice(metadata).unwrap_or_default();
        Self {
            correlation: first_text([
                known.correlation_kurrent,
                known.correlation_snake,
                known.correlation_camel,
                known.correlation_flat,
            ]),
            causation: first_text([
                known.causation_kurrent,
                known.causation_snake,
                known.causation_camel,
                known.causation_flat,
            ]),
        }
    }
}

fn first_text(candidates: [Option<&RawValue>; 4]) -> Option<String> {
    candidates
        .into_iter()
        .flatten()
        .filter_map(|raw| serde_json::from_str::<String>(raw.get()).ok())
        .find(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(metadata: &str) -> (Option<String>, Option<String>) {
        let Lineage { correlation, causation } = Lineage::of(metadata.as_bytes());
        (correlation, causation)
    }

    #[test]
    fn the_keys_in_use_are_known_and_the_first_text_counts() {
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        assert_eq!(ids(r#"{"$correlationId":"a","$causationId":"b"}"#), (a.clone(), b.clone()));
        assert_eq!(ids(r#"{"correlation_id":"a","causation_id":"b"}"#), (a.clone(), b.clone()));
        assert_eq!(ids(r#"{"correlationId":"a","causationId":"b"}"#), (a.clone(), b.clone()));
        assert_eq!(ids(r#"{"correlationid":"a","causationid":"b"}"#), (a.clone(), b));
        assert_eq!(ids(r#"{"$correlationId":7,"correlation_id":"","correlationId":"a"}"#), (a, None));
    }

    #[test]
    fn metadata_of_any_form_says_nothing_rather_than_failing() {
        for metadata in ["", "null", "[]", "7", "not json", r#"{"correlation_id":null}"#, r#"{"x":"\ud800"}"#]
        {
            assert_eq!(ids(metadata), (None, None), "{metadata}");
        }
        assert_eq!(Lineage::of(b"\xff"), Lineage::default());
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert_eq!(ids(&deep), (None, None));
    }
}
