//! A network that a test can break: between a program and its server.
//!
//! What can be broken: time (each message arrives late), silence (nothing arrives, in one direction or both, and no
//! end of a connection either, as when a host has vanished), connections (all of them end), and the server's door
//! (nobody listens). One limit: on the wire it is the proxy that answers keepalives, in silence, too.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr as _;
use std::time::Duration;

use highwater::core::ports::Clock as _;
use highwater_postgres::sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::poll::CLOCK;

use super::port;
use super::wait::{RUNTIME, wait_for};

/// A proxy in front of one server. Dropping it ends its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    server: (String, u16),
    network: watch::Sender<Network>,
    door: Option<JoinHandle<()>>,
}

/// The state of the network.
#[derive(Debug, Clone, Copy, Default)]
struct Network {
    delay: Duration,
    questions_held: bool,
    answers_held: bool,
    /// Connections of an earlier one are cut.
    generation: u64,
}

/// Where bytes go.
#[derive(Debug, Clone, Copy)]
enum Direction {
    ToServer,
    ToClient,
}

impl Network {
    fn holds(self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => self.questions_held,
            Direction::ToClient => self.answers_held,
        }
    }
}

impl Proxy {
    /// A proxy in front of the server that a PostgreSQL address names, on a port of its own.
    ///
    /// # Panics
    /// When the address is none, or names a Unix socket.
    #[must_use]
    pub fn to(url: &str) -> Self {
        let network = watch::Sender::new(Network::default());
        let mut this = Self { port: port::free(), server: server_of(url), network, door: None };
        this.listen();
        this
    }

    /// Leads to another server, from the next [`Proxy::listen`] on.
    ///
    /// # Panics
    /// As [`Proxy::to`]; when it listens.
    pub fn lead_to(&mut self, url: &str) {
        assert!(self.door.is_none(), "the proxy listens");
        self.server = server_of(url);
    }

    /// The address that `url` becomes when it leads through this proxy.
    ///
    /// # Panics
    /// When it is no address.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("an address has a scheme");
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
        format!("{scheme}://{user}127.0.0.1:{}{path}", self.port)
    }

    /// From now on everything arrives this much later, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.network.send_modify(|network| network.delay = delay);
    }

    /// Silence in both directions, in old and new connections. What is sent meanwhile arrives after
    /// [`Proxy::resume`], unless the connection is cut.
    pub fn hold(&self) {
        self.network.send_modify(|network| (network.questions_held, network.answers_held) = (true, true));
    }

    /// The server hears everything and is not heard: a commit that happens and whose answer is lost.
    pub fn hold_answers(&self) {
        self.network.send_modify(|network| network.answers_held = true);
    }

    /// Ends a silence and a delay.
    pub fn resume(&self) {
        self.network.send_modify(|network| {
            *network = Network { generation: network.generation, ..Network::default() };
        });
    }

    /// Ends all connections; new ones are taken.
    pub fn cut(&self) {
        self.network.send_modify(|network| network.generation += 1);
    }

    /// Nobody listens any more: new connections are refused, the present ones live on.
    pub fn refuse(&mut self) {
        if let Some(door) = self.door.take() {
            door.abort();
            // The port is closed when the task is gone, and not before.
            let ended = wait_for(door);
            assert!(ended.is_err_and(|end| end.is_cancelled()), "the proxy listened until now");
        }
    }

    /// Listens again.
    pub fn listen(&mut self) {
        if self.door.is_some() {
            return;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let (listening, listens) = oneshot::channel();
        let (server, network) = (self.server.clone(), self.network.clone());
        self.door = Some(RUNTIME.spawn(async move {
            let listener = TcpListener::bind(address).await;
            let listener = listener.unwrap_or_else(|error| panic!("cannot listen at {address}: {error}"));
            if listening.send(()).is_ok() {
                accept(listener, server, network).await;
            }
        }));
        wait_for(listens).expect("the proxy listens");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(door) = self.door.take() {
            door.abort();
        }
        self.cut();
    }
}

/// Host and port of a PostgreSQL address.
fn server_of(url: &str) -> (String, u16) {
    let address = PgConnectOptions::from_str(url).expect("a PostgreSQL address");
    assert!(address.get_socket().is_none(), "{url} is a Unix socket");
    (address.get_host().to_owned(), address.get_port())
}

async fn accept(listener: TcpListener, server: (String, u16), network: watch::Sender<Network>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (server, network) = (server.clone(), network.subscribe());
                RUNTIME.spawn(async move {
                    // A connection that breaks is what a proxy is for; both sides see it.
                    if let Err(error) = serve(client, &server, network).await {
                        println!("proxy: {error}");
                    }
                });
            }
            Err(error) => println!("proxy: cannot take a connection: {error}"),
        }
    }
}

/// One connection, until either side or the test ends it.
async fn serve(
    client: TcpStream,
    server: &(String, u16),
    mut network: watch::Receiver<Network>,
) -> io::Result<()> {
    let generation = network.borrow().generation;
    let server = TcpStream::connect((server.0.as_str(), server.1)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let questions = pass(from_client, to_server, Direction::ToServer, network.clone());
    let answers = pass(from_server, to_client, Direction::ToClient, network.clone());
    tokio::select! {
        both = async { tokio::try_join!(questions, answers) } => both.map(|_| ()),
        // An error: the proxy itself is gone.
        _cut = network.wait_for(|network| network.generation != generation) => Ok(()),
    }
}

/// Passes bytes on, and their end.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut network: watch::Receiver<Network>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        let delay = match network.wait_for(|network| !network.holds(direction)).await {
            Ok(network) => network.delay,
            // The proxy is gone.
            Err(_closed) => return Ok(()),
        };
        if !delay.is_zero() {
            CLOCK.sleep(delay).await;
        }
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..count]).await?;
    }
}
