//! A server of a test's own, which it may kill, pause and start again.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use highwater_redis::redis::{self, Client};
use tempfile::TempDir;

use crate::kit::{Place, SOON, missing};

/// The folder of the server's programs, where it is not on the path.
const BIN: &str = "HIGHWATER_TEST_REDIS_BIN";

/// A server, in a temporary folder. Dropping it ends the server and removes the folder.
pub(crate) struct OwnServer {
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    password: Option<String>,
    process: Option<Child>,
}

impl OwnServer {
    /// A server with these settings (`--maxmemory 2mb`), which keeps nothing unless they say so; `None`, said aloud,
    /// where there is no program.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        let found =
            Command::new(program()).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            missing("there is no redis-server on the path");
            return None;
        }
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let password = settings.iter().position(|setting| setting == "--requirepass");
        let password = password.map(|index| settings[index + 1].clone());
        let folder = tempfile::Builder::new().prefix("highwater-redis-").tempdir().expect("a folder");
        let mut this = Self { folder, port: free_port(), settings, password, process: None };
        this.launch();
        Some(this)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        let password = self.password.as_ref().map_or_else(String::new, |password| format!(":{password}@"));
        format!("redis://{password}127.0.0.1:{}", self.port)
    }

    pub(crate) fn place(&self) -> Place {
        Place::at(&self.url())
    }

    /// Lets in a user with the password `pw`, who may do this with every key.
    pub(crate) fn admit(&self, user: &str, rules: &str) {
        self.admit_to("~*", user, rules);
    }

    /// Lets in a user with the password `pw`, who may do this with some keys.
    pub(crate) fn admit_to(&self, keys: &str, user: &str, rules: &str) {
        let mut admit = redis::cmd("ACL");
        admit.arg("SETUSER").arg(user).arg("on").arg(">pw").arg(keys);
        self.place().raw::<()>(admit.arg(rules.split(' ').collect::<Vec<_>>()));
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it has ended");
        }
    }

    /// Starts it, on the same port and with what it has kept; returns when it answers.
    pub(crate) fn launch(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let process = Command::new(program())
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(log)
            .spawn()
            .expect("the server starts");
        self.process = Some(process);
        wait_for("answer", || {
            let client = Client::open(self.url()).ok()?;
            let mut connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok()?;
            redis::cmd("PING").query::<String>(&mut connection).ok()
        });
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> String {
    let folder = std::env::var(BIN).ok().filter(|folder| !folder.is_empty());
    folder.map_or_else(|| "redis-server".to_owned(), |folder| format!("{folder}/redis-server"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Looks again and again until there is something to see.
#[expect(clippy::disallowed_methods, reason = "it bounds how long a real server may take")]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < SOON, "there is no {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
