//! A small HTTP server that answers as it is told to, well or badly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is sent back.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    text: String,
    /// Whether the connection stays open without a further byte.
    hangs: bool,
}

impl Reply {
    pub(super) fn new(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        Self::raw(&format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
    }

    pub(super) fn ok(body: &str) -> Self {
        Self::new(200, &[], body)
    }

    pub(super) fn redirect(status: u16, to: &str) -> Self {
        Self::new(status, &[("location", to)], "")
    }

    /// These bytes, and then the end.
    pub(super) fn raw(text: &str) -> Self {
        Self { text: text.to_owned(), hangs: false }
    }

    /// These bytes, and then nothing, not even the end.
    pub(super) fn hanging(text: &str) -> Self {
        Self { text: text.to_owned(), hangs: true }
    }
}

/// A server until it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// The requests so far, as text.
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Listens at `ip` and answers each request by its path.
    pub(super) async fn at(
        ip: &str,
        reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, reply) = (Arc::clone(&seen), Arc::new(reply));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&noted), Arc::clone(&reply)));
            }
        });
        Self { address, seen, task }
    }

    pub(super) async fn new(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1", reply).await
    }

    /// An address of it with its number, as in `http://127.0.0.1:80/path`.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// An address of it with a name.
    pub(super) fn named(&self, name: &str, path: &str) -> String {
        format!("http://{name}:{}{path}", self.address.port())
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve<R: Fn(&str) -> Reply>(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
    reply: Arc<R>,
) {
    let request = read(&mut stream).await;
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(request);
    let reply = reply(&path);
    stream.write_all(reply.text.as_bytes()).await.ok();
    if reply.hangs {
        std::future::pending::<()>().await;
    }
}

/// The request, with a body of the length that it gives.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
