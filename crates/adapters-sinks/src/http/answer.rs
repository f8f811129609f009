//! What came back, and what it means for the event.
//!
//! The table is written for the person who is called at night. Three questions decide. Can time alone heal
//! it? Then nothing is parked and nobody need act: wait. Is it this event that the receiver does not want?
//! Then park it and go on. Is it the set-up that is wrong? Then stop before every event is parked for it.

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Response, StatusCode, Url};

use highwater_core::{Error, ErrorKind, Retry};

use super::excerpt::Secrets;
use super::retry_after::retry_after;

/// How much of an answer's body is read. What is longer is cut off, and the connection with it: a receiver
/// that sends without end must cost neither memory nor time.
const MOST_READ: usize = 64 << 10;

/// An answer, read as far as it matters.
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Why the body broke off before its end.
    broken: Option<reqwest::Error>,
}

impl Answer {
    /// Reads the body, up to a limit. Ends with the request's time-out at the latest.
    pub(super) async fn read(mut response: Response) -> Self {
        let mut answer = Self {
            status: response.status(),
            headers: response.headers().clone(),
            body: Vec::new(),
            broken: None,
        };
        while answer.body.len() < MOST_READ {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = MOST_READ - answer.body.len();
                    answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
                Ok(None) => break,
                Err(error) => {
                    answer.broken = Some(error.without_url());
                    break;
                }
            }
        }
        answer
    }

    /// The status, for logs.
    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// `Ok` where the receiver has confirmed that it took what was sent.
    ///
    /// # Errors
    /// What the answer means, with a piece of its body.
    pub(super) fn result(self, operation: &'static str, url: &Url, secrets: &Secrets) -> Result<(), Error> {
        let Some((kind, hint)) = meaning(self.status) else {
            return match self.broken {
                None => Ok(()),
                // The confirmation was cut: whoever sent it may have failed while it did.
                Some(cause) => Err(Error::new(ErrorKind::Unavailable, operation)
                    .with("status", self.status)
                    .with("answer", "broken off")
                    .because(cause)),
            };
        };
        let mut error = Error::new(kind, operation).code(self.status.as_str()).with("status", self.status);
        if let Some(said) = secrets.excerpt(&self.body) {
            error = error.with("answer", format!("\"{said}\""));
        }
        if self.status.is_redirection()
            && let Some(target) = self.target(url)
        {
            error = error.with("redirect to", target);
        }
        if kind == ErrorKind::Unavailable
            && let Some(wait) = retry_after(&self.headers)
        {
            error = error.with("retry after", format!("{} s", wait.as_secs())).retry(Retry::After(wait));
        }
        Err(match hint {
            Some(hint) => error.because(hint),
            None => error,
        })
    }

    /// Where a redirect leads, without what may be a secret in it.
    fn target(&self, url: &Url) -> Option<String> {
        let target = url.join(self.headers.get(LOCATION)?.to_str().ok()?).ok()?;
        Some(target.origin().ascii_serialization())
    }
}

/// Of what an answer of this status fails, and what a person can do about it; `None` for what confirms.
fn meaning(status: StatusCode) -> Option<(ErrorKind, Option<&'static str>)> {
    Some(match status.as_u16() {
        207 => (
            ErrorKind::Unsupported,
            Some(
                "an answer of several statuses is not read: let the receiver answer once for all, or turn \
                  batches off",
            ),
        ),
        200..=299 => return None,
        300..=399 => (
            ErrorKind::Invalid,
            Some(
                "redirects are not followed, since they would take the events and the credentials elsewhere: \
                  set the url to where it leads",
            ),
        ),
        401 | 403 | 407 => (
            ErrorKind::AccessDenied,
            Some("see the credentials in the headers, and whether they may still post there"),
        ),
        404 => (
            ErrorKind::Unavailable,
            Some(
                "nothing is there now: see the path of the url, and whether the receiver is deployed; it \
                 goes on by itself once it is",
            ),
        ),
        405 => (ErrorKind::Invalid, Some("what is there takes no POST: see the path of the url")),
        409 => (ErrorKind::Other, None),
        410 => (
            ErrorKind::Invalid,
            Some("the receiver has been retired for good: remove it, or set its new url"),
        ),
        415 => (
            ErrorKind::Unsupported,
            Some(
                "the receiver takes no CloudEvents in JSON, or no batches of them (see the `batch` setting)",
            ),
        ),
        408 | 425 | 429 | 500..=599 => (ErrorKind::Unavailable, None),
        400..=499 => (ErrorKind::Unstorable, None),
        _ => (ErrorKind::Other, Some("that is no status of HTTP's: see what answers at the url")),
    })
}

#[cfg(test)]
mod tests {
    use highwater_core::Failure;
    use highwater_core::policy::{Class, Classifier};

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Error {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
            body: body.as_bytes().to_vec(),
            broken: None,
        };
        let url = Url::parse("https://x.example/hook").unwrap();
        answer.result("post an event", &url, &Secrets::default()).unwrap_err()
    }

    #[test]
    fn every_status_has_its_class() {
        let class = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            let (kind, _) = meaning(status)?;
            Some(Classifier::new().failure(&Failure::new(Error::new(kind, "x"))).class)
        };
        for taken in (200..=206).chain([208, 226, 299]) {
            assert_eq!(class(taken), None, "{taken}");
        }
        for transient in [404, 408, 425, 429, 500, 501, 502, 503, 504, 507, 599] {
            assert_eq!(class(transient), Some(Class::Transient), "{transient}");
        }
        for permanent in [400, 402, 406, 411, 412, 413, 414, 418, 421, 422, 428, 431, 451, 499] {
            assert_eq!(class(permanent), Some(Class::Permanent), "{permanent}");
        }
        for fatal in [207, 300, 301, 302, 303, 304, 307, 308, 401, 403, 405, 407, 410, 415] {
            assert_eq!(class(fatal), Some(Class::Fatal), "{fatal}");
        }
        for unclassified in [100, 409, 600, 999] {
            assert_eq!(class(unclassified), Some(Class::Unclassified), "{unclassified}");
        }
    }

    #[test]
    fn a_wait_is_taken_over_only_where_waiting_helps() {
        let wait = Retry::After(std::time::Duration::from_secs(7));
        assert_eq!(answer(429, &[("retry-after", "7")], "").retryable(), wait);
        assert_eq!(answer(503, &[("retry-after", "7")], "").retryable(), wait);
        assert_eq!(answer(503, &[], "").retryable(), ErrorKind::Unavailable.default_retry());
        assert_eq!(answer(422, &[("retry-after", "7")], "").retryable(), Retry::Never);
        assert_eq!(answer(308, &[("retry-after", "7")], "").retryable(), Retry::Never);
    }

    #[test]
    fn the_text_says_what_was_answered_and_what_to_do() {
        let error = answer(422, &[], "no such\ncustomer");
        assert_eq!(
            error.chain(),
            r#"post an event (status 422 Unprocessable Entity, answer "no such\ncustomer")"#
        );
        assert_eq!(error.backend_code(), Some("422"));
        let moved = answer(307, &[("location", "https://me:pw@y.example/hook?token=x")], "");
        assert!(moved.to_string().contains("redirect to https://y.example)"), "{moved}");
        assert!(moved.chain().contains("set the url to where it leads"), "{}", moved.chain());
        assert!(
            answer(302, &[("location", "/else")], "").to_string().contains("redirect to https://x.example)")
        );
    }
}
