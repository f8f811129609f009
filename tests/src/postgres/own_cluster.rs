//! A server of a test's own, which it may stop, crash and start again.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::LIMIT;
use crate::database::Tables as _;
use crate::poll::poll;

use super::account::Account;
use super::session::Session;
use super::{needed, port};

/// The folder of the server's programs.
const BIN: &str = "HIGHWATER_TEST_POSTGRES_BIN";
/// Nothing that these tests do takes the power away; a process that is killed loses nothing that was written.
const SETTINGS: [&str; 3] = ["fsync=off", "full_page_writes=off", "max_prepared_transactions=20"];

/// A cluster in a temporary folder, and its server. Dropping it stops the server and removes the folder.
///
/// The server is in the test's process group: what ends a test that hangs ends it, too.
#[derive(Debug)]
pub struct OwnCluster {
    bin: PathBuf,
    account: Account,
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    server: Option<Child>,
}

impl OwnCluster {
    /// A server with these settings (`max_connections=10`), trusting everybody who connects from this machine;
    /// `None`, said aloud, where its programs are not known: the test is skipped.
    ///
    /// # Panics
    /// When there are none and backends are required; when it does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Option<Self> {
        let mut this = Self::new(needed(BIN)?.into(), settings.iter().map(ToString::to_string).collect());
        let mut init = this.program("initdb");
        init.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        succeed(init.arg("--pgdata").arg(this.data()));
        this.launch();
        Some(this)
    }

    /// A hot standby of this server, streaming from it, with the same settings.
    #[must_use]
    pub fn standby(&self) -> Self {
        let mut this = Self::new(self.bin.clone(), self.settings.clone());
        let mut copy = this.program("pg_basebackup");
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"]);
        succeed(copy.arg("--dbname").arg(self.url()).arg("--pgdata").arg(this.data()));
        this.launch();
        this
    }

    fn new(bin: PathBuf, settings: Vec<String>) -> Self {
        let account = Account::for_servers();
        let folder = tempfile::Builder::new().prefix("highwater-test-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        account.own(folder.path());
        Self { bin, account, folder, port: port::free(), settings, server: None }
    }

    /// The port, on the loopback device; the same for as long as the cluster lives.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, for the superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres", "postgres")
    }

    /// The address for a user (`name` or `name:password`) and a database.
    #[must_use]
    pub fn url_of(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection for the superuser.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::open(&self.url())
    }

    /// Replaces who may connect, and how (lines of `pg_hba.conf`), for everybody but the superuser; returns when
    /// that is in force.
    pub fn admit(&self, rules: &str) {
        let superuser = "local all all trust\nhost all,replication postgres 127.0.0.1/32 trust";
        fs::write(self.data().join("pg_hba.conf"), format!("{superuser}\n{rules}\n"))
            .expect("the folder is writable");
        // A new connection has this from the process that reads the rules.
        let loaded = || self.session().texts("SELECT pg_conf_load_time()::text");
        let before = loaded();
        let session = self.session();
        session.run("SELECT pg_reload_conf()");
        poll("the new rules", LIMIT, || (loaded() != before).then_some(()));
        let wrong = session.texts("SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL");
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    /// Whether the server runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        let server = self.server.as_mut();
        server.is_some_and(|server| server.try_wait().expect("a child can be asked").is_none())
    }

    /// Stops it at once, as a crash of its machine would: nobody is told, and it recovers at the next start.
    pub fn crash(&mut self) {
        self.end("QUIT");
    }

    /// Stops it as an administrator does: clients are told, and transactions are rolled back.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    /// kill -9 of the process that all others belong to; they notice, and go.
    pub fn kill(&mut self) {
        self.end("KILL");
    }

    /// Starts it again on the same port.
    pub fn start_again(&mut self) {
        assert!(!self.is_running(), "the server runs");
        self.launch();
    }

    /// kill -9 of one process of the server, such as the one that serves a [`Session`]: the server ends all
    /// connections, and recovers by itself. Returns when they have ended.
    pub fn kill_backend(&self, pid: i64) {
        let ended = || self.log().matches("all server processes terminated").count();
        let before = ended();
        signal("KILL", &pid.to_string());
        poll("the end of the connections", LIMIT, || (ended() > before).then_some(()));
    }

    /// Makes a primary of a standby; returns when it takes writes.
    pub fn promote(&self) {
        let session = self.session();
        assert_eq!(session.number("SELECT pg_promote()::int"), 1, "promoted:\n{}", self.log());
    }

    /// All that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map_or_else(
            |error| format!("the log cannot be read: {error}"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        // Not where we are: another account may not be allowed to look there.
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        self.account.take_on(&mut command);
        command
    }

    /// Starts the server; returns when it takes connections. It may refuse to start while processes of a server
    /// that was killed are still on their way out: then it is started again.
    fn launch(&mut self) {
        poll("a server of the test's own", LIMIT, || {
            if !self.is_running() {
                self.server = Some(self.serve());
            }
            Session::try_open(&self.url()).ok().map(|_| ())
        });
    }

    fn serve(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.log_file());
        let log = log.expect("the log can be written");
        let mut serve = self.program("postgres");
        serve.arg("-D").arg(self.data()).args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-k"]);
        serve.arg(self.folder.path());
        for setting in SETTINGS.into_iter().chain(self.settings.iter().map(String::as_str)) {
            serve.args(["-c", setting]);
        }
        serve.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        serve.spawn().unwrap_or_else(|error| panic!("cannot start {serve:?}: {error}"))
    }

    fn end(&mut self, how: &str) {
        let mut server = self.server.take().expect("the server runs");
        signal(how, &server.id().to_string());
        poll("the server's end", LIMIT, || server.try_wait().expect("a child can be asked"));
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().rev().take(30).collect();
            eprintln!(
                "the end of the server's log:\n{}",
                lines.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        if self.is_running() {
            self.end("QUIT");
        }
    }
}

/// Runs a command that must succeed.
fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn signal(name: &str, pid: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    assert!(sent.expect("a shell is there").success(), "cannot send {name} to {pid}");
}
