//! PostgreSQL.

use std::{
    ffi::OsString,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};

use super::backend::{Backend, Container, Launch, Place};

/// The superuser of a server that we start, and the database that every server has.
const USER: &str = "postgres";
/// How long a server on this machine may take for one answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// PostgreSQL 15 and later.
pub(super) struct Postgres;

/// Settings of a server that we start. The tests of all processes share it, so it needs connections; and some
/// of them prepare transactions.
const SETTINGS: &[&str] = &["-c", "max_connections=300", "-c", "max_prepared_transactions=20"];
/// A server for tests is thrown away after a power cut, so it need not wait for the disk. This changes nothing
/// that a test can see: a transaction is committed, visible and durable against the death of every process.
const NOT_DURABLE: &[&str] = &["-c", "fsync=off", "-c", "full_page_writes=off"];

fn settings(durable: bool) -> Vec<&'static str> {
    let not_durable = if durable { &[] } else { NOT_DURABLE };
    [SETTINGS, not_durable].concat()
}

impl Backend for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn url_variable(&self) -> &'static str {
        "HIGHWATER_TEST_POSTGRES_URL"
    }

    fn bin_variable(&self) -> &'static str {
        "HIGHWATER_TEST_POSTGRES_BIN"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["postgres", "initdb", "pg_ctl"]
    }

    fn oldest(&self) -> u32 {
        15
    }

    fn homes(&self) -> &'static [&'static str] {
        &[
            "/usr/lib/postgresql/*/bin",
            "/usr/pgsql-*/bin",
            "/opt/homebrew/opt/postgresql@*/bin",
            "/usr/local/opt/postgresql@*/bin",
        ]
    }

    fn hint(&self) -> &'static str {
        "install PostgreSQL 15 or later (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install \
         postgresql-server; macOS: brew install postgresql@17)"
    }

    fn package(&self) -> &'static str {
        "postgresql"
    }

    fn install_files(&self) -> &'static [(&'static str, &'static str)] {
        &[("/etc/postgresql-common/createcluster.d/highwater-xtask.conf", "create_main_cluster = false\n")]
    }

    fn container(&self, durable: bool) -> Container {
        Container {
            image: "postgres:17",
            port: 5432,
            env: &[
                ("POSTGRES_HOST_AUTH_METHOD", "trust"),
                ("POSTGRES_INITDB_ARGS", "--locale=C --encoding=UTF8"),
            ],
            args: settings(durable),
        }
    }

    fn prepare(&self, place: &Place<'_>) -> anyhow::Result<Launch> {
        let data = place.folder.join("data");
        let program = |name: &str| {
            let mut command = Command::new(place.bin.join(name));
            // Not where we are: another account may not be allowed to look there.
            command.current_dir(place.folder);
            place.account.take_on(&mut command);
            command
        };
        // Nobody else listens to a server whose port is on the loopback device: no password is needed.
        let mut init = program("initdb");
        init.args([
            "--auth=trust",
            "--username",
            USER,
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--pgdata",
        ])
        .arg(&data);
        let output = init.output().context("cannot start initdb")?;
        if !output.status.success() {
            bail!("initdb failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        let mut serve = program("postgres");
        serve
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &place.port.to_string(), "-k"])
            .arg(place.folder);
        serve.args(settings(place.durable));
        let stop: [OsString; 7] = [
            place.bin.join("pg_ctl").into(),
            "stop".into(),
            "--silent".into(),
            "--mode=immediate".into(),
            "--timeout=20".into(),
            "--pgdata".into(),
            data.into(),
        ];
        Ok(Launch { serve, stop: stop.into() })
    }

    fn answers(&self, port: u16) -> bool {
        log_in(port).unwrap_or(false)
    }

    fn url(&self, port: u16) -> String {
        format!("postgres://{USER}@127.0.0.1:{port}/postgres")
    }
}

/// Whether the server takes our log-in: a port that is open says nothing, since a server that is starting refuses,
/// and Docker's own proxy listens before there is a server. PostgreSQL's documentation, "Message Flow".
fn log_in(port: u16) -> std::io::Result<bool> {
    const PROTOCOL: [u8; 4] = [0, 3, 0, 0];
    let mut startup = PROTOCOL.to_vec();
    for text in ["user", USER, "database", "postgres", ""] {
        startup.extend_from_slice(text.as_bytes());
        startup.push(0);
    }
    let length = u32::try_from(startup.len() + 4).expect("the message is short");
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[length.to_be_bytes().as_slice(), &startup].concat())?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    // `R`: authentication, and none is asked for. `E`: an error, such as "the database system is starting up".
    Ok(answer == *b"R")
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn a_benchmark_runs_on_a_durable_server() {
        assert!(settings(false).contains(&"fsync=off"));
        assert!(!settings(true).iter().any(|setting| setting.ends_with("=off")));
    }

    #[test]
    fn a_server_that_is_starting_and_a_closed_port_do_not_answer() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let starting = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut length = [0; 4];
            stream.read_exact(&mut length).expect("a length");
            let rest = usize::try_from(u32::from_be_bytes(length)).expect("small") - length.len();
            stream.read_exact(&mut vec![0; rest]).expect("the rest of the message");
            stream.write_all(b"E\0\0\0\x04").expect("the client waits");
        });
        assert!(!Postgres.answers(port), "it refused");
        starting.join().expect("the message was whole");
        assert!(!Postgres.answers(port), "nobody listens any more");
    }
}
