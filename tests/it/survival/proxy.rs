//! A real engine behind a socket of the test's own, which plays tricks on what passes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// What is done to the traffic.
#[derive(Clone, Debug)]
pub(crate) enum Trick {
    /// Requests whose head contains this text are never answered; their connection stays open.
    Hang(String),
    /// The same for any of these texts, as long as the switch is on.
    HangWhile(Arc<AtomicBool>, Vec<String>),
    /// Every event of a live event stream is passed on twice.
    DoubleEvents,
    /// The first line of every request that changes something is written down before it is passed on.
    Record(Arc<Mutex<Vec<String>>>),
}

impl Trick {
    fn hangs(&self, head: &str) -> bool {
        match self {
            Trick::Hang(text) => head.contains(text),
            Trick::HangWhile(on, texts) => {
                on.load(Ordering::SeqCst) && texts.iter().any(|text| head.contains(text))
            }
            Trick::DoubleEvents | Trick::Record(_) => false,
        }
    }

    fn note(&self, head: &str) {
        let changes = ["POST ", "PUT ", "DELETE "].iter().any(|method| head.starts_with(method));
        if let Trick::Record(heads) = self
            && changes
        {
            heads.lock().expect("no holder panics").push(head.to_owned());
        }
    }
}

/// A listening socket; gone, with its connections, when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    host: String,
    tricked: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
    _directory: TempDir,
}

impl Proxy {
    /// Listens before the engine at `upstream`, as in `unix:///path`.
    pub(crate) fn start(upstream: &str, trick: Trick) -> Proxy {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let socket = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).expect("a socket can be made");
        let host = format!("unix://{}", socket.display());
        let upstream = upstream.trim_start_matches("unix://").to_owned();
        let tricked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&tricked);
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, trick) = (upstream.clone(), trick.clone());
                let counter = Arc::clone(&counter);
                connections.spawn(async move {
                    if let Ok(engine) = UnixStream::connect(&upstream).await {
                        relay(client, engine, trick, &counter).await;
                    }
                });
            }
        });
        Proxy { host, tricked, accepting, _directory: directory }
    }

    /// The address for the node's configuration.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// How often the trick was played.
    pub(crate) fn tricked(&self) -> usize {
        self.tricked.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(client: UnixStream, engine: UnixStream, trick: Trick, tricked: &AtomicUsize) {
    let (from_client, to_client) = client.into_split();
    let (from_engine, to_engine) = engine.into_split();
    let live = Arc::new(AtomicUsize::new(0));
    let doubles = matches!(trick, Trick::DoubleEvents);
    tokio::select! {
        () = requests(from_client, to_engine, &trick, tricked, &live) => {}
        () = answers(from_engine, to_client, &live, tricked, doubles) => {}
    }
}

/// The client writes the head of a request at once, so a chunk is where to look for one.
async fn requests(
    mut client: OwnedReadHalf,
    mut engine: OwnedWriteHalf,
    trick: &Trick,
    tricked: &AtomicUsize,
    live: &AtomicUsize,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = client.read(&mut buffer).await.unwrap_or(0);
        if length == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&buffer[..length]);
        let head = text.lines().next().unwrap_or_default();
        trick.note(head);
        if trick.hangs(head) {
            tricked.fetch_add(1, Ordering::SeqCst);
            // Until the client gives up.
            while client.read(&mut buffer).await.unwrap_or(0) > 0 {}
            return;
        }
        let stream = head.contains("/events?") && !head.contains("until=");
        live.store(usize::from(stream), Ordering::SeqCst);
        if engine.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// An event is one chunk of the transfer encoding, and the engine writes it at once.
async fn answers(
    mut engine: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    live: &AtomicUsize,
    tricked: &AtomicUsize,
    doubles: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = engine.read(&mut buffer).await.unwrap_or(0);
        let bytes = &buffer[..length];
        if length == 0 || client.write_all(bytes).await.is_err() {
            return;
        }
        let event = doubles && live.load(Ordering::SeqCst) == 1 && !bytes.starts_with(b"HTTP/");
        if event {
            tricked.fetch_add(1, Ordering::SeqCst);
            if client.write_all(bytes).await.is_err() {
                return;
            }
        }
    }
}
