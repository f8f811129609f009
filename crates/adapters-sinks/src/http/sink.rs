//! Posts events, in order, each until it is taken or refused.

use std::fmt;
use std::slice;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, Url, redirect};
use uuid::Uuid;

use highwater_core::model::RecordedEvent;
use highwater_core::ports::Handler;
use highwater_core::{Error, ErrorKind, Failure};

use super::answer::Answer;
use super::cloud_event::CloudEvents;
use super::excerpt::Secrets;
use super::settings::{HttpBatch, HttpSettings};
use crate::invalid::invalid;

const SINGLE: HeaderValue = HeaderValue::from_static("application/cloudevents+json");
const BATCH: HeaderValue = HeaderValue::from_static("application/cloudevents-batch+json");
const POST: &str = "post an event";
const SET_UP: &str = "set up the http sink";

/// Posts each event, or batches of them, as CloudEvents 1.0 in JSON. Over HTTP/1.1, with connections kept
/// open; TLS is rustls with the system's root certificates (on Linux `SSL_CERT_FILE` names others).
///
/// # What is sent
/// `POST` with `Content-Type: application/cloudevents+json` (batches: `application/cloudevents-batch+json`)
/// and the idempotency key. Attributes: `id` (the event's), `source` (see [`HttpSettings::source`]), `type`,
/// `subject` (the stream), `time`, `sequence` (the revision in the stream as 20 digits: that extension wants
/// a text that sorts), `position` (`commit:prepare`), `category`, `correlationid`, `causationid`, `metadata`,
/// `datacontenttype`. `data` is the payload byte for byte as it was appended; what is no JSON travels in
/// `data_base64`. A time outside the years 0 to 9999 travels as `timemicros`, microseconds since 1970. Names
/// may hold control characters, which CloudEvents forbids in attributes: they are sent as JSON escapes, and a
/// strict receiver refuses such an event.
///
/// # What an answer means
/// | answer | class |
/// |---|---|
/// | 2xx, read to its end or its first 64 KiB | done |
/// | 404, 408, 425, 429, 5xx | transient |
/// | time-out, refused, reset, broken off, unknown host, no TLS | transient |
/// | 207, 3xx, 401, 403, 405, 407, 410, 415 | fatal |
/// | 409 | unclassified |
/// | every other 4xx | permanent |
///
/// * 202 is done, too: the receiver has taken the event over. 207 is not: several statuses in one answer are
///   not read, and "done" would be a guess.
/// * Where the receiver says `Retry-After` (seconds or a date, taken as an hour at most), a transient failure
///   is not retried before.
/// * 404 is transient, because the url is the same for all events: it is not this event that is missing there
///   but the receiver. A deployment under way heals by itself, and a wrong path shows as a stall in which
///   nothing is parked.
/// * 405 and 410 are fatal: what is there takes no POST, or has gone for good, as CloudEvents' webhooks use
///   that status. So is 415: the receiver takes no CloudEvents, or no batches of them.
/// * Redirects are not followed: events and credentials would go where nobody sent them.
/// * 409 is unclassified: a first attempt that timed out here may still be running there, and waiting helps;
///   or it is a conflict that stays, and the runner parks the event after a few attempts.
/// * Any other 4xx refuses this event. 413 does so only after its batch was taken apart.
/// * No answer says nothing about the event.
///
/// The text of an error has the status and the first 300 characters of what the receiver said.
///
/// # Cancellation
/// A dropped call closes its connection; whether the receiver took the event is unknown, and the next attempt
/// has the same key.
pub struct HttpSink {
    client: Client,
    url: Url,
    key_header: HeaderName,
    events: CloudEvents,
    batch: Option<HttpBatch>,
    secrets: Secrets,
}

impl HttpSink {
    /// A sink of these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// `Invalid`, naming every violation; or when the system's root certificates cannot be had.
    pub fn new(settings: HttpSettings) -> Result<Self, Error> {
        let checked = settings.checked().map_err(|violations| invalid(SET_UP, &violations))?;
        let secrets = secrets(&checked.url, &checked.headers);
        let client = client(&settings, &checked.url, checked.headers)
            .map_err(|error| Error::new(ErrorKind::Invalid, SET_UP).because(error))?;
        Ok(Self {
            client,
            url: checked.url,
            key_header: checked.key_header,
            events: CloudEvents { source: checked.source, metadata: settings.metadata },
            batch: settings.batch,
            secrets,
        })
    }

