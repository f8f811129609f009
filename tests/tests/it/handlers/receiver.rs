//! An HTTP receiver of CloudEvents that keeps what it took, and can be told to misbehave.
//!
//! It tells a repetition by the id, so what it has counted is what an idempotent sink would have.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use highwater_tests::hex_sha256;
use serde_json::Value;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is taken.
    Taken,
    /// It is refused with this status, and not taken.
    Refused(u16),
    /// It is taken, and the answer is cut off in the middle.
    CutOff,
    /// The connection is closed without an answer, and it is not taken.
    Closed,
}

/// An event as it came.
#[derive(Debug, Clone)]
pub(super) struct Came {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) stream: String,
    pub(super) sequence: u64,
    pub(super) data: Value,
    pub(super) taken: bool,
}

type Decide = Box<dyn FnMut(&Came) -> Answer + Send>;

struct State {
    came: Vec<Came>,
    /// Events by id, in the order in which they were first taken.
    first: Vec<usize>,
    known: HashMap<String, usize>,
    decide: Decide,
}

/// A receiver. It listens until the process ends.
pub(super) struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Takes everything.
    pub(super) fn start() -> Self {
        Self::deciding(|_| Answer::Taken)
    }

    /// Does with each request what `decide` says.
    pub(super) fn deciding(decide: impl FnMut(&Came) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let decide: Decide = Box::new(decide);
        let state = State { came: Vec::new(), first: Vec::new(), known: HashMap::new(), decide };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    /// From now on it does this.
    pub(super) fn decide(&self, decide: impl FnMut(&Came) -> Answer + Send + 'static) {
        self.state().decide = Box::new(decide);
    }

    /// A handler's sink that posts here.
    pub(super) fn sink(&self) -> String {
        format!("http = {{ url = \"http://{}/hook\", timeout = \"5s\" }}\n", self.address)
    }

    /// All that came, in its order, repetitions included.
    pub(super) fn came(&self) -> Vec<Came> {
        self.state().came.clone()
    }

    /// How many different events were taken.
    pub(super) fn taken(&self) -> usize {
        self.state().first.len()
    }

    /// Events in the order in which each was first taken.
    pub(super) fn first_taken(&self) -> Vec<Came> {
        let state = self.state();
        state.first.iter().map(|at| state.came[*at].clone()).collect()
    }

    /// Checks that each stream's events were taken in order, without a gap, and that every attempt at one had one key.
    pub(super) fn assert_in_order(&self) {
        let mut next: HashMap<String, u64> = HashMap::new();
        for event in self.first_taken() {
            let expected = next.entry(event.stream.clone()).or_default();
            assert_eq!(event.sequence, *expected, "{} came out of order", event.stream);
            *expected += 1;
        }
        for event in self.came() {
            assert_eq!(event.key, event.id, "the key is the event's id on every attempt");
        }
    }

    /// The digests of what was taken: over the ids in order, and over the counts of the streams.
    pub(super) fn digests(&self) -> (String, String) {
        let taken = self.first_taken();
        let ids: String = taken.iter().map(|event| format!("{}\n", event.id)).collect();
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for event in &taken {
            *counts.entry(&event.stream).or_default() += 1;
        }
        let counts: String = counts.iter().map(|(stream, count)| format!("{stream}\t{count}\n")).collect();
        (hex_sha256(ids.as_bytes()), hex_sha256(counts.as_bytes()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under the lock")
    }
}

/// Answers the requests of a connection. A client that goes away ends it.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut reading = BufReader::new(reading);
    while let Some(came) = request(&mut reading) {
        let answer = take(&mut state.lock().expect("nothing panics under the lock"), came);
        let written = match answer {
            Answer::Taken => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"),
            Answer::Refused(status) => {
                let refusal =
                    format!("HTTP/1.1 {status} Refused\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\nno");
                stream.write_all(refusal.as_bytes())
            }
            Answer::CutOff => {
                // The length says more than comes.
                let written = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                if written.is_ok() { return } else { written }
            }
            Answer::Closed => return,
        };
        if written.is_err() {
            return;
        }
    }
}

fn take(state: &mut State, mut came: Came) -> Answer {
    let answer = (state.decide)(&came);
    came.taken = matches!(answer, Answer::Taken | Answer::CutOff);
    if came.taken && !state.known.contains_key(&came.id) {
        state.known.insert(came.id.clone(), state.came.len());
        state.first.push(state.came.len());
    }
    state.came.push(came);
    answer
}

/// The next request; `None` when the client has gone, also in the middle of one.
fn request(reading: &mut BufReader<TcpStream>) -> Option<Came> {
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut line = String::new();
        if reading.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().expect("a length is a number"),
                "idempotency-key" => key = value.trim().to_owned(),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reading.read_exact(&mut body).ok()?;
    let event: Value = serde_json::from_slice(&body).expect("the body is JSON");
    let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("no {name} in {event}")).to_owned();
    Some(Came {
        id: text("id"),
        key,
        stream: text("subject"),
        sequence: text("sequence").parse().expect("a sequence is a number"),
        data: event["data"].clone(),
        taken: false,
    })
}
