//! What a prober and a metrics collector see of a process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use highwater_tests::{LIMIT, Running};
use serde_json::Value;

/// Where it serves: any port that is free.
pub(super) const SERVED: &str = "[http]\nlisten = \"127.0.0.1:0\"\n";

/// Where a process is probed.
pub(super) struct Probe(String);

impl Probe {
    pub(super) fn of(running: &mut Running) -> Self {
        let line = running.logs("it serves", LIMIT, |line| {
            line["message"].as_str().is_some_and(|said| said.contains("serving metrics and health"))
        });
        Self(line["address"].as_str().expect("the line has the address").to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.0).expect("somebody listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.0);
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// The status and the body of an answer.
    pub(super) fn json(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get(path);
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("no JSON: {error}\n{body}")))
    }

    /// The value of a metric without labels.
    #[track_caller]
    pub(super) fn metric(&self, name: &str) -> f64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        let value = line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("there is no {name}:\n{text}"))
    }
}
