//! The edge: one request to a model's server.

use std::error::Error;
use std::time::Duration;

use perennial_runtime::{Timestamp, instant};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, redirect};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use super::config::Model;
use super::events::Events;
use super::protocol::{self, Completion, Request};
use super::setback::{SAID, Setback};
use crate::plan::ErrorKind;
use crate::tools::ConfigError;
use crate::tools::http::freshness::retry_after;

/// A server that has not taken a connection after this long does not take one.
const CONNECT: Duration = Duration::from_secs(5);
/// A look at a server may take so long.
const LOOK: Duration = Duration::from_secs(2);
/// The longest answer, in bytes: far more than a model writes.
const LONGEST: usize = 4 * 1024 * 1024;

/// Makes ready to ask servers.
pub(super) fn client() -> Result<Client, ConfigError> {
    // A redirect would carry the key and the prompt to an address that nobody configured.
    let client = Client::builder()
        .user_agent("perennial")
        .connect_timeout(CONNECT)
        .redirect(redirect::Policy::none())
        .build();
    let why =
        |error| ConfigError(vec![format!("models: no client can be made: {}", causes(error))]);
    client.map_err(why)
}

/// Asks `model`, which has until then.
pub(super) async fn ask(
    client: &Client,
    model: &Model,
    request: &Request,
    (until, now): (Instant, Timestamp),
) -> Result<Completion, Setback> {
    let began = instant();
    let over = until.min(began + model.timeout);
    let mut completion = Completion::default();
    let exchanged = timeout_at(over, exchange(client, model, request, now, &mut completion)).await;
    match exchanged {
        Ok(Ok(())) if completion.text.trim().is_empty() => {
            Err(Setback::broken(ErrorKind::Failed, "answered with no text", ""))
        }
        Ok(Ok(())) => Ok(completion),
        Ok(Err(setback)) => Err(setback),
        Err(_) => {
            let limit = over.saturating_duration_since(began);
            let why = format!("had not answered wholly after {limit:.1?}");
            Err(Setback::broken(ErrorKind::Timeout, &why, &completion.text))
        }
    }
}

async fn exchange(
    client: &Client,
    model: &Model,
    request: &Request,
    now: Timestamp,
    completion: &mut Completion,
) -> Result<(), Setback> {
    let url = format!("{}{}", model.address(), protocol::path(model.provider));
    let body = protocol::body(model.provider, request).to_string();
    let request = client.post(url).headers(headers(model)).header(CONTENT_TYPE, "application/json");
    let response = request.body(body).send().await.map_err(|error| {
        if error.is_connect() {
            let why = format!("could not be reached: {}", causes(error));
            return Setback::new(ErrorKind::Unavailable, why);
        }
        cut(error, "")
    })?;
    let status = response.status();
    let retry_after = retry_after(response.headers(), now);
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let in_parts = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
    if !status.is_success() {
        let body = beginning(response).await;
        return Err(Setback::of_status(status.as_u16(), retry_after, &body));
    }
    // A server may not know of parts and answer wholly.
    if in_parts {
        parts(response, model, completion).await
    } else {
        *completion = whole(response, model).await?;
        Ok(())
    }
}

async fn whole(mut response: Response, model: &Model) -> Result<Completion, Setback> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cut(error, ""))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST {
            return Err(too_long(""));
        }
    }
    let wrong = |why: String| Setback::broken(ErrorKind::Failed, &why, "");
    let answer: Value = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("answered with what is no JSON: {error}")))?;
    protocol::read(model.provider, &answer).map_err(wrong)
}

async fn parts(
    mut response: Response,
    model: &Model,
    completion: &mut Completion,
) -> Result<(), Setback> {
    let mut events = Events::default();
    while let Some(chunk) = response.chunk().await.map_err(|error| cut(error, &completion.text))? {
        let came = events
            .feed(&chunk)
            .map_err(|why| Setback::broken(ErrorKind::Failed, &why, &completion.text))?;
        for data in came {
            protocol::add(model.provider, completion, &data)
                .map_err(|why| Setback::broken(ErrorKind::Unavailable, &why, &completion.text))?;
            if completion.text.len() > LONGEST {
                return Err(too_long(&completion.text));
            }
        }
        if completion.ended {
            return Ok(());
        }
    }
    // Some servers close instead of saying that this was all.
    if completion.stopped.is_some() {
        return Ok(());
    }
    Err(Setback::broken(
        ErrorKind::Unavailable,
        "ended in the middle of its answer",
        &completion.text,
    ))
}

fn too_long(written: &str) -> Setback {
    let why = format!("answered with more than {LONGEST} bytes");
    Setback::broken(ErrorKind::Failed, &why, written)
}

fn cut(error: reqwest::Error, written: &str) -> Setback {
    let why = format!("was cut off: {}", causes(error));
    Setback::broken(ErrorKind::Unavailable, &why, written)
}

/// Whether the server of `model` takes requests with its key. One that has no list of models to show may.
///
/// # Errors
/// Why it does not.
pub(super) async fn look(client: &Client, model: &Model) -> Result<(), String> {
    let request = client.get(format!("{}/models", model.address())).headers(headers(model));
    let response = match timeout(LOOK, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(format!("could not be reached: {}", causes(error))),
        Err(_) => return Err(format!("did not answer within {LOOK:?}")),
    };
    match response.status().as_u16() {
        200..=299 | 404 | 405 | 501 => Ok(()),
        status => Err(format!("answered {status} when asked for its models")),
    }
}

/// What every request to the server of `model` carries.
fn headers(model: &Model) -> HeaderMap {
    let pairs = protocol::headers(model.provider, model.key.expose());
    let parsed = pairs.into_iter().filter_map(|(name, value)| {
        // That a header can have the key was looked at when the configuration was read.
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_static(name), value))
    });
    parsed.collect()
}

/// The beginning of a body, as far as it comes.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < 8 * SAID {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(8 * SAID);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An error with its causes, without the address.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
