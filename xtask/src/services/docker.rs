//! A server in a container, through the `docker` program.
//!
//! Not through a library that speaks to the engine: this program would have to be built with an HTTP client, TLS
//! and a hundred other crates before it can check anything, and such libraries start a container for each test
//! process, where we want one for all of them.

use std::{
    ffi::OsString,
    process::{self, Command, Stdio},
};

use super::{
    account::Account,
    backend::{Backend, Container, Launch},
    guarded::Guarded,
    local, port,
};
use crate::cargo;

/// Whether there is an engine; the program alone may well be there without one.
pub(super) fn is_there() -> bool {
    let asked = docker(&["version", "--format", "{{.Server.Version}}"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// Starts a container, with its port on the loopback device; its image is fetched first where it is missing.
///
/// # Errors
/// What docker says.
pub(super) fn start(backend: &dyn Backend, durable: bool) -> anyhow::Result<(Guarded, u16)> {
    let container = backend.container(durable);
    fetch(backend, container.image)?;
    let folder = local::folder()?;
    let port = port::free()?;
    let name = format!("highwater-{}-{port}", process::id());
    let about = format!("{} from the image {}, container {name}", backend.name(), container.image);
    let launch = launch(&container, &name, port);
    let server = Guarded::start(about, folder, &Account::Ours, launch, || backend.answers(port))?;
    Ok((server, port))
}

fn fetch(backend: &dyn Backend, image: &str) -> anyhow::Result<()> {
    let mut inspect = docker(&["image", "inspect", image]);
    if inspect.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    eprintln!("services: {}: fetching the image {image}", backend.name());
    cargo::run(docker(&["pull", "--quiet", image]).stdout(Stdio::null()))
}

/// In the foreground, so that its output is the server's log; removed by name, with its data.
fn launch(container: &Container, name: &str, port: u16) -> Launch {
    let mut serve = docker(&["run", "--rm", "--name", name, "--shm-size", "256m"]);
    serve.args(["--publish", &format!("127.0.0.1:{port}:{}", container.port)]);
    for (variable, value) in container.env {
        serve.args(["--env", &format!("{variable}={value}")]);
    }
    serve.arg(container.image).args(&container.args);
    let stop = ["docker", "rm", "--force", "--volumes", name].map(OsString::from).into();
    Launch { serve, stop }
}

fn docker(args: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::super::postgres::Postgres;
    use super::*;

    #[test]
    fn a_container_is_reached_from_this_machine_alone_and_removed_by_its_name() {
        let launch = launch(&Postgres.container(false), "a-name", 20_001);
        let args: Vec<_> = launch.serve.get_args().map(|arg| arg.to_string_lossy()).collect();
        assert!(args.windows(2).any(|pair| pair == ["--publish", "127.0.0.1:20001:5432"]), "{args:?}");
        let image = args.iter().position(|arg| arg == "postgres:17").expect("the image is named");
        assert!(args[image..].iter().any(|arg| arg == "fsync=off"), "{args:?}");
        assert!(args[..image].windows(2).any(|pair| pair == ["--name", "a-name"]), "{args:?}");
        assert_eq!(launch.stop.last().expect("a name"), "a-name");
    }
}
