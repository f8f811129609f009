//! A receiver that does to a connection what no server library would do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to a connection once its request has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    /// These bytes, and the connection is closed.
    Say(&'static str),
    /// The connection is reset.
    Reset,
    /// These bytes, and then a body without end.
    Flood(&'static str),
}

/// Taken, and no more requests on this connection.
pub(crate) const TAKEN: Manner = Manner::Say("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");

/// A listener on a port of its own; gone with this value.
pub(crate) struct Rude {
    pub(crate) url: String,
    keys: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Rude {
    /// Treats the first connections like this, all others well.
    pub(crate) async fn start(script: impl IntoIterator<Item = Manner>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let mut script: VecDeque<Manner> = script.into_iter().collect();
        let keys = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&keys);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                treat(stream, script.pop_front().unwrap_or(TAKEN), &noted).await;
            }
        });
        Self { url, keys, task }
    }

    /// The idempotency key of each request, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn treat(mut stream: TcpStream, manner: Manner, keys: &Mutex<Vec<String>>) {
    let Some(head) = read_request(&mut stream).await else { return };
    let line = head.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
    keys.lock().unwrap().push(line.unwrap_or_default().to_owned());
    match manner {
        Manner::Say(text) => finish(stream.write_all(text.as_bytes()).await),
        Manner::Reset => stream.set_zero_linger().unwrap(),
        Manner::Flood(head) => {
            finish(stream.write_all(head.as_bytes()).await);
            let block = vec![b'x'; 64 << 10];
            while stream.write_all(&block).await.is_ok() {}
        }
    }
}

/// The other side may be gone already: that is its right.
fn finish(written: std::io::Result<()>) {
    if let Err(error) = written {
        eprintln!("the sink hung up: {error}");
    }
}

/// Reads a request to the end of its body; its head in lower case.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut block = [0; 4096];
        let read = stream.read(&mut block).await.ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&block[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if bytes.len() >= end + 4 + length.parse::<usize>().unwrap() {
            return Some(head);
        }
    }
}
