//! A Redis server of a test's own, which it may kill and start again. It keeps what it was told on its disk.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use highwater_tests::{LIMIT, poll};
use tempfile::TempDir;

/// The folder of the server's program, where that is not on the path.
const BIN: &str = "HIGHWATER_TEST_REDIS_BIN";

/// A server in a temporary folder. Dropping it ends the server and removes the folder.
pub(super) struct OwnRedis {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl OwnRedis {
    /// `None`, said aloud, where there is no program and none is required.
    pub(super) fn start() -> Option<Self> {
        let version =
            Command::new(program()).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            let required = std::env::var_os("REQUIRE_BACKENDS").is_some();
            assert!(!required, "there is no redis-server on the path or in {BIN}");
            println!("skipped: there is no redis-server on the path or in {BIN}");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("highwater-redis-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let mut this = Self { folder, port: free_port(), process: None };
        this.start_again();
        Some(this)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// kill -9.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it has ended");
        }
    }

    /// Starts it with what it has kept, on the same port; returns when it answers.
    pub(super) fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let port = self.port.to_string();
        let log = File::create(self.folder.path().join("log")).expect("the log can be written");
        let process = Command::new(program())
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .arg("--dir")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .spawn();
        self.process = Some(process.expect("the server starts"));
        poll("an answer of Redis", LIMIT, || (self.try_ask(&[b"PING"])? == "PONG").then_some(()));
    }

    /// Sends a command and returns its answer, which must be a text or a number.
    pub(super) fn ask(&self, command: &[&str]) -> String {
        let words: Vec<_> = command.iter().map(|word| word.as_bytes()).collect();
        self.try_ask(&words).unwrap_or_else(|| panic!("no answer to {command:?}"))
    }

    fn try_ask(&self, command: &[&[u8]]) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        stream.write_all(&request).ok()?;
        let mut reading = BufReader::new(stream);
        let mut line = String::new();
        reading.read_line(&mut line).ok()?;
        let (kind, said) = line.trim_end().split_at_checked(1)?;
        match kind {
            "+" | ":" => Some(said.to_owned()),
            "$" => {
                let mut text = vec![0; said.parse().ok()?];
                reading.read_exact(&mut text).ok()?;
                String::from_utf8(text).ok()
            }
            _ => None,
        }
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> String {
    let folder = std::env::var(BIN).ok().filter(|folder| !folder.is_empty());
    folder.map_or_else(
        || "redis-server".to_owned(),
        |folder| Path::new(&folder).join("redis-server").display().to_string(),
    )
}

/// A port that nobody uses, below what the system hands out for outgoing connections: it stays ours while nobody listens
/// on it.
pub(super) fn free_port() -> u16 {
    (0..100)
        .map(|_| {
            // Each `RandomState` has keys of its own.
            let drawn = RandomState::new().hash_one(()) % 10_000;
            20_000 + u16::try_from(drawn).expect("less than 10,000")
        })
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("one of many ports is free")
}
