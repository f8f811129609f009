//! Redis.

use std::{
    ffi::OsString,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use super::backend::{Backend, Container, Launch, Place};

/// How long a server on this machine may take for one answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Redis 7 and later.
pub(super) struct Redis;

/// A server for tests keeps nothing, and is thrown away. A durable one has what it has confirmed on its disk.
fn settings(durable: bool) -> &'static [&'static str] {
    if durable {
        &["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    } else {
        &["--save", "", "--appendonly", "no"]
    }
}

impl Backend for Redis {
    fn name(&self) -> &'static str {
        "Redis"
    }

    fn url_variable(&self) -> &'static str {
        "HIGHWATER_TEST_REDIS_URL"
    }

    fn bin_variable(&self) -> &'static str {
        "HIGHWATER_TEST_REDIS_BIN"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["redis-server", "redis-cli"]
    }

    fn oldest(&self) -> u32 {
        7
    }

    fn homes(&self) -> &'static [&'static str] {
        &["/opt/homebrew/opt/redis/bin", "/usr/local/opt/redis/bin"]
    }

    fn hint(&self) -> &'static str {
        "install Redis 7 or later (Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install redis; macOS: \
         brew install redis)"
    }

    fn package(&self) -> &'static str {
        "redis-server"
    }

    /// The package starts a server on the usual port, unless the system's policy forbids it.
    fn install_files(&self) -> &'static [(&'static str, &'static str)] {
        &[("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")]
    }

    fn container(&self, durable: bool) -> Container {
        Container { image: "redis:7", port: 6379, env: &[], args: settings(durable).to_vec() }
    }

    fn prepare(&self, place: &Place<'_>) -> anyhow::Result<Launch> {
        let port = place.port.to_string();
        let mut serve = Command::new(place.bin.join("redis-server"));
        // Not where we are: another account may not be allowed to look there.
        serve.current_dir(place.folder);
        place.account.take_on(&mut serve);
        serve.args(["--port", &port, "--bind", "127.0.0.1", "--daemonize", "no", "--dir"]).arg(place.folder);
        serve.args(settings(place.durable));
        let stop: [OsString; 5] = [
            place.bin.join("redis-cli").into(),
            "-p".into(),
            port.into(),
            "shutdown".into(),
            "nosave".into(),
        ];
        Ok(Launch { serve, stop: stop.into() })
    }

    fn answers(&self, port: u16) -> bool {
        ping(port).unwrap_or(false)
    }

    fn url(&self, port: u16) -> String {
        format!("redis://127.0.0.1:{port}")
    }
}

/// Whether the server takes commands: a port that is open says nothing, since a server that is loading refuses, and
/// Docker's own proxy listens before there is a server.
fn ping(port: u16) -> std::io::Result<bool> {
    const PONG: &[u8] = b"+PONG\r\n";
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; PONG.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer == PONG)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn a_benchmark_runs_on_a_durable_server() {
        assert!(settings(true).windows(2).any(|pair| pair == ["--appendfsync", "always"]));
        assert!(settings(false).windows(2).any(|pair| pair == ["--appendonly", "no"]));
    }

    #[test]
    fn a_server_that_is_loading_and_a_closed_port_do_not_answer() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let loading = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.read_exact(&mut [0; 6]).expect("a command");
            stream
                .write_all(b"-LOADING Redis is loading the dataset in memory\r\n")
                .expect("the client waits");
        });
        assert!(!Redis.answers(port), "it refused");
        loading.join().expect("the command was whole");
        assert!(!Redis.answers(port), "nobody listens any more");
    }
}
