//! A way to the server that a test can cut.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use highwater_postgres::sqlx::postgres::PgConnectOptions;

/// Passes on what comes in, until it is cut. Made of threads, so that it is not in the way of a runtime.
pub(crate) struct Proxy {
    address: SocketAddr,
    server: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    cut: AtomicBool,
    ends: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// In front of the server that the address names.
    pub(crate) fn new(url: &str) -> Self {
        let server = Self::server_of(url);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared::default());
        let (to, state) = (server.clone(), shared.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                match client {
                    Ok(client) => state.pass_on(client, &to),
                    Err(error) => eprintln!("the proxy cannot accept: {error}"),
                }
            }
        });
        Self { address, server, shared }
    }

    /// Host and port of an address, as it names them.
    pub(crate) fn server_of(url: &str) -> String {
        let options = PgConnectOptions::from_str(url).expect("an address");
        format!("{}:{}", options.get_host(), options.get_port())
    }

    /// The address of the server, by way of this.
    pub(crate) fn url(&self, url: &str) -> String {
        let replaced = url.replacen(&self.server, &self.address.to_string(), 1);
        assert_ne!(replaced, url, "the address names host and port");
        replaced
    }

    /// Breaks all connections, and every new one as soon as it is made.
    pub(crate) fn cut(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
        for end in self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have been closed by itself.
            end.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }

    /// How many connections came, since the beginning or the last cut.
    pub(crate) fn connections(&self) -> usize {
        self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner).len() / 2
    }

    pub(crate) fn mend(&self) {
        self.shared.cut.store(false, Ordering::SeqCst);
    }
}

impl Shared {
    fn pass_on(&self, client: TcpStream, server: &str) {
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        let connected = TcpStream::connect(server).and_then(|server| {
            let pairs =
                [(client.try_clone()?, server.try_clone()?), (server.try_clone()?, client.try_clone()?)];
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).extend([client, server]);
            Ok(pairs)
        });
        match connected {
            Ok(pairs) => pairs.into_iter().for_each(|(from, to)| {
                std::thread::spawn(move || copy(from, to));
            }),
            Err(error) => eprintln!("the proxy cannot connect: {error}"),
        }
    }
}

/// Passes on what comes from either to the other.
pub(crate) fn pass_on(client: TcpStream, server: TcpStream) {
    let pairs = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
    for (from, to) in pairs {
        let (from, to) = (from.expect("another handle"), to.expect("another handle"));
        std::thread::spawn(move || copy(from, to));
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    // However it ends, both ends are to notice.
    io::copy(&mut from, &mut to).unwrap_or_default();
    for end in [from, to] {
        end.shutdown(Shutdown::Both).unwrap_or_default();
    }
}