    /// Posts these bodies' worth of events in one request.
    async fn post(&self, body: Body<'_>) -> Result<(), Error> {
        let count = body.events.len();
        let answer = match self.send(body.bytes, self.content_type(), key(body.events)).await {
            Ok(response) => Answer::read(response).await,
            Err(cause) => return Err(self.about(body.events, unreachable(cause.without_url()))),
        };
        tracing::debug!(to = %self.origin(), status = answer.status(), events = count, "posted");
        answer.result(POST, &self.url, &self.secrets).map_err(|error| self.about(body.events, error))
    }

    async fn send(
        &self,
        body: Vec<u8>,
        content_type: HeaderValue,
        key: Uuid,
    ) -> Result<reqwest::Response, reqwest::Error> {
        self.client
            .post(self.url.clone())
            .header(CONTENT_TYPE, content_type)
            .header(&self.key_header, key.hyphenated().to_string())
            .body(body)
            .send()
            .await
    }

    /// The body of as many of these events, from the first, as fit into one request; always at least one.
    fn body<'e>(&self, events: &'e [RecordedEvent]) -> Body<'e> {
        let mut bytes = Vec::new();
        let Some(batch) = self.batch else {
            let first = &events[..1];
            self.events.write(&mut bytes, &first[0]);
            return Body { events: first, bytes };
        };
        bytes.push(b'[');
        let mut count = 0;
        for event in events.iter().take(batch.max_events) {
            let before = bytes.len();
            if count > 0 {
                bytes.push(b',');
            }
            self.events.write(&mut bytes, event);
            if count > 0 && bytes.len() >= batch.max_bytes {
                bytes.truncate(before);
                break;
            }
            count += 1;
        }
        bytes.push(b']');
        Body { events: &events[..count], bytes }
    }

    fn content_type(&self) -> HeaderValue {
        if self.batch.is_some() { BATCH } else { SINGLE }
    }

    /// Posts the events of a refused batch alone, in order.
    async fn one_by_one(&self, events: &[RecordedEvent], offset: usize) -> Result<(), Failure> {
        for (index, event) in events.iter().enumerate() {
            let alone = self.body(slice::from_ref(event));
            self.post(alone).await.map_err(|error| Failure::new(error).at(offset + index))?;
        }
        Ok(())
    }

    fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    fn about(&self, events: &[RecordedEvent], error: Error) -> Error {
        let error = error.with("to", self.origin());
        match events {
            [event] => error.with("event", event.id()),
            _ => error.with("events", events.len()),
        }
    }
}

/// What goes out in one request.
struct Body<'e> {
    events: &'e [RecordedEvent],
    bytes: Vec<u8>,
}

impl Handler for HttpSink {
    async fn handle(&self, event: &RecordedEvent) -> Result<(), Failure> {
        Ok(self.post(self.body(slice::from_ref(event))).await?)
    }

    async fn handle_batch(&self, events: &[RecordedEvent]) -> Result<(), Failure> {
        let mut done = 0;
        while done < events.len() {
            let body = self.body(&events[done..]);
            let sent = body.events;
            match self.post(body).await {
                Ok(()) => {}
                Err(error) if sent.len() > 1 && is_about_an_event(&error) => {
                    self.one_by_one(sent, done).await?
                }
                // No event of the request is to blame, or there is only one: its first stands for it.
                Err(error) => return Err(Failure::new(error).at(done)),
            }
            done += sent.len();
        }
        Ok(())
    }
}

/// Whether the same request without one of its events may pass.
fn is_about_an_event(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unstorable | ErrorKind::Other)
}

