//! A server of this machine's own programs.

use anyhow::Context;
use tempfile::TempDir;

use super::{
    account::Account,
    backend::{Backend, Place},
    binaries::Binaries,
    guarded::Guarded,
    port,
};

/// How often a server is started on another port. Between our look at a port and the server's start somebody else
/// may take it, which is rare.
const TRIES: u32 = 3;

/// Starts a server in a temporary folder.
///
/// # Errors
/// What it says, the third time.
pub(super) fn start(
    backend: &dyn Backend,
    binaries: &Binaries,
    root: bool,
    durable: bool,
) -> anyhow::Result<(Guarded, u16)> {
    let account = Account::for_servers(root)?;
    let mut tries = 1;
    loop {
        match try_start(backend, binaries, &account, durable) {
            Err(error) if tries < TRIES => {
                tries += 1;
                eprintln!("services: {}: trying again: {error:#}", backend.name());
            }
            done => return done,
        }
    }
}

fn try_start(
    backend: &dyn Backend,
    binaries: &Binaries,
    account: &Account,
    durable: bool,
) -> anyhow::Result<(Guarded, u16)> {
    let folder = folder()?;
    account.own(folder.path())?;
    let port = port::free()?;
    let place = Place { bin: &binaries.folder, folder: folder.path(), account, port, durable };
    let launch = backend.prepare(&place)?;
    let about = format!("{} {} from {}", backend.name(), binaries.version, binaries.folder.display());
    let server = Guarded::start(about, folder, account, launch, || backend.answers(port))?;
    Ok((server, port))
}

/// A folder for a server, readable by nobody else.
///
/// # Errors
/// An I/O error.
pub(super) fn folder() -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("highwater-")
        .tempdir()
        .context("cannot make a temporary folder for a server")
}

#[cfg(all(test, unix))]
mod tests {
    use std::{env, net::TcpStream};

    use super::super::{account, binaries, postgres::Postgres};
    use super::*;

    #[test]
    fn a_server_is_started_and_gone_when_it_is_dropped() {
        let path = env::var_os("PATH").unwrap_or_default();
        let Some(binaries) = binaries::newest(&Postgres, &path, Postgres.homes()) else {
            println!("skipped: no PostgreSQL on this machine; {}", Postgres.hint());
            return;
        };
        let root = account::is_root().expect("`id` is there");
        let (server, port) = start(&Postgres, &binaries, root, false).expect("it starts");
        assert!(Postgres.answers(port) && server.ended().expect("it can be asked").is_none());
        drop(server);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it is stopped");
    }
}
