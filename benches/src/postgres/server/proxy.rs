//! A network in between: what goes through arrives a quarter of a millisecond later, either way.
//!
//! Each direction of a connection has two threads: one notes when a piece came, the other passes it on when
//! it is due. So pieces that follow each other closely are delayed as one would be, and the bandwidth stays.
//! Threads and not tasks, because a runtime's timers count in milliseconds.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use highwater::TokioClock;
use highwater::core::ports::{Clock, Moment};

/// What is added each way.
pub(crate) const DELAY: Duration = Duration::from_micros(250);
const PIECE: usize = 1 << 16;

/// Where the server is.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Socket(PathBuf),
    Tcp(String, u16),
}

/// A proxy on the loopback device. Its threads end with their connections; the one that listens, with the
/// process.
#[derive(Debug)]
pub(super) struct Proxy {
    port: u16,
}

impl Proxy {
    /// Starts it.
    ///
    /// # Errors
    /// When no port can be had.
    pub(super) fn start(target: Target) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen for the proxy")?;
        let port = listener.local_addr().context("find the proxy's port")?.port();
        thread::spawn(move || {
            // The threads of the connections take it over.
            if let Err(error) = precise_timers() {
                eprintln!("proxy: delays are some 50 us longer than they should be: {error}");
            }
            for client in listener.incoming() {
                if let Err(error) = client.and_then(|client| connect(client, &target)) {
                    eprintln!("proxy: {error}");
                }
            }
        });
        Ok(Self { port })
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

/// Lets this thread sleep no longer than it asks for; as a rule Linux adds up to 50 us. See timerslack_ns in
/// "The /proc Filesystem" of its documentation.
fn precise_timers() -> io::Result<()> {
    let thread = fs::read_link("/proc/thread-self")?;
    let id = thread.file_name().ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new("/proc").join(id).join("timerslack_ns"), "1")
}

fn connect(client: TcpStream, target: &Target) -> io::Result<()> {
    client.set_nodelay(true)?;
    let client_too = client.try_clone()?;
    match target {
        Target::Socket(path) => {
            let server = UnixStream::connect(path)?;
            let server_too = server.try_clone()?;
            pass(client, server, |server| server.shutdown(Shutdown::Write));
            pass(server_too, client_too, |client| client.shutdown(Shutdown::Write));
        }
        Target::Tcp(host, port) => {
            let server = TcpStream::connect((host.as_str(), *port))?;
            server.set_nodelay(true)?;
            let server_too = server.try_clone()?;
            pass(client, server, |server| server.shutdown(Shutdown::Write));
            pass(server_too, client_too, |client| client.shutdown(Shutdown::Write));
        }
    }
    Ok(())
}

/// One direction. An end of either side ends the other one's, which is how a connection is closed.
fn pass<F, T>(mut from: F, mut to: T, end: impl FnOnce(&T) -> io::Result<()> + Send + 'static)
where
    F: Read + Send + 'static,
    T: Write + Send + 'static,
{
    let clock = TokioClock::new();
    let (pieces, due) = mpsc::channel::<(Moment, Vec<u8>)>();
    thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        while let Ok(length) = from.read(&mut piece)
            && length > 0
            && pieces.send((clock.now() + DELAY, piece[..length].to_vec())).is_ok()
        {}
    });
    thread::spawn(move || {
        for (at, piece) in due {
            let left = at.since(clock.now());
            if !left.is_zero() {
                thread::sleep(left);
            }
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        // The other side may be gone already, which is what we want it to be.
        if let Err(error) = end(&to)
            && error.kind() != io::ErrorKind::NotConnected
        {
            eprintln!("proxy: {error}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_whole_in_order_and_later_and_the_end_passes_through() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = server.local_addr().expect("it is bound").port();
        let echo = thread::spawn(move || {
            let (mut stream, _) = server.accept().expect("a client");
            let mut text = Vec::new();
            stream.read_to_end(&mut text).expect("all of it");
            stream.write_all(&text).expect("the client waits");
        });
        let proxy = Proxy::start(Target::Tcp("127.0.0.1".to_owned(), port)).expect("it listens");
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).expect("it accepts");
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(3 * PIECE).collect();
        let clock = TokioClock::new();
        let started = clock.now();
        client.write_all(&sent).expect("it reads");
        client.shutdown(Shutdown::Write).expect("it is open");
        let mut received = Vec::new();
        client.read_to_end(&mut received).expect("it answers");
        assert!(received == sent && clock.now().since(started) >= 2 * DELAY);
        echo.join().expect("no panic");
    }
}
