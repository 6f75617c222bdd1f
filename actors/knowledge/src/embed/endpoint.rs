//! A service that speaks OpenAI's `POST /v1/embeddings`.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use perennial_query::plan::ErrorKind;
use perennial_query::tool::ToolError;
use perennial_secret::Secret;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::Embedder;

/// Texts in one request, unless configured.
const BATCH: usize = 64;
/// Requests at the same time, whatever number of documents is taken in.
const AT_A_TIME: usize = 4;
/// One request may take so long, unless configured.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait that a service may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Bytes of an answer: 64 vectors of 3072 numbers in JSON are about 4 MB.
const MOST_BYTES: usize = 32 << 20;
/// Characters of a refusal that are worth repeating.
const MOST_SAID: usize = 200;

/// Where the service is and what it is asked for.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// The address up to `/v1/embeddings`; a `/v1` at its end may stay.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// Texts in one request.
    pub batch: usize,
    /// For one request.
    pub timeout: Duration,
}

impl EndpointConfig {
    /// The service at `base_url` with everything else at its default.
    #[must_use]
    pub fn new(base_url: &str, model: &str) -> Self {
        let (base_url, model) = (base_url.to_owned(), model.to_owned());
        Self { base_url, model, batch: BATCH, timeout: TIMEOUT }
    }
}

/// Why a service cannot be used as configured. Never shows the key.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address cannot be one.
    #[error("the base URL of the embeddings service is no URL of http or https: {0}")]
    Address(String),
    /// The key cannot be sent.
    #[error("the key of the embeddings service has characters that no HTTP header can have")]
    Key,
    /// The client cannot be made.
    #[error("the HTTP client of the embeddings service cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// A client of the service.
#[derive(Debug)]
pub struct Endpoint {
    name: String,
    model: String,
    batch: usize,
    url: Url,
    client: Client,
    /// One for each request that may run.
    places: Semaphore,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    index: usize,
    embedding: Vec<f32>,
}

impl Endpoint {
    /// Prepares requests. The key, if one is set, is sent as a bearer token and shown nowhere.
    ///
    /// # Errors
    ///
    /// What of the configuration cannot be used.
    pub fn new(config: &EndpointConfig, key: &Secret) -> Result<Self, EndpointError> {
        let url = address(&config.base_url)?;
        let mut headers = HeaderMap::new();
        if key.is_set() {
            let value = HeaderValue::from_str(&format!("Bearer {}", key.expose()));
            let mut value = value.map_err(|_| EndpointError::Key)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // A redirect would carry texts to an address that nobody configured.
        let client = Client::builder()
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("perennial")
            .default_headers(headers)
            .build()?;
        let (model, batch) = (config.model.clone(), config.batch.max(1));
        let places = Semaphore::new(AT_A_TIME);
        Ok(Self { name: format!("endpoint:{model}"), model, batch, url, client, places })
    }

    async fn request(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ToolError> {
        // Never closed, so there is no error.
        let _place = self.places.acquire().await;
        let request = Request { model: &self.model, input: texts, encoding_format: "float" };
        let sent = self.client.post(self.url.clone()).json(&request).send().await;
        let response = sent.map_err(|error| self.unreachable(error))?;
        let (status, wait) = (response.status(), retry_after(&response));
        let body = self.body(response).await?;
        if !status.is_success() {
            return Err(self.refused(status, wait, &body));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| {
            self.failed(
                ErrorKind::Failed,
                format!("answered with what is no list of vectors: {error}"),
            )
        })?;
        ordered(answer.data, texts.len()).map_err(|why| self.failed(ErrorKind::Failed, why))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, ToolError> {
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            body.extend_from_slice(&part);
            if body.len() > MOST_BYTES {
                let why =
                    format!("answered with more than {MOST_BYTES} bytes; use a smaller batch");
                return Err(self.failed(ErrorKind::Failed, why));
            }
        }
        Ok(body)
    }

    fn failed(&self, kind: ErrorKind, why: impl std::fmt::Display) -> ToolError {
        ToolError::new(kind, format!("the embeddings service for `{}` {why}", self.model))
    }

    fn unreachable(&self, error: reqwest::Error) -> ToolError {
        let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Unavailable };
        let error = error.without_url();
        let mut why = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        self.failed(kind, format!("could not be reached: {why}"))
    }

    /// What a status other than success means (OpenAI's errors, and RFC 9110 for the rest).
    fn refused(&self, status: StatusCode, wait: Option<Duration>, body: &[u8]) -> ToolError {
        let kind = match status.as_u16() {
            408 => ErrorKind::Timeout,
            429 => ErrorKind::Overloaded,
            500..=599 => ErrorKind::Unavailable,
            401 | 403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            _ => ErrorKind::Failed,
        };
        let said: String = String::from_utf8_lossy(body).trim().chars().take(MOST_SAID).collect();
        let error = self.failed(kind, format!("answered {status}: {said}"));
        ToolError { retry_after: wait, ..error }
    }
}

fn address(base_url: &str) -> Result<Url, EndpointError> {
    let url = Url::parse(base_url);
    let mut url = url.map_err(|error| EndpointError::Address(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EndpointError::Address(format!("its scheme is `{}`", url.scheme())));
    }
    let base = url.path().trim_end_matches('/');
    let path = format!("{}/v1/embeddings", base.strip_suffix("/v1").unwrap_or(base));
    url.set_path(&path);
    Ok(url)
}

/// The wait in a `Retry-After` header, if it is one in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// The vectors in the order of the texts, or what is wrong with them.
fn ordered(mut entries: Vec<Entry>, texts: usize) -> Result<Vec<Vec<f32>>, String> {
    entries.sort_by_key(|entry| entry.index);
    if entries.len() != texts || entries.iter().enumerate().any(|(at, entry)| entry.index != at) {
        return Err(format!("answered with {} vectors for {texts} texts", entries.len()));
    }
    let length = entries.first().map_or(0, |entry| entry.embedding.len());
    let sound = |entry: &Entry| {
        entry.embedding.len() == length && entry.embedding.iter().all(|value| value.is_finite())
    };
    if length == 0 || !entries.iter().all(sound) {
        return Err(
            "answered with vectors of no length, or of several, or without numbers".to_owned()
        );
    }
    Ok(entries.into_iter().map(|entry| entry.embedding).collect())
}

impl Embedder for Endpoint {
    fn name(&self) -> &str {
        &self.name
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, ToolError>> {
        async move {
            let mut vectors = Vec::with_capacity(texts.len());
            for batch in texts.chunks(self.batch) {
                vectors.extend(self.request(batch).await?);
            }
            Ok(vectors)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
