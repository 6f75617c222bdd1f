//! A backup, sent while it is taken.

use std::convert::Infallible;
use std::io::{self, BufWriter, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use hyper::body::Frame;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::App;
use super::error::ApiError;
use crate::backup::about;
use crate::client::INCARNATION;

/// Pieces that wait for the client.
const PIECES: usize = 4;

/// Bytes of a piece, about.
const PIECE_BYTES: usize = 64 * 1024;

/// How long a client may take for a piece.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is sent shows by itself whether it is whole, and its head of which data directory it is.
pub(super) async fn stream(
    State(app): State<App>,
) -> Result<([(HeaderName, String); 2], Body), ApiError> {
    let backup = app.store.begin_backup().map_err(|error| ApiError::Conflict(error.to_string()))?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let to = Client { sender, threads: Handle::current() };
    // It ends by itself: with the store, or when the client is gone.
    spawn_blocking(move || {
        match backup.write(&mut BufWriter::with_capacity(PIECE_BYTES, to), about()) {
            Ok(summary) => {
                let (rows, bytes) = (summary.rows, summary.file_bytes);
                tracing::info!(rows, bytes, "a backup was sent");
            }
            Err(error) => {
                let error = crate::exit::with_sources(&error);
                tracing::error!(error, "a backup that was asked for failed");
            }
        }
    });
    let head = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (HeaderName::from_static(INCARNATION), app.incarnation.to_string()),
    ];
    Ok((head, Body::new(Pieces(pieces))))
}

/// Where the backup is written to: whoever asked for it.
struct Client {
    sender: mpsc::Sender<Bytes>,
    threads: Handle,
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = self.sender.send(Bytes::copy_from_slice(bytes));
        match self.threads.block_on(async { timeout(PATIENCE, piece).await }) {
            Ok(Ok(())) => Ok(bytes.len()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing more")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body of the answer.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
