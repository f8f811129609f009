//! `cargo xtask services` as a process: what it prints, and that no server outlives it, however it ends.

#![cfg(unix)]

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const POSTGRES: &str = "HIGHWATER_TEST_POSTGRES_URL";
const REDIS: &str = "HIGHWATER_TEST_REDIS_URL";

/// `xtask services` with nothing that names a server or keeps it from looking for one.
fn services() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["services", "--no-install"]);
    for name in [POSTGRES, REDIS, "REQUIRE_BACKENDS"] {
        command.env_remove(name);
    }
    command
}

/// Services that run, but for the one that `given` names, and the port of the server that `started` names; `None`
/// where this machine has no such server.
fn running(started: &str, given: &str) -> Option<(Child, u16)> {
    let mut services = services();
    let mut child = services.env(given, "any://there").stdout(Stdio::piped()).spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut lines = lines.map(|line| line.expect("it prints text"));
    let named = format!("export {started}=");
    let Some(url) = lines.find_map(|line| line.strip_prefix(&named).map(str::to_owned)) else {
        println!("skipped: there is no server for {started} to be started here");
        assert!(child.wait().expect("it ends").success());
        return None;
    };
    let (_, port) = url.trim_matches('\'').rsplit_once(':').expect("an address has a port");
    let port = port.split('/').next().and_then(|port| port.parse().ok());
    Some((child, port.unwrap_or_else(|| panic!("no port in {url}"))))
}

#[test]
fn no_server_outlives_us() {
    for (signal, started, given) in ["INT", "TERM", "KILL"]
        .into_iter()
        .flat_map(|signal| [(signal, POSTGRES, REDIS), (signal, REDIS, POSTGRES)])
    {
        let Some((mut child, port)) = running(started, given) else { continue };
        TcpStream::connect(("127.0.0.1", port)).expect("the server is there");
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.expect("`kill` is there").success());
        child.wait().expect("it ends");
        // Twenty seconds; it takes less than one.
        let gone = (0..400).any(|_| {
            thread::sleep(Duration::from_millis(50));
            TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        assert!(gone, "the server of {started} runs on after {signal}");
    }
}

#[test]
fn a_server_that_is_named_is_used_and_nothing_started() {
    let output = services()
        .env(POSTGRES, "postgres://user:secret@nowhere/db")
        .env(REDIS, "redis://user:secret@nowhere/0")
        .output()
        .expect("it starts");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(POSTGRES) && said.contains(REDIS) && said.contains("none was started"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
