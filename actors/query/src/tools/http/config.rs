//! Which hosts may be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use perennial_secret::Secret;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::tool::TOOL_TIMEOUT;

/// What the HTTP tool may reach. Nothing unless a host is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The hosts that may be asked.
    pub hosts: Vec<Host>,
    /// Networks that may be reached although they are not public, such as `10.1.0.0/16`. No network is
    /// reached that way unless a host is listed whose name leads there.
    pub allow_private: Vec<IpNet>,
    /// One call, redirects included, may take so long.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// No answer's body may be longer, in bytes.
    pub max_bytes: usize,
    /// Answers that are kept for as long as they are fresh; 0 keeps none.
    pub cache_entries: usize,
    /// Bytes of bodies that are kept.
    pub cache_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            allow_private: Vec::new(),
            timeout: TOOL_TIMEOUT,
            max_bytes: 1024 * 1024,
            cache_entries: 256,
            cache_bytes: 8 * 1024 * 1024,
        }
    }
}

/// A host that may be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Its name or address; `*.example.com` is every name below `example.com`, without that itself.
    pub name: String,
    /// `https`, `http` or both.
    pub schemes: Vec<Scheme>,
    /// Its ports. Only the scheme's own if there are none.
    pub ports: Vec<u16>,
    /// `GET`, `HEAD` and `POST`: what may be asked.
    pub methods: Vec<Method>,
    /// Headers that every request to it carries, for keys and tokens. They never show, and are not sent
    /// along to where the host redirects.
    pub headers: BTreeMap<String, Secret>,
    /// Files that hold such headers' values.
    pub header_files: BTreeMap<String, PathBuf>,
    /// How long its answers are fresh that do not say so themselves; 0 is not at all.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            name: String::new(),
            schemes: vec![Scheme::Https],
            ports: Vec::new(),
            methods: vec![Method::Get, Method::Head],
            headers: BTreeMap::new(),
            header_files: BTreeMap::new(),
            ttl: Duration::ZERO,
        }
    }
}

/// How a host is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Over TLS, its certificate checked.
    Https,
    /// In clear.
    Http,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// What a host is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// To tell something.
    Get,
    /// To tell only about it.
    Head,
    /// To do something.
    Post,
}

impl Method {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Get, Self::Head, Self::Post];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
        }
    }
}

impl Config {
    /// What is wrong with it, each sentence beginning with the key it is about.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (at, host) in self.hosts.iter().enumerate() {
            problems.extend(host.problems().into_iter().map(|why| format!("hosts[{at}].{why}")));
        }
        if self.timeout.is_zero() {
            problems.push("timeout must be longer than nothing".to_owned());
        }
        if self.max_bytes == 0 {
            problems.push("max_bytes must be more than 0".to_owned());
        }
        problems
    }

    /// It with the headers that files hold.
    ///
    /// # Errors
    /// The key of the file that cannot be read or is empty.
    pub(super) fn with_files(mut self) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        for (at, host) in self.hosts.iter_mut().enumerate() {
            for (name, file) in std::mem::take(&mut host.header_files) {
                let key = format!("hosts[{at}].header_files.{name}: {}", file.display());
                match std::fs::read_to_string(&file) {
                    Ok(text) if text.trim().is_empty() => problems.push(format!("{key} is empty")),
                    Ok(text) => {
                        host.headers.insert(name, Secret::new(text.trim()));
                    }
                    Err(error) => problems.push(format!("{key} cannot be read: {error}")),
                }
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }
}

impl Host {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let bare = self.name.strip_prefix("*.").unwrap_or(&self.name);
        // The parser writes names in one way: small letters, punycode, addresses in full.
        let parsed = Url::parse(&format!("https://{bare}/")).ok();
        let written = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
        if bare.is_empty() || written != bare {
            let meant =
                if written.is_empty() { String::new() } else { format!("; write {written}") };
            problems.push(format!("name `{}` is no host's name{meant}", self.name));
        }
        if self.schemes.is_empty() {
            problems.push("schemes must hold https or http".to_owned());
        }
        if self.methods.is_empty() {
            problems.push("methods must hold GET, HEAD or POST".to_owned());
        }
        for (name, value) in &self.headers {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                problems.push(format!("headers.{name} is no header's name"));
            }
            if HeaderValue::from_str(value.expose()).is_err() {
                problems.push(format!("headers.{name} has a value that no header can have"));
            }
        }
        let small = |name: &String| name.to_ascii_lowercase();
        let set: BTreeSet<String> = self.headers.keys().map(small).collect();
        for name in self.header_files.keys().filter(|name| set.contains(&small(name))) {
            problems.push(format!("header_files.{name} is set in headers as well; remove one"));
        }
        problems
    }

    /// Whether this is about the host of `url`.
    pub(super) fn is_meant(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        match self.name.strip_prefix("*.") {
            // Not an address: `*.0.0.1` is no part of the network.
            Some(suffix) if !url.host_str().is_some_and(is_address) => host
                .strip_suffix(suffix)
                .is_some_and(|before| before.len() > 1 && before.ends_with('.')),
            Some(_) => false,
            None => host == self.name,
        }
    }

    /// Why `url` may not be asked with `method`, if it is this host's.
    pub(super) fn refuses(&self, url: &Url, method: Method) -> Option<String> {
        if !self.schemes.iter().any(|scheme| scheme.as_str() == url.scheme()) {
            return Some(format!("the scheme {} is not allowed there", url.scheme()));
        }
        let allowed = match url.port() {
            None => {
                self.ports.is_empty()
                    || self.ports.iter().any(|p| url.port_or_known_default() == Some(*p))
            }
            Some(port) => self.ports.contains(&port),
        };
        if !allowed {
            let port = url.port_or_known_default().unwrap_or_default();
            return Some(format!("the port {port} is not allowed there"));
        }
        let allowed = self.methods.contains(&method);
        (!allowed).then(|| format!("{} is not allowed there", method.as_str()))
    }
}

/// Whether a URL's host is an address rather than a name.
fn is_address(host: &str) -> bool {
    super::address::of_host(host).is_some()
}
