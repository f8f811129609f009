//! `cargo xtask services` as a process: what it prints, and that no server outlives it, however it ends.

#![cfg(unix)]

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// `xtask services` with nothing that names a server or keeps it from looking for one.
fn services() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["services", "--no-install"]);
    for name in ["HIGHWATER_TEST_POSTGRES_URL", "REQUIRE_BACKENDS"] {
        command.env_remove(name);
    }
    command
}

/// Services that run, and the port of the server; `None` where this machine has no server.
fn running() -> Option<(Child, u16)> {
    let mut child = services().stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it prints text");
    let Some(url) = line.trim().strip_prefix("export HIGHWATER_TEST_POSTGRES_URL=") else {
        println!("skipped: there is no PostgreSQL to be started here");
        assert!(child.wait().expect("it ends").success());
        return None;
    };
    let (_, port) = url.trim_matches('\'').rsplit_once(':').expect("an address has a port");
    let port = port.split('/').next().and_then(|port| port.parse().ok());
    Some((child, port.unwrap_or_else(|| panic!("no port in {url}"))))
}

#[test]
fn no_server_outlives_us() {
    for signal in ["INT", "TERM", "KILL"] {
        let Some((mut child, port)) = running() else { return };
        TcpStream::connect(("127.0.0.1", port)).expect("the server is there");
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.expect("`kill` is there").success());
        child.wait().expect("it ends");
        // Twenty seconds; it takes less than one.
        let gone = (0..400).any(|_| {
            thread::sleep(Duration::from_millis(50));
            TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        assert!(gone, "the server runs on after {signal}");
    }
}

#[test]
fn a_server_that_is_named_is_used_and_nothing_started() {
    let output = services()
        .env("HIGHWATER_TEST_POSTGRES_URL", "postgres://user:secret@nowhere/db")
        .output()
        .expect("it starts");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("HIGHWATER_TEST_POSTGRES_URL") && said.contains("none was started"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
