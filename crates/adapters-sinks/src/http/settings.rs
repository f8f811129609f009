//! How events are posted.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};

use highwater_core::settings::Violation;

use super::source::Source;

/// How events are posted. Only the url has no default.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where each request goes: `http://` or `https://`. A user and a password in it are sent as basic
    /// authentication. Only its scheme, host and port are ever printed: paths of webhooks are often secrets.
    pub url: String,
    /// Headers of every request, in this order. Their values may be secrets and are never printed, not even
    /// where the receiver sends them back. The content type, the headers that frame a request and the
    /// idempotency key are ours. Default: none, and `User-Agent: highwater/VERSION` unless one is given.
    pub headers: Vec<(String, String)>,
    /// How long a request may take, from connecting to the end of the answer. Default 10 s: patient with a
    /// slow receiver, and below the 20 s that a runner gives a handler, so that this limit, which can name
    /// what was waited for, is met first. Not 0.
    pub timeout: Duration,
    /// How long connecting may take, TLS included. Default 5 s: a host that does not answer by then is down,
    /// and half the time-out is left for one that does. Not 0, and at most `timeout`.
    pub connect_timeout: Duration,
    /// The `source` of the CloudEvents: a URI reference in which `{stream}` and `{category}` stand for the
    /// event's, percent-encoded. Default `/streams/{stream}`. Receivers that route by source want few of
    /// them: `/categories/{category}`, or one fixed URI. With the id, which is unique alone, it identifies an
    /// event.
    pub source: String,
    /// The header that carries the key that a receiver can tell a repetition by: the event's id, the same on
    /// every attempt; for a batch see [`HttpBatch`]. Default `Idempotency-Key`, the name of the IETF draft
    /// that most services follow.
    pub idempotency_header: String,
    /// Whether the event's metadata travels along, as text in the attribute `metadata` (in base64 in
    /// `metadatabase64` where it is no plain text), with `correlationid` and `causationid` where they are
    /// found in it. Default true: nothing of an event is lost. Turn it off where metadata is nobody else's
    /// business.
    pub metadata: bool,
    /// Several events in one request. Default `None`: one event a request, which every receiver of
    /// CloudEvents takes.
    pub batch: Option<HttpBatch>,
    /// Whether `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment are obeyed. Default
    /// true, as of most programs.
    pub proxy_from_environment: bool,
}

/// Several events in one request, as a JSON array (`application/cloudevents-batch+json`).
///
/// With batches on, every request is one, also that of a single event: the receiver meets one form only. It
/// must answer once for all of them. Where it refuses a batch for what is in it, the events of that batch are
/// posted again one by one, in order, so that the one that it means is found.
///
/// The idempotency key of a batch is made from the ids in it (a UUID of version 5; of a batch of one it is
/// the event's id), so a batch that is posted again as it was has the same key. An event that was posted in
/// one batch may come again in another: what a receiver of batches should look at are the ids of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpBatch {
    /// The most events in a request. Default 100: the cost of a request is shared, and little is redone when
    /// one fails. At least 1. A runner never hands over more than its own batch.
    pub max_events: usize,
    /// The most bytes of a request's body; a single larger event still goes, alone. Default 1 MiB, which most
    /// servers and gateways take. At least 1. Together with one event it bounds the memory of a request.
    pub max_bytes: usize,
}

impl Default for HttpBatch {
    fn default() -> Self {
        Self { max_events: 100, max_bytes: 1 << 20 }
    }
}

impl HttpSettings {
    /// Posts to this url, with the defaults.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            source: "/streams/{stream}".to_owned(),
            idempotency_header: "Idempotency-Key".to_owned(),
            metadata: true,
            batch: None,
            proxy_from_environment: true,
        }
    }

    /// Checks the settings against their bounds and each other.
    ///
    /// # Errors
    /// All violations, in the order of the settings; none prints a secret.
    pub fn validate(&self) -> Result<(), Vec<Violation>> {
        self.checked().map(drop)
    }

    pub(super) fn checked(&self) -> Result<Checked, Vec<Violation>> {
        let mut wrong = Vec::new();
        let url = note(&mut wrong, "url", check_url(&self.url));
        let key_header = note(&mut wrong, "idempotency_header", check_key_header(&self.idempotency_header));
        let headers = self.check_headers(&mut wrong, key_header.as_ref());
        for (setting, time) in [("timeout", self.timeout), ("connect_timeout", self.connect_timeout)] {
            if time.is_zero() {
                wrong.push(violation(setting, "is 0: no request could succeed".to_owned()));
            }
        }
        if self.connect_timeout > self.timeout {
            let problem =
                format!("is {:?}, longer than `timeout`, which is {:?}", self.connect_timeout, self.timeout);
            wrong.push(violation("connect_timeout", problem));
        }
        let source = note(&mut wrong, "source", Source::parse(&self.source));
        if let Some(batch) = self.batch {
            for (setting, value) in
                [("batch.max_events", batch.max_events), ("batch.max_bytes", batch.max_bytes)]
            {
                if value == 0 {
                    wrong.push(violation(setting, "is 0: it must be at least 1".to_owned()));
                }
            }
        }
        match (url, key_header, source) {
            (Some(url), Some(key_header), Some(source)) if wrong.is_empty() => {
                Ok(Checked { url, headers, key_header, source })
            }
            _ => Err(wrong),
        }
    }

    fn check_headers(&self, wrong: &mut Vec<Violation>, key_header: Option<&HeaderName>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            match header(name, value, key_header) {
                Ok((name, value)) => {
                    headers.append(name, value);
                }
                Err(problem) => wrong.push(violation("headers", problem)),
            }
        }
        headers
    }
}

