//! A way to the server that a test can cut.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use highwater_redis::redis::{ConnectionAddr, IntoConnectionInfo as _};

/// Passes on what comes in, until it is cut. Made of threads, so that it is not in the way of a runtime.
pub(crate) struct Proxy {
    address: SocketAddr,
    server: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    cut: AtomicBool,
    silent: AtomicBool,
    ends: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// In front of the server that the address names.
    pub(crate) fn new(url: &str) -> Self {
        let info = url.into_connection_info().expect("an address");
        let ConnectionAddr::Tcp(host, port) = info.addr() else { panic!("{url} names no port") };
        let server = format!("{host}:{port}");
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

    /// The address of the server, by way of this.
    pub(crate) fn url(&self, url: &str) -> String {
        let replaced = url.replacen(&self.server, &self.address.to_string(), 1);
        assert_ne!(replaced, url, "the address names host and port");
        replaced
    }

    /// Breaks all connections, and every new one as soon as it is made.
    pub(crate) fn cut(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
        self.break_all();
    }

    /// Breaks all connections that there are; new ones work.
    pub(crate) fn break_all(&self) {
        for end in self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have been closed by itself.
            end.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }

    /// Swallows every answer of the server from now on (`true`), so that it seems to be silent.
    pub(crate) fn silence(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.shared.cut.store(false, Ordering::SeqCst);
    }
}

impl Shared {
    fn pass_on(self: &Arc<Self>, client: TcpStream, server: &str) {
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        let connected = TcpStream::connect(server).and_then(|server| {
            let pairs = [
                (client.try_clone()?, server.try_clone()?, false),
                (server.try_clone()?, client.try_clone()?, true),
            ];
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).extend([client, server]);
            Ok(pairs)
        });
        match connected {
            Ok(pairs) => pairs.into_iter().for_each(|(from, to, answers)| {
                let shared = self.clone();
                std::thread::spawn(move || shared.copy(from, to, answers));
            }),
            Err(error) => eprintln!("the proxy cannot connect: {error}"),
        }
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, answers: bool) {
        let mut buffer = [0; 1 << 16];
        // However it ends, both ends are to notice.
        while let Ok(read @ 1..) = io::Read::read(&mut from, &mut buffer) {
            let swallowed = answers && self.silent.load(Ordering::SeqCst);
            if !swallowed && io::Write::write_all(&mut to, &buffer[..read]).is_err() {
                break;
            }
        }
        for end in [from, to] {
            end.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }
}
