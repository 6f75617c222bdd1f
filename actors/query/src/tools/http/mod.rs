//! Asking hosts over HTTP: those that the operator lists, and no address that is not public.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use perennial_runtime::Clock;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Response, redirect};
use tokio::time::timeout;

use crate::plan::{ErrorKind, ValueType};
use crate::tool::{Call, Parameter, Target, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox, Trace};
use crate::tools::ConfigError;

mod address;
mod answer;
mod cache;
mod config;
pub(super) mod freshness;
mod resolve;
mod wish;

pub use config::{Config, Host, Method, Scheme};

use answer::{Answered, judge, without_query};
use cache::Cache;
use resolve::{Checked, Lookup, Refused, System};
use wish::Wish;

/// The tool's name.
pub const NAME: &str = "http";

/// A host that has not taken a connection after this long does not take one.
const CONNECT: Duration = Duration::from_secs(5);
/// Redirects that are followed.
const REDIRECTS: u32 = 5;
/// Bytes of a body that are read where the status says that it is no answer.
const REFUSAL: usize = 4 * 1024;

/// The host and port of a URL, which may hold secrets beside them.
pub(crate) fn authority(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    Some(format!("{host}:{port}"))
}

/// Adds the tool, if `config` lists a host. `clock` says what is still fresh.
///
/// # Errors
/// The configuration has problems, or a file of a header cannot be read.
pub fn add(
    toolbox: Toolbox,
    config: &Config,
    clock: Arc<dyn Clock>,
) -> Result<Toolbox, ConfigError> {
    if config.hosts.is_empty() {
        return Ok(toolbox);
    }
    Ok(toolbox.with(Http::new(config, clock, System)?))
}

/// The tool `http`: `url`, `method`, `headers`, `body`, `max_bytes` to `status`, `content` or `json`.
#[derive(Debug)]
struct Http {
    spec: ToolSpec,
    config: Config,
    client: Client,
    cache: Mutex<Cache>,
    clock: Arc<dyn Clock>,
}

impl Http {
    fn new(
        config: &Config,
        clock: Arc<dyn Clock>,
        lookup: impl Lookup,
    ) -> Result<Self, ConfigError> {
        ConfigError::unless_none(config.problems())?;
        let config = config.clone().with_files().map_err(ConfigError)?;
        // Once more, for what the files hold.
        ConfigError::unless_none(config.problems())?;
        let checked =
            Checked { lookup: Box::new(lookup), allowed: config.allow_private.clone().into() };
        let client = Client::builder()
            .user_agent("perennial")
            // A proxy would look names up itself, and connect to whatever it finds.
            .no_proxy()
            // Where an answer leads is checked before it is followed.
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT)
            .dns_resolver(Arc::new(checked))
            .build()
            .map_err(|error| ConfigError(vec![format!("hosts cannot be asked: {error}")]))?;
        let cache = Mutex::new(Cache::new(config.cache_entries, config.cache_bytes));
        Ok(Self { spec: spec(&config), config, client, cache, clock })
    }

    async fn run(&self, call: &Call) -> Result<ToolAnswer, ToolError> {
        let wish = Wish::read(&call.arguments.0, &self.config)?;
        let limit = self.config.timeout.min(call.timeout);
        timeout(limit, self.ask(&wish, call)).await.unwrap_or_else(|_| {
            let kind =
                if wish.method == Method::Post { ErrorKind::Unknown } else { ErrorKind::Timeout };
            Err(ToolError::new(kind, format!("{} had no answer within {limit:?}", named(&wish))))
        })
    }

    async fn ask(&self, wish: &Wish, call: &Call) -> Result<ToolAnswer, ToolError> {
        let host = wish.host(&self.config)?;
        let asked = wish.asked(&wish.all_headers(host)?);
        if let Some(asked) = &asked {
            let kept = self.cache().get(asked, self.clock.now());
            if let Some(kept) = kept.filter(|kept| kept.bytes <= wish.max_bytes) {
                return judge(&kept, wish.method, true, self.clock.now());
            }
        }
        let answered = self.follow(wish, call).await?;
        let now = self.clock.now();
        let answer = judge(&answered, wish.method, false, now)
            .map_err(|error| if answered.done { afterwards(error, wish) } else { error })?;
        if let Some(asked) = asked.filter(|_| answered.redirects == 0)
            && let Some(life) = freshness::lifetime(&answered.headers, host.ttl, now)
        {
            self.cache().put(asked, answered, now + life);
        }
        Ok(answer)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and asks on where the answer leads elsewhere.
    async fn follow(&self, first: &Wish, call: &Call) -> Result<Answered, ToolError> {
        let mut wish = first.clone();
        for redirects in 0..=REDIRECTS {
            // What was posted was taken, and it is only looked at what came of it.
            let done = wish.method != first.method;
            let hop = self.hop(&wish, first.method, redirects, call).await;
            match hop.map_err(|error| if done { afterwards(error, first) } else { error })? {
                Hop::Answered(answered) => return Ok(Answered { done, ..answered }),
                Hop::Redirected(next) => wish = next,
            }
        }
        let message = format!("{} was redirected more than {REDIRECTS} times", named(first));
        Err(ToolError::failed(message))
    }

    /// One request, the last of so many redirects.
    async fn hop(
        &self,
        wish: &Wish,
        asked: Method,
        redirects: u32,
        call: &Call,
    ) -> Result<Hop, ToolError> {
        let response = self.send(wish, asked, call).await?;
        let status = response.status().as_u16();
        let location = response.headers().get(LOCATION).map(HeaderValue::as_bytes);
        match location.map(String::from_utf8_lossy) {
            Some(location) if matches!(status, 301..=303 | 307 | 308) => {
                wish.redirected(status, &location).map(Hop::Redirected)
            }
            Some(_) | None => receive(response, wish, redirects).await.map(Hop::Answered),
        }
    }

    /// Sends one request to where it may go. `asked` is the method of the first of its redirects.
    async fn send(&self, wish: &Wish, asked: Method, call: &Call) -> Result<Response, ToolError> {
        let host = wish.host(&self.config)?;
        let mut headers = wish.all_headers(host)?;
        if wish.method == Method::Post {
            // For a host that does things once.
            let key = HeaderValue::from_str(&call.key).map_err(ToolError::invalid)?;
            headers.entry(HeaderName::from_static("idempotency-key")).or_insert(key);
        }
        let method = match wish.method {
            Method::Get => reqwest::Method::GET,
            Method::Head => reqwest::Method::HEAD,
            Method::Post => reqwest::Method::POST,
        };
        let mut request = self.client.request(method, wish.url.clone()).headers(headers);
        if let Some(body) = &wish.body {
            request = request.body(body.clone());
        }
        request.send().await.map_err(|error| unanswered(error, wish, asked))
    }
}

