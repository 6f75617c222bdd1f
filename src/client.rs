//! A small HTTP/1.1 client for commands that speak to a running node.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use perennial_secret::Secret;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For the whole of one request; more than the node takes for any.
const PATIENCE: Duration = Duration::from_secs(15);

/// For each piece of a long answer.
const PATIENCE_OF_PIECES: Duration = Duration::from_secs(60);

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

/// What bodies are unless they are something else.
const JSON: &str = "application/json";

/// Names an order, so that giving it again under the same name changes nothing.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Says of which opening of a data directory the content of an answer is.
pub(crate) const INCARNATION: &str = "perennial-incarnation";

/// Why there is no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not one of a node.
    #[error("`{0}` is not the address of a node; expected one like http://127.0.0.1:8000")]
    Address(String),
    /// Nobody answers there.
    #[error(
        "no node answers at {address}: {reason}; start one with `perennial run`, or name another with --node"
    )]
    Unreachable {
        /// Where one was looked for.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The node refused.
    #[error("the node answered {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What the node said about it.
        detail: String,
    },
    /// It is not the node that uses a certain data directory.
    #[error("the node that answers at {address} is not the one that uses that data directory")]
    OtherNode {
        /// Where it answers.
        address: String,
    },
    /// What it sent could not be kept.
    #[error("what the node sent could not be written: {0}")]
    Kept(io::Error),
    /// What answered does not speak as a node does.
    #[error("what answers at {address} is not a node of this version: {reason}")]
    Foreign {
        /// Where it answers.
        address: String,
        /// What does not fit.
        reason: String,
    },
}

/// A node to speak to.
#[derive(Clone)]
pub struct Client {
    authority: String,
    token: Secret,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// What is asked of the node.
struct Asked<'a> {
    method: Method,
    path: &'a str,
    body: Option<Bytes>,
    /// What the body is.
    media: &'static str,
    /// The name of the order.
    once: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, media: JSON, once: None }
    }

    /// With a body of JSON, or with none.
    fn json(method: Method, path: &'a str, body: Option<&Value>) -> Self {
        let body = body.map(|body| Bytes::from(body.to_string()));
        Self { method, path, body, media: JSON, once: None }
    }
}

