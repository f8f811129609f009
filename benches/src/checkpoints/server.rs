//! The server that is measured: one of our own, which keeps everything in memory, or one that is named.
//!
//! What is compared is how calls get to the server. A disk that each call waits for would be most of every
//! time, and make all of them alike.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use highwater::redis::redis::{self, Client, Connection};
use tempfile::TempDir;

use super::Options;
use super::programs::Programs;

/// The server that `cargo xtask` names.
const URL: &str = "HIGHWATER_TEST_REDIS_URL";
/// What we say to a server of our own beside where it is.
const SETTINGS: [&str; 6] = ["--save", "", "--appendonly", "no", "--daemonize", "no"];
/// `$1` is the server's process, `$2` its folder. A line says that we have seen to both; without one we are gone.
const KEEPER: &str = r#"
trap '' HUP INT TERM
read -r _ && exit
kill -KILL "$1"
rm -rf "$2"
"#;
const LOOKS: u32 = 600;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a server comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// We start one.
    Program(PathBuf),
    /// It is there.
    Given(String),
}

/// Finds a server, or says why there is none.
pub(crate) fn find(options: &Options) -> Result<Source, String> {
    if let Some(url) = &options.redis_url {
        return Ok(Source::Given(url.clone()));
    }
    if let Some(program) = Programs::find().server {
        return Ok(Source::Program(program));
    }
    match env::var(URL) {
        Ok(url) if !url.is_empty() => Ok(Source::Given(url)),
        _ => {
            Err("no redis-server here: install Redis 7 or later, or name a server with --redis-url"
                .to_owned())
        }
    }
}

/// A server that answers. One of our own stops when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    url: String,
    pub(super) programs: Programs,
    folder: TempDir,
    own: Option<Own>,
}

/// A process of ours. A guard alone covers errors and panics, and neither Ctrl-C nor a `kill`: so a shell stands
/// beside it that reads from a pipe whose other end only we have.
#[derive(Debug)]
struct Own {
    server: Child,
    keeper: Child,
    log: PathBuf,
}

impl Server {
    /// Starts the server, or connects to the one that is there.
    ///
    /// # Errors
    /// Why nobody answers.
    pub(super) fn start(source: Source, folder: TempDir) -> anyhow::Result<Self> {
        let programs = Programs::find();
        let (url, mut own) = match source {
            Source::Given(url) => (url, None),
            Source::Program(program) => {
                eprintln!("starting a server in {}", folder.path().display());
                let port = free_port()?;
                let own = Own::start(&program, port, folder.path())?;
                (format!("redis://127.0.0.1:{port}"), Some(own))
            }
        };
        if let Some(own) = &mut own {
            own.wait(&url)?;
        }
        Ok(Self { url, programs, folder, own })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether we have started it.
    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Settings that we gave to a server of our own.
    pub(super) fn given_settings(&self) -> &'static [&'static str] {
        if self.is_own() { &SETTINGS } else { &[] }
    }

    /// What the names of all keys begin with: on a server that others use, too, they must be ours.
    pub(super) fn prefix() -> String {
        format!("bench-{}:", process::id())
    }

    /// A connection of the benchmark's own.
    ///
    /// # Errors
    /// When nobody answers.
    pub(super) fn connect(&self) -> anyhow::Result<Connection> {
        connect(&self.url).context("connect to Redis")
    }
}

fn connect(url: &str) -> redis::RedisResult<Connection> {
    Client::open(url)?.get_connection_with_timeout(PATIENCE)
}

/// A value out of `INFO`, which prints `name:value` in each line.
pub(super) fn info(connection: &mut Connection, section: &str, name: &str) -> anyhow::Result<Option<String>> {
    let text: String = redis::cmd("INFO").arg(section).query(connection).context("ask for INFO")?;
    let values = text.lines().filter_map(|line| line.split_once(':'));
    Ok(values.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value.trim().to_owned()))
}

impl Own {
    fn start(program: &Path, port: u16, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join("log");
        let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let server = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(folder)
            .args(SETTINGS)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A Ctrl-C in the terminal is for us, and we stop the server.
            .process_group(0)
            .spawn()
            .context("start redis-server")?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper", &server.id().to_string()])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match keeper {
            Ok(keeper) => Ok(Self { server, keeper, log }),
            Err(error) => {
                end(server);
                Err(error).context("start a shell that stops the server in any case")
            }
        }
    }

    /// Waits until it answers.
    fn wait(&mut self, url: &str) -> anyhow::Result<()> {
        let said = |log: &Path| fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
        for _ in 0..LOOKS {
            if let Some(status) = self.server.try_wait().context("ask for the server")? {
                bail!("the server ended ({status}): {}", said(&self.log));
            }
            let answers = connect(url).is_ok_and(|mut it| redis::cmd("PING").exec(&mut it).is_ok());
            if answers {
                return Ok(());
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        bail!("the server does not answer: {}", said(&self.log))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let stopped = self.server.kill().and_then(|()| self.server.wait());
        // Closed without a word where the server could not be stopped: then the shell has to.
        if let (Ok(_), Some(mut pipe)) = (&stopped, self.keeper.stdin.take())
            && let Err(error) = pipe.write_all(b"done\n")
        {
            eprintln!("the shell beside the server is gone: {error}");
        }
        if let Err(error) = stopped.and(self.keeper.wait()) {
            eprintln!("the server may still run: {error}");
        }
    }
}

fn end(mut server: Child) {
    if let Err(error) = server.kill().and_then(|()| server.wait()) {
        eprintln!("the server may still run: {error}");
    }
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}
