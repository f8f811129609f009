//! What a line of the program means.

use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use highwater_core::Verdict;

/// The longest reason that is kept, in characters; what a dead letter needs is at its beginning.
const LONGEST_REASON: usize = 1000;

/// What the program says about an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is handled.
    Done,
    /// It is not.
    Failed {
        /// Why.
        reason: String,
        /// What should happen, if the program knows.
        verdict: Option<Verdict>,
        /// Not before this time has passed.
        retry_after: Option<Duration>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Uuid,
    ok: bool,
    error: Option<String>,
    verdict: Option<Word>,
    retry_after: Option<u64>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Word {
    Retry,
    Park,
    Skip,
    Stop,
}

impl From<Word> for Verdict {
    fn from(word: Word) -> Self {
        match word {
            Word::Retry => Self::Retry,
            Word::Park => Self::Park,
            Word::Skip => Self::Skip,
            Word::Stop => Self::Stop,
        }
    }
}

/// Reads the answer to the event `asked`.
///
/// # Errors
/// Why the line is none.
pub(super) fn parse(line: &[u8], asked: Uuid) -> Result<Answer, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| format!("it is no answer: {error}"))?;
    if line.id != asked {
        return Err(format!("it answers event {}, and {asked} was asked", line.id));
    }
    if line.ok {
        return match (line.error, line.verdict, line.retry_after) {
            (None, None, None) => Ok(Answer::Done),
            _ => Err("it says ok and gives a reason against it".to_owned()),
        };
    }
    if line.retry_after.is_some() && line.verdict != Some(Word::Retry) {
        return Err("it has `retry_after` without the verdict `retry`".to_owned());
    }
    let reason = line.error.unwrap_or_default();
    Ok(Answer::Failed {
        reason: if reason.is_empty() {
            "no reason given".to_owned()
        } else {
            reason.chars().take(LONGEST_REASON).collect()
        },
        verdict: line.verdict.map(Verdict::from),
        retry_after: line.retry_after.map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use highwater_testkit::fixtures::id;

    use super::*;

    fn read(rest: &str) -> Result<Answer, String> {
        parse(format!(r#"{{"id":"{}",{rest}}}"#, id(1)).as_bytes(), id(1))
    }

    fn failed(
        reason: &str,
        verdict: Option<Verdict>,
        retry_after: Option<Duration>,
    ) -> Result<Answer, String> {
        Ok(Answer::Failed { reason: reason.to_owned(), verdict, retry_after })
    }

    #[test]
    fn an_answer_is_ok_or_a_reason_with_a_verdict() {
        assert_eq!(read(r#""ok":true"#), Ok(Answer::Done));
        assert_eq!(read(r#" "ok" : true , "error" : null "#), Ok(Answer::Done));
        assert_eq!(read(r#""ok":false"#), failed("no reason given", None, None));
        assert_eq!(read(r#""ok":false,"error":"gone""#), failed("gone", None, None));
        for (word, verdict) in [
            ("retry", Verdict::Retry),
            ("park", Verdict::Park),
            ("skip", Verdict::Skip),
            ("stop", Verdict::Stop),
        ] {
            let said = read(&format!(r#""ok":false,"error":"x","verdict":"{word}""#));
            assert_eq!(said, failed("x", Some(verdict), None));
        }
        let wait = Some(Duration::from_secs(30));
        let said = read(r#""ok":false,"error":"x","verdict":"retry","retry_after":30"#);
        assert_eq!(said, failed("x", Some(Verdict::Retry), wait));
    }

    #[test]
    fn a_misspelled_or_contradicting_answer_is_none() {
        for bad in [
            r#""ok":"true""#,
            r#""okay":true"#,
            r#""ok":true,"error":"but""#,
            r#""ok":true,"verdict":"skip""#,
            r#""ok":false,"verdit":"skip""#,
            r#""ok":false,"verdict":"drop""#,
            r#""ok":false,"verdict":"park","retry_after":1"#,
            r#""ok":false,"verdict":"retry","retry_after":-1"#,
            r#""ok":true}, {"#,
            r#""ok":false,"error":"cut"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(parse(b"", id(1)).is_err());
        assert!(parse(b"ok", id(1)).is_err());
        assert!(parse(b"\xff", id(1)).is_err());
        assert!(parse(br#"{"ok":true}"#, id(1)).unwrap_err().contains("id"));
    }

    #[test]
    fn an_answer_to_another_event_is_none() {
        let line = format!(r#"{{"id":"{}","ok":true}}"#, id(2));
        assert!(parse(line.as_bytes(), id(1)).unwrap_err().contains("answers event"));
    }

    #[test]
    fn a_reason_is_bounded() {
        let Ok(Answer::Failed { reason, .. }) =
            read(&format!(r#""ok":false,"error":"{}""#, "é".repeat(5000)))
        else {
            panic!("a failure")
        };
        assert_eq!(reason.chars().count(), LONGEST_REASON);
    }
}
