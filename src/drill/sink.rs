//! Whom the node of a drill speaks to: a webhook's receiver that notes what it is told, and beside it a
//! service that queries call, which notes who called.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::ledger::Ledger;
use crate::client::IDEMPOTENCY_KEY;
use crate::exit::{Exit, Failure};

/// How long a call takes, so that some are under way at any moment.
const CALL: Duration = Duration::from_millis(20);

/// A running receiver; gone when dropped.
#[derive(Debug)]
pub(super) struct Sink {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Sink {
    /// Listens on a free port of this machine.
    pub(super) async fn start(ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let busy = |error| Failure::new(Exit::Unavailable, format!("cannot listen: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(busy)?;
        let address = listener.local_addr().map_err(busy)?;
        let router = Router::new().route("/", post(note)).route("/calls/{name}", post(called));
        let router = router.with_state(ledger);
        let serving = tokio::spawn(async move {
            // It ends with its task, never by itself.
            let _ended = axum::serve(listener, router).await;
        });
        Ok(Self { address, serving })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

async fn note(State(ledger): State<Arc<Ledger>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let key = headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok());
    match (serde_json::from_slice(&body), key) {
        (Ok(notice), Some(key)) => {
            ledger.told(&notice, key);
            StatusCode::OK
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

async fn called(
    State(ledger): State<Arc<Ledger>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> StatusCode {
    let Some(key) = headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()) else {
        return StatusCode::BAD_REQUEST;
    };
    ledger.called(&name, key);
    tokio::time::sleep(CALL).await;
    StatusCode::OK
}