/// The idempotency key of a request.
fn key(events: &[RecordedEvent]) -> Uuid {
    match events {
        [] => Uuid::nil(),
        [event] => event.id(),
        [first, rest @ ..] => {
            let ids: Vec<u8> = rest.iter().flat_map(|event| event.id().into_bytes()).collect();
            Uuid::new_v5(&first.id(), &ids)
        }
    }
}

/// No answer, or none that is HTTP's: nothing is known about the event.
fn unreachable(cause: reqwest::Error) -> Error {
    let kind = if cause.is_builder() { ErrorKind::Invalid } else { ErrorKind::Unavailable };
    let error = Error::new(kind, POST);
    let error = match (cause.is_connect(), cause.is_timeout()) {
        (true, _) => error.with("receiver", "cannot be reached"),
        (false, true) => error.with("receiver", "does not answer in time"),
        (false, false) => error.with("receiver", "broke off"),
    };
    error.because(cause)
}

fn client(settings: &HttpSettings, url: &Url, mut headers: HeaderMap) -> Result<Client, reqwest::Error> {
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!("highwater/", env!("CARGO_PKG_VERSION"))));
    let mut builder = Client::builder()
        .default_headers(headers)
        .timeout(settings.timeout)
        .connect_timeout(settings.connect_timeout)
        .redirect(redirect::Policy::none())
        .referer(false);
    if !settings.proxy_from_environment {
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // No root certificates are read that are never asked for: a bare container has none.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn secrets(url: &Url, headers: &HeaderMap) -> Secrets {
    let values = headers.values().filter_map(|value| value.to_str().ok());
    let path = [url.path(), url.query().unwrap_or_default(), url.password().unwrap_or_default()];
    Secrets::new(values.chain(path))
}

/// Without what may be a secret.
impl fmt::Debug for HttpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSink")
            .field("to", &self.origin())
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use highwater_testkit::fixtures::{event_with, events, id};

    use super::*;

    fn sink(batch: Option<HttpBatch>) -> HttpSink {
        HttpSink::new(HttpSettings { batch, ..HttpSettings::new("http://x.example/hook") }).unwrap()
    }

    #[test]
    fn the_key_is_the_events_id_and_that_of_a_batch_comes_from_its_ids() {
        let events = events(3, "T", "s");
        assert_eq!(key(&events[..1]), id(1));
        let batch = key(&events);
        assert_eq!(key(&events), batch, "stable");
        let reversed: Vec<_> = events.iter().rev().cloned().collect();
        for other in [&events[..2], &events[1..], &reversed[..]] {
            assert_ne!(key(other), batch);
        }
    }

    #[test]
    fn x_11_a_request_is_bounded_by_count_and_by_bytes_and_has_at_least_one_event() {
        let events = events(5, "T", "s");
        assert_eq!(sink(None).body(&events).events.len(), 1);
        let batch = |max_events, max_bytes| sink(Some(HttpBatch { max_events, max_bytes }));
        assert_eq!(batch(3, 1 << 20).body(&events).events.len(), 3);
        assert_eq!(batch(1, 1 << 20).body(&events).events.len(), 1);
        assert_eq!(batch(9, 1).body(&events).events.len(), 1);
        let two = batch(2, 1 << 20).body(&events).bytes.len();
        assert_eq!(batch(9, two).body(&events).events.len(), 2);
        assert_eq!(batch(9, two).body(&events).bytes.len(), two);
        assert_eq!(batch(9, two - 1).body(&events).events.len(), 1);
        let large = [event_with(1, "T", "s", format!("\"{}\"", "x".repeat(5000)))];
        assert_eq!(batch(9, 100).body(&large).events.len(), 1);
    }

    #[test]
    fn a_sink_prints_no_secret() {
        let settings = HttpSettings::new("https://me:s3cr3t@x.example/s3cr3t");
        let shown = format!("{:?}", HttpSink::new(settings).unwrap());
        assert!(shown.contains("https://x.example") && !shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn x_12_wrong_settings_are_told_at_once() {
        let settings = HttpSettings { source: String::new(), ..HttpSettings::new("ftp://x.example") };
        let error = HttpSink::new(settings).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = error.chain();
        assert!(text.contains("`url`") && text.contains("`source`"), "{text}");
    }
}
