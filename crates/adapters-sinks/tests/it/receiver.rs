//! An HTTP receiver that behaves: a real server, which answers as its script says and notes what came.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use highwater_sinks::{HttpSettings, HttpSink};

/// What came in one request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// A header's value; the empty text where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The key that each attempt of an event repeats.
    pub(crate) fn key(&self) -> &str {
        self.header("idempotency-key")
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("JSON is UTF-8")
    }
}

/// How a request is answered.
pub(crate) enum Answer {
    /// With this.
    Say(Response),
    /// Never.
    Hang,
}

/// This status and no body.
pub(crate) fn status(status: u16) -> Answer {
    say(status, &[], "")
}

/// This status with these headers and body.
pub(crate) fn say(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
    let mut response = body.into_response();
    *response.status_mut() = status.try_into().unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    Answer::Say(response)
}

#[derive(Clone, Default)]
struct Shared {
    seen: Arc<Mutex<Vec<Request>>>,
    script: Arc<Mutex<VecDeque<Answer>>>,
}

/// A server on a port of its own; gone with this value.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Answers the first requests like this, all others with 204.
    pub(crate) async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let shared = Shared::default();
        shared.script.lock().unwrap().extend(script);
        let app =
            Router::new().fallback(receive).layer(DefaultBodyLimit::disable()).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared, task }
    }

    /// Posts here.
    pub(crate) fn settings(&self) -> HttpSettings {
        settings(&self.url)
    }

    /// A sink that posts here.
    pub(crate) fn sink(&self) -> HttpSink {
        HttpSink::new(self.settings()).unwrap()
    }

    /// All that came.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.shared.seen.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Posts to this url, whatever proxy the environment of the test names.
pub(crate) fn settings(url: &str) -> HttpSettings {
    HttpSettings { proxy_from_environment: false, ..HttpSettings::new(url) }
}

async fn receive(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    shared.seen.lock().unwrap().push(Request { path: uri.to_string(), headers, body });
    let answer = shared.script.lock().unwrap().pop_front();
    match answer.unwrap_or_else(|| status(204)) {
        Answer::Say(response) => response,
        Answer::Hang => std::future::pending().await,
    }
}
