//! A peer's server: found, started in a directory of its own, stopped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, BufStream};
use tokio::net::{TcpStream, UnixStream};

/// A connection to a server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A buffered connection.
pub type Wire = BufStream<Box<dyn Stream>>;

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub struct Server(Child);

/// The first of these that is a file, or the name in a directory of the path.
pub fn find(name: &str, more: &[&str]) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin"]).chain(more.iter().copied());
    folders.map(|folder| Path::new(folder).join(name)).find(|file| file.is_file())
}

impl Server {
    /// Starts it; what it says is thrown away.
    pub fn start(command: &mut Command) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Connects to a socket file, once it is there.
pub async fn connect_unix(path: &Path) -> Wire {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return BufStream::new(Box::new(stream)),
            Err(error) => assert!(Instant::now() < give_up, "{}: {error}", path.display()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Connects to a port of this machine, once somebody listens.
pub async fn connect_tcp(port: u16) -> Wire {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => {
                stream.set_nodelay(true).unwrap();
                return BufStream::new(Box::new(stream));
            }
            Err(error) => assert!(Instant::now() < give_up, "port {port}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