impl Client {
    /// A client of the node at `url`, such as `http://127.0.0.1:8000`.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn new(url: &str, token: Secret) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
        let authority = uri.authority().filter(|_| plain).ok_or_else(wrong)?;
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self { authority: format!("{}:{port}", authority.host()), token })
    }

    /// A client of the node that listens on `address` of this machine.
    #[must_use]
    pub fn of_listener(mut address: SocketAddr, token: Secret) -> Self {
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        Self { authority: address.to_string(), token }
    }

    /// The JSON answer to a request, with or without a JSON body, that must succeed; null for an answer without a body.
    ///
    /// # Errors
    /// There is no answer, or one that is not a success or not JSON.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        self.answer(self.send(Asked::json(method, path, body)).await?)
    }

    /// Orders something; given again under the same name `once`, it is carried out once.
    ///
    /// # Errors
    /// There is no answer, or one that is not a success or not JSON.
    pub async fn submit(
        &self,
        path: &str,
        body: &Value,
        once: Option<&str>,
    ) -> Result<Value, ClientError> {
        let asked = Asked::json(Method::POST, path, Some(body));
        self.answer(self.send(Asked { once, ..asked }).await?)
    }

    /// Sends bytes as they are, and gives the JSON answer.
    ///
    /// # Errors
    /// There is no answer, or one that is not a success or not JSON.
    pub async fn upload(&self, path: &str, content: Vec<u8>) -> Result<Value, ClientError> {
        let (body, media) = (Some(Bytes::from(content)), "application/octet-stream");
        let asked = Asked { method: Method::POST, path, body, media, once: None };
        self.answer(self.send(asked).await?)
    }

    fn answer(&self, (status, body): (StatusCode, Bytes)) -> Result<Value, ClientError> {
        if !status.is_success() {
            return Err(ClientError::Refused { status, detail: detail(&body) });
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| ClientError::Foreign {
            address: self.authority.clone(),
            reason: format!("its answer is not JSON: {error}"),
        })
    }

    /// The status and the text of an answer, whatever it is.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn text(&self, path: &str) -> Result<(StatusCode, String), ClientError> {
        let (status, body) = self.send(Asked::get(path)).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    async fn send(&self, asked: Asked<'_>) -> Result<(StatusCode, Bytes), ClientError> {
        let unreachable =
            |reason: String| ClientError::Unreachable { address: self.authority.clone(), reason };
        match timeout(PATIENCE, self.exchange(asked)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    async fn exchange(&self, asked: Asked<'_>) -> anyhow::Result<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = self.request(asked)?;
        let answer = async move {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            Ok((status, to_bytes(Body::new(answer.into_body()), LONGEST_ANSWER).await?))
        };
        // The connection has to be driven while the answer is read; it ends with the sender.
        let (answer, _ended) = tokio::join!(answer, connection);
        answer
    }

    fn request(&self, asked: Asked<'_>) -> anyhow::Result<Request<Body>> {
        let Asked { method, path, body, media, once } = asked;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, media);
        if self.token.is_set() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.token.expose()));
        }
        if let Some(once) = once {
            request = request.header(IDEMPOTENCY_KEY, once);
        }
        Ok(request.body(body.map_or_else(Body::empty, Body::from))?)
    }

    /// Writes a long answer, which must be a success, to `to` as it comes; nothing of one that comes from
    /// another incarnation than `of`.
    ///
    /// # Errors
    /// There is no answer, or not all of it, or not from whom it should be, or it cannot be written.
    pub async fn download(
        &self,
        path: &str,
        of: Option<&str>,
        to: &mut dyn Write,
    ) -> Result<(), ClientError> {
        let unreachable = |error: anyhow::Error| ClientError::Unreachable {
            address: self.authority.clone(),
            reason: error.to_string(),
        };
        let connect = async {
            let stream = TcpStream::connect(&self.authority).await?;
            let connected = http1::handshake(TokioIo::new(stream)).await?;
            anyhow::Ok((connected, self.request(Asked::get(path))?))
        };
        let ((mut sender, connection), request) = connect.await.map_err(unreachable)?;
        let answer = async move {
            let answer = timeout(PATIENCE, sender.send_request(request)).await;
            let answer = answer.map_err(anyhow::Error::from).and_then(|sent| Ok(sent?));
            let answer = answer.map_err(unreachable)?;
            if !answer.status().is_success() {
                return Err(refusal(answer).await);
            }
            let from = answer.headers().get(INCARNATION).map(HeaderValue::as_bytes);
            if of.is_some_and(|of| from != Some(of.as_bytes())) {
                return Err(ClientError::OtherNode { address: self.authority.clone() });
            }
            let mut body = answer.into_body();
            while let Some(piece) = piece_of(&mut body).await.map_err(unreachable)? {
                to.write_all(&piece).map_err(ClientError::Kept)?;
            }
            Ok(())
        };
        let (answer, _ended) = tokio::join!(answer, connection);
        answer
    }
}

async fn refusal(answer: Response<Incoming>) -> ClientError {
    let status = answer.status();
    let body = to_bytes(Body::new(answer.into_body()), LONGEST_ANSWER).await.unwrap_or_default();
    ClientError::Refused { status, detail: detail(&body) }
}

/// The next piece of a body; an empty one for what carries no data.
async fn piece_of(body: &mut Incoming) -> anyhow::Result<Option<Bytes>> {
    let next = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
    let frame = timeout(PATIENCE_OF_PIECES, next).await?.transpose()?;
    Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// The detail of a problem document, or the text itself.
fn detail(body: &[u8]) -> String {
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    detail.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_plain_http_url_without_a_path() {
        let authority = |url: &str| Client::new(url, Secret::default()).map(|c| c.authority).ok();
        assert_eq!(authority("http://localhost"), Some("localhost:80".into()));
        assert_eq!(authority("http://127.0.0.1:8000/"), Some("127.0.0.1:8000".into()));
        assert_eq!(authority("http://[::1]:8000"), Some("[::1]:8000".into()));
        for wrong in ["https://x", "x:80", "http://x/y", "", "http://"] {
            assert_eq!(authority(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_node_that_listens_everywhere_is_asked_on_the_loopback_address() {
        let client = Client::of_listener(([0, 0, 0, 0], 8000).into(), Secret::default());
        assert_eq!(client.authority, "127.0.0.1:8000");
    }

    #[test]
    fn a_client_does_not_show_its_token() {
        let client = Client::new("http://x", Secret::new("hunter2")).unwrap();
        assert!(!format!("{client:?}").contains("hunter2"));
    }

    #[test]
    fn the_detail_of_a_problem_document_is_what_is_shown() {
        assert_eq!(detail(br#"{"title":"t","detail":"why"}"#), "why");
        assert_eq!(detail(b"plain"), "plain");
    }
}