/// What comes of one request.
enum Hop {
    Answered(Answered),
    Redirected(Wish),
}

impl Tool for Http {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(self.run(call))
    }

    fn reconcile<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Trace> {
        let trace = match Wish::read(&call.arguments.0, &self.config) {
            Ok(wish) if wish.method == Method::Post => {
                Trace::Unknown(format!("{} may have been done", named(&wish)))
            }
            // What is refused was not done.
            Ok(_) | Err(_) => Trace::NotDone,
        };
        Box::pin(async { trace })
    }
}

/// Reads an answer to its end, if it is not too long.
async fn receive(
    mut response: Response,
    wish: &Wish,
    redirects: u32,
) -> Result<Answered, ToolError> {
    let status = response.status();
    let headers: HeaderMap = response.headers().clone();
    let limit = if status.is_success() { wish.max_bytes } else { REFUSAL };
    let too_long = || {
        let message = format!(
            "the answer of {} has more than {limit} bytes; ask for less of it",
            named(wish)
        );
        ToolError::failed(message)
    };
    let announced = response.content_length().is_some_and(|length| length > limit as u64);
    if announced && status.is_success() && wish.method != Method::Head {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| unanswered(error, wish, wish.method))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            if status.is_success() {
                return Err(too_long());
            }
            bytes.truncate(limit);
            break;
        }
    }
    let length = bytes.len();
    let body = if status.is_success() {
        answer::text(bytes, &headers)
            .map_err(|why| ToolError::failed(format!("{}: {why}", named(wish))))?
    } else {
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let url = wish.url.to_string();
    let status = status.as_u16();
    Ok(Answered { status, headers, body, bytes: length, url, redirects, done: false })
}

/// The error of a request that had no whole answer.
fn unanswered(error: reqwest::Error, wish: &Wish, asked: Method) -> ToolError {
    let error = error.without_url();
    let mut causes = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            let message = format!("{} was not asked: {refused}", named(wish));
            return ToolError::new(ErrorKind::Denied, message);
        }
        causes.push(cause.to_string());
        source = cause.source();
    }
    let kind = if error.is_connect() {
        ErrorKind::Unavailable
    } else if asked == Method::Post {
        ErrorKind::Unknown
    } else if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::Unavailable
    };
    ToolError::new(kind, format!("{} had no answer: {}", named(wish), causes.join(": ")))
}

/// The error of a request that follows one that was taken: none to do that again for.
fn afterwards(error: ToolError, first: &Wish) -> ToolError {
    let message =
        format!("{} was taken, but what came of it is not known: {}", named(first), error.message);
    ToolError::new(ErrorKind::Unknown, message)
}

/// What was asked, as it may stand in an error.
fn named(wish: &Wish) -> String {
    format!("{} {}", wish.method.as_str(), without_query(wish.url.as_str()))
}

fn spec(config: &Config) -> ToolSpec {
    let offered: Vec<Method> = Method::ALL
        .into_iter()
        .filter(|method| config.hosts.iter().any(|host| host.methods.contains(method)))
        .collect();
    let methods: Vec<&str> = offered.iter().map(|method| method.as_str()).collect();
    let hosts: Vec<&str> = config.hosts.iter().map(|host| host.name.as_str()).collect();
    let optional = Parameter::optional;
    let body = "What is sent with POST: text as it is, anything else as JSON.";
    let most = "A longer body of the answer is refused, in bytes.";
    let mut spec = ToolSpec::new(NAME, &format!("Asks a host over HTTP: {}.", hosts.join(", ")))
        .parameter(Parameter::required("url", ValueType::String, "What is asked for."))
        .parameter(optional("method", ValueType::String, "GET if it is not given.").of(&methods))
        .parameter(optional(
            "headers",
            ValueType::Object,
            "Headers of the request, as text by name.",
        ))
        .parameter(optional("body", ValueType::Any, body))
        .parameter(Parameter {
            minimum: Some(1.0),
            ..optional("max_bytes", ValueType::Integer, most)
        });
    spec.timeout = config.timeout;
    spec.target = Target::Host("url");
    spec.changes_world = offered.contains(&Method::Post);
    spec
}

#[cfg(test)]
mod tests;