/// The settings, read.
pub(super) struct Checked {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) key_header: HeaderName,
    pub(super) source: Source,
}

fn violation(setting: &'static str, problem: String) -> Violation {
    Violation { setting, problem }
}

fn note<T>(wrong: &mut Vec<Violation>, setting: &'static str, result: Result<T, String>) -> Option<T> {
    result.map_err(|problem| wrong.push(violation(setting, problem))).ok()
}

fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| {
        format!("is no URL: {error}; write it like https://host/path (its text is not shown here)")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("begins with {}: only http and https are spoken", url.scheme()));
    }
    if url.fragment().is_some() {
        return Err("has a fragment (what stands behind `#`), which is never sent: leave it out".to_owned());
    }
    Ok(url)
}

fn check_key_header(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::try_from(name).map_err(|_| format!("is no name of a header: {name:?}"))?;
    if is_framing(&parsed) {
        return Err(format!("is {parsed}, which has a meaning of its own"));
    }
    Ok(parsed)
}

/// A header, its value marked as a secret.
fn header(
    name: &str,
    value: &str,
    key_header: Option<&HeaderName>,
) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = HeaderName::try_from(name).map_err(|_| format!("have a name that is none: {name:?}"))?;
    if is_framing(&parsed) || Some(&parsed) == key_header {
        return Err(format!("have {parsed}, which is set for each request: leave it out"));
    }
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| format!("have a value for {parsed} that no header can hold (a control character?)"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

fn is_framing(name: &HeaderName) -> bool {
    [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(name)
}

/// Without what may be a secret.
impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let origin = Url::parse(&self.url).map(|url| url.origin().ascii_serialization());
        f.debug_struct("HttpSettings")
            .field("url", &origin.as_deref().unwrap_or("no URL"))
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("source", &self.source)
            .field("idempotency_header", &self.idempotency_header)
            .field("metadata", &self.metadata)
            .field("batch", &self.batch)
            .field("proxy_from_environment", &self.proxy_from_environment)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_7_the_defaults_pass_the_validator() {
        let with_batches =
            HttpSettings { batch: Some(HttpBatch::default()), ..HttpSettings::new("http://x.example") };
        assert_eq!(with_batches.validate(), Ok(()));
        assert_eq!(HttpSettings::new("https://me:pw@x.example:8443/hook?a=b").validate(), Ok(()));
    }

    #[test]
    fn x_12_every_violation_is_named() {
        let wrong = HttpSettings {
            headers: vec![
                ("a b".into(), "x".into()),
                ("Content-Type".into(), "x".into()),
                ("IDEMPOTENCY-KEY".into(), "x".into()),
                ("X-Token".into(), "s3cr3t\n".into()),
            ],
            timeout: Duration::ZERO,
            connect_timeout: Duration::from_secs(1),
            source: "/a b".into(),
            batch: Some(HttpBatch { max_events: 0, max_bytes: 0 }),
            ..HttpSettings::new("not a url s3cr3t")
        };
        let violations = wrong.validate().unwrap_err();
        let named: Vec<&str> = violations.iter().map(|violation| violation.setting).collect();
        assert_eq!(
            named,
            [
                "url",
                "headers",
                "headers",
                "headers",
                "headers",
                "timeout",
                "connect_timeout",
                "source",
                "batch.max_events",
                "batch.max_bytes"
            ]
        );
        let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(!texts.concat().contains("s3cr3t"), "{texts:?}");
    }

    #[test]
    fn x_12_only_urls_that_can_be_posted_to_are_taken() {
        for bad in ["", "x", "ftp://x.example", "https://", "http://x.example/#here", "/hook"] {
            let violations = HttpSettings::new(bad).validate().unwrap_err();
            assert_eq!(violations[0].setting, "url", "{bad}");
        }
        let key = HttpSettings {
            idempotency_header: "content-length".into(),
            ..HttpSettings::new("http://x.example")
        };
        assert_eq!(key.validate().unwrap_err()[0].setting, "idempotency_header");
    }

    #[test]
    fn what_may_be_a_secret_is_not_printed() {
        let settings = HttpSettings {
            headers: vec![("Authorization".into(), "Bearer s3cr3t".into())],
            ..HttpSettings::new("https://me:s3cr3t@x.example/s3cr3t?token=s3cr3t")
        };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(shown.contains("https://x.example") && shown.contains("Authorization"), "{shown}");
    }
}
