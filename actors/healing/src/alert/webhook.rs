//! The generic receiver: signed JSON over HTTP.

use std::fmt::Write as _;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use perennial_runtime::{Attempt, EffectError, Timestamp};
use perennial_secret::Secret;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::alert::answer::{BODY_LIMIT, judge};
use crate::alert::channels::ChannelError;
use crate::alert::text::{line, time, unix_seconds};
use crate::alert::{Config, Item, Notice};

/// One request may take this long; below the effect's own timeout, so that its error says more.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Version of the document that is sent.
const VERSION: u32 = 1;

/// An address to POST to. Its URL is a secret and never shows.
pub(super) struct Target {
    client: Client,
    url: Url,
}

/// The address that a secret holds, if it is one to which something can be sent by HTTP.
pub(super) fn address(secret: &Secret) -> Option<Url> {
    let url = Url::parse(secret.expose()).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

impl Target {
    /// Prepares requests to `url`, which the configuration calls `option`.
    pub(super) fn new(url: &Secret, option: &'static str) -> Result<Self, ChannelError> {
        let url = address(url).ok_or(ChannelError::Address { option })?;
        // A redirect would carry the notification to an address that nobody configured.
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("perennial")
            .build()
            .map_err(|error| ChannelError::client(option, error))?;
        Ok(Self { client, url })
    }

    /// POSTs `body` and judges the answer.
    pub(super) async fn post(
        &self,
        body: String,
        headers: HeaderMap,
        now: Timestamp,
    ) -> Result<String, EffectError> {
        let request = self.client.post(self.url.clone()).headers(headers);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = beginning(response).await;
        judge(status, retry_after.as_deref(), &body, now)
    }
}

/// Names the failure and its causes, without the address.
fn unreachable(error: reqwest::Error) -> EffectError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    EffectError::transient(format!("could not be reached: {}", line(&text, 2 * BODY_LIMIT)))
}

/// The beginning of the answer's body, as far as it arrives.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < 4 * BODY_LIMIT {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(4 * BODY_LIMIT);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The webhook channel.
pub(super) struct Webhook {
    target: Target,
    key: Secret,
}

impl Webhook {
    pub(super) fn new(config: &Config) -> Result<Self, ChannelError> {
        let target = Target::new(&config.webhook.url, "alert.webhook.url")?;
        Ok(Self { target, key: config.webhook.key.clone() })
    }

    pub(super) async fn send(
        &self,
        notice: &Notice,
        attempt: &Attempt,
    ) -> Result<String, EffectError> {
        let body = document(notice).to_string();
        let timestamp = unix_seconds(attempt.now).to_string();
        let mut headers = HeaderMap::new();
        insert(&mut headers, "idempotency-key", attempt.key.as_str())?;
        insert(&mut headers, "x-perennial-timestamp", &timestamp)?;
        if self.key.is_set() {
            let signature = signature(&self.key, &timestamp, &body)?;
            insert(&mut headers, "x-perennial-signature", &format!("sha256={signature}"))?;
        }
        self.target.post(body, headers, attempt.now).await
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), EffectError> {
    let value = HeaderValue::from_str(value).map_err(EffectError::permanent)?;
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

/// HMAC-SHA256 of `timestamp`, a dot and `body`, in hexadecimal.
fn signature(key: &Secret, timestamp: &str, body: &str) -> Result<String, EffectError> {
    let key = key.expose().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(EffectError::permanent)?;
    for part in [timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    let mut hex = String::new();
    for byte in mac.finalize().into_bytes() {
        write!(hex, "{byte:02x}").map_err(EffectError::permanent)?;
    }
    Ok(hex)
}

/// The document that is sent.
fn document(notice: &Notice) -> Value {
    let coverage = notice.coverage.iter().map(|gap| {
        json!({
            "container": {"id": gap.subject.id.0, "name": gap.subject.name},
            "gaps": gap.gaps,
        })
    });
    json!({
        "version": VERSION,
        "id": notice.id,
        "thread": notice.thread,
        "sequence": notice.sequence,
        "title": notice.title,
        "change": notice.change,
        "severity": notice.severity.as_str(),
        "group": notice.group,
        "environment": notice.environment,
        "at": time(notice.at),
        "created_at": time(notice.created_at),
        "incidents": notice.items.iter().map(incident).collect::<Vec<_>>(),
        "coverage": coverage.collect::<Vec<_>>(),
        "more_coverage": notice.more_coverage,
    })
}

fn incident(item: &Item) -> Value {
    let subject = &item.subject;
    let fields = item.fields.iter();
    let fields: serde_json::Map<String, Value> =
        fields.map(|field| (field.title.clone(), Value::from(field.value.clone()))).collect();
    json!({
        "id": item.incident.0,
        "change": item.change,
        "at": time(item.at),
        "severity": item.severity.as_str(),
        "status": item.status,
        "title": item.title,
        "container": {
            "id": subject.id.0,
            "name": subject.name,
            "image": subject.image,
            "project": subject.project,
            "service": subject.service,
        },
        "fields": fields,
        "journal": item.excerpt,
    })
}

#[cfg(test)]
mod tests;
