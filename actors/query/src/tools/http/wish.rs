//! What a caller wishes, checked before anything is looked up or sent. Pure.

use reqwest::Url;
use reqwest::header::{
    ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName,
    HeaderValue,
};
use serde_json::Value;

use super::cache::Asked;
use super::config::{Config, Host, Method};
use super::{address, answer};
use crate::plan::ErrorKind;
use crate::tool::ToolError;

/// Bytes that may be sent.
const BODY_LIMIT: usize = 1024 * 1024;

/// Headers that belong to the connection, which is not the caller's.
const OURS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Those of the caller's choice.
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
    /// No answer's body may be longer.
    pub(super) max_bytes: usize,
}

impl Wish {
    /// Reads the arguments of a call.
    ///
    /// # Errors
    /// Which argument is not what the tool takes.
    pub(super) fn read(arguments: &Value, config: &Config) -> Result<Self, ToolError> {
        let method = arguments["method"].as_str().unwrap_or("GET");
        let known = Method::ALL.into_iter().find(|known| known.as_str() == method);
        let method =
            known.ok_or_else(|| ToolError::invalid(format!("`method` cannot be `{method}`")))?;
        let text = arguments["url"].as_str().unwrap_or_default();
        let mut url = Url::parse(text).map_err(|error| {
            // Not shown: what cannot be taken apart may hold a password anywhere.
            ToolError::invalid(format!("`url` is none: {error}"))
        })?;
        url.set_fragment(None);
        let (headers, body) = (headers(&arguments["headers"])?, body(&arguments["body"], method)?);
        let mut wish = Self { method, url, headers, body: None, max_bytes: config.max_bytes };
        if let Some((body, content_type)) = body {
            wish.headers.entry(CONTENT_TYPE).or_insert(content_type);
            wish.body = Some(body);
        }
        if let Some(asked) = arguments["max_bytes"].as_u64() {
            wish.max_bytes = wish.max_bytes.min(usize::try_from(asked).unwrap_or(usize::MAX));
        }
        Ok(wish)
    }

    /// What of the configuration is about it.
    ///
    /// # Errors
    /// It may not be made.
    pub(super) fn host<'a>(&self, config: &'a Config) -> Result<&'a Host, ToolError> {
        let shown = answer::without_query(self.url.as_str());
        let denied = |why: String| {
            let message = format!("{} {shown} was not asked: {why}", self.method.as_str());
            ToolError::new(ErrorKind::Denied, message)
        };
        if !self.url.username().is_empty() || self.url.password().is_some() {
            // Not shown: it holds a password.
            let why = "`url` holds a user or password; use a header that the operator sets";
            return Err(ToolError::new(ErrorKind::Denied, why));
        }
        if self.url.cannot_be_a_base() {
            let why = format!("`url` has the scheme {} and no host", self.url.scheme());
            return Err(ToolError::new(ErrorKind::Denied, why));
        }
        let mut why = None;
        for host in config.hosts.iter().filter(|host| host.is_meant(&self.url)) {
            match host.refuses(&self.url, self.method) {
                None => {
                    self.check_address(config).map_err(denied)?;
                    self.check_headers(host)?;
                    return Ok(host);
                }
                Some(refused) => why = Some(refused),
            }
        }
        let unlisted = || {
            let known: Vec<&str> = config.hosts.iter().map(|host| host.name.as_str()).collect();
            format!("its host is not allowed; allowed are {}", known.join(", "))
        };
        Err(denied(why.unwrap_or_else(unlisted)))
    }

    /// A name's addresses are checked when it is looked up; an address is never looked up.
    fn check_address(&self, config: &Config) -> Result<(), String> {
        let address = self.url.host_str().and_then(address::of_host);
        match address {
            Some(address) if !address::may_be_reached(address, &config.allow_private) => {
                Err(format!("{address} is no public address and in no allowed network"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_headers(&self, host: &Host) -> Result<(), ToolError> {
        let set = host.headers.keys().find(|name| self.headers.contains_key(name.as_str()));
        set.map_or(Ok(()), |name| {
            let message = format!("header `{name}` is set by the operator for {}", host.name);
            Err(ToolError::new(ErrorKind::Denied, message))
        })
    }

    /// All headers of the request, with those of the operator, which never show.
    pub(super) fn all_headers(&self, host: &Host) -> Result<HeaderMap, ToolError> {
        let mut headers = self.headers.clone();
        for (name, value) in &host.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(ToolError::invalid)?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(ToolError::invalid)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// What its answer can be kept under: nothing if it is not for everybody.
    pub(super) fn asked(&self, all_headers: &HeaderMap) -> Option<Asked> {
        let personal = [AUTHORIZATION, COOKIE].iter().any(|name| all_headers.contains_key(name));
        if self.method != Method::Get || personal {
            return None;
        }
        let mut headers: Vec<(String, String)> = self
            .headers
            .iter()
            .map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        headers.sort();
        Some((self.url.to_string(), headers))
    }

    /// The request that an answer with `status` and this `Location` asks for (RFC 9110, section 15.4).
    pub(super) fn redirected(&self, status: u16, location: &str) -> Result<Self, ToolError> {
        let mut url = self.url.join(location).map_err(|error| {
            let from = answer::without_query(self.url.as_str());
            ToolError::failed(format!("{from} redirects to what is no address: {error}"))
        })?;
        url.set_fragment(None);
        let mut next = self.clone();
        if self.method == Method::Post && matches!(status, 301..=303) {
            next.method = Method::Get;
            next.body = None;
            next.headers.remove(CONTENT_TYPE);
        }
        if url.origin() != self.url.origin() {
            // What was said to one host is not for another.
            let kept = [ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE];
            let headers = next.headers.iter().filter(|(name, _)| kept.contains(name));
            next.headers = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
        }
        next.url = url;
        Ok(next)
    }
}

fn headers(value: &Value) -> Result<HeaderMap, ToolError> {
    let mut headers = HeaderMap::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let text = value.as_str();
        let value = text.and_then(|text| HeaderValue::from_str(text).ok());
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(value);
        let Some((parsed, value)) = parsed else {
            return Err(ToolError::invalid(format!("header `{name}` cannot be sent as it is")));
        };
        if OURS.contains(&parsed.as_str()) {
            return Err(ToolError::invalid(format!("header `{name}` cannot be chosen")));
        }
        headers.insert(parsed, value);
    }
    Ok(headers)
}

/// The body and its type: text as it is, anything else as JSON.
fn body(value: &Value, method: Method) -> Result<Option<(Vec<u8>, HeaderValue)>, ToolError> {
    let (text, content_type) = match value {
        Value::Null => return Ok(None),
        Value::String(text) => (text.clone(), "text/plain; charset=utf-8"),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            (value.to_string(), "application/json")
        }
    };
    if method != Method::Post {
        return Err(ToolError::invalid(format!("`body` means nothing to {}", method.as_str())));
    }
    if text.len() > BODY_LIMIT {
        let length = text.len();
        return Err(ToolError::invalid(format!(
            "`body` has {length} bytes; at most {BODY_LIMIT} are sent"
        )));
    }
    Ok(Some((text.into_bytes(), HeaderValue::from_static(content_type))))
}
