//! An HTTP server that writes down what it is sent and answers as it is told.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use perennial_runtime::instant;
use sha2::Sha256;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::wait::eventually;

/// A running, or for the moment stopped, HTTP sink on 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Its own runtime, so that stopping it also cuts the connections clients keep open.
    runtime: Option<Runtime>,
}

/// What the sink does with a request once it has written it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This status with an empty body.
    Status(u16),
    /// 429 with `Retry-After` in seconds.
    TooManyRequests { retry_after: u64 },
    /// Nothing: the connection stays open until the client gives up.
    Silence,
}

/// One request, whatever was answered.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// When its last byte arrived.
    pub(crate) at: Instant,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What the sink answered.
    pub(crate) answer: Answer,
}

#[derive(Debug)]
struct Shared {
    answer: Mutex<Answer>,
    received: Mutex<Vec<Received>>,
}

impl Sink {
    /// Starts a sink that answers 200 on a free port.
    pub(crate) fn start() -> Sink {
        let answer = Mutex::new(Answer::Status(200));
        let shared = Arc::new(Shared { answer, received: Mutex::default() });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut sink = Sink { address, shared, runtime: None };
        sink.resume();
        sink
    }

    /// `http://127.0.0.1:PORT` with `path` behind it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers every request from now on like this.
    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().expect("no holder panics") = answer;
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no holder panics").clone()
    }

    /// Waits until at least `count` requests have arrived, and returns all of them.
    pub(crate) async fn wait_for(&self, count: usize, within: Duration) -> Vec<Received> {
        let awaited = format!("{count} requests to the sink");
        eventually(&awaited, within, async || {
            let received = self.received();
            if received.len() >= count { Ok(received) } else { Err(received) }
        })
        .await
    }

    /// Cuts every connection and refuses new ones.
    pub(crate) async fn stop(&mut self) {
        self.runtime.take().expect("the sink is running").shutdown_background();
        eventually("the sink to refuse connections", Duration::from_secs(30), async || {
            TcpStream::connect(self.address).err().ok_or("it accepts them")
        })
        .await;
    }

    /// Listens again, on the same port.
    pub(crate) fn resume(&mut self) {
        assert!(self.runtime.is_none(), "the sink is running already");
        let listener = TcpListener::bind(self.address).expect("the sink's port is free");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        self.address = listener.local_addr().expect("a listener has an address");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be built");
        let router = Router::new().fallback(record).with_state(Arc::clone(&self.shared));
        runtime.spawn(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it is non-blocking");
            axum::serve(listener, router).await
        });
        self.runtime = Some(runtime);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Received {
    /// The body as JSON; panics when it is not.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The value of a header, when there is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("the header is ASCII"))
    }

    /// Whether `header` is `sha256=` and the HMAC-SHA256 of `signed` under `secret`, in hexadecimal.
    pub(crate) fn is_signed(&self, header: &str, secret: &[u8], signed: &[u8]) -> bool {
        self.header(header) == Some(&format!("sha256={}", hmac_sha256(secret, signed)))
    }
}

/// The HMAC-SHA256 of `message` in lower-case hexadecimal.
pub(crate) fn hmac_sha256(secret: &[u8], message: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do");
    mac.update(message);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn record(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = *shared.answer.lock().expect("no holder panics");
    let path = uri.to_string();
    let request = Received { at: instant(), method, path, headers, body, answer };
    shared.received.lock().expect("no holder panics").push(request);
    match answer {
        Answer::Status(code) => StatusCode::from_u16(code).expect("a status code").into_response(),
        Answer::TooManyRequests { retry_after } => {
            let headers = [(header::RETRY_AFTER, retry_after.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
        }
        Answer::Silence => pending().await,
    }
}
