//! Everything that can be configured: one struct, one set of defaults, one documented file.

mod backup;
mod environment;
mod error;
mod knowledge;
mod load;
mod runtime;
mod secret_files;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use perennial_healing::{alert, analyzer, docker, monitor, responder};
use perennial_query::config as query;
use perennial_secret::Secret;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::documents::{self, Kind};

pub use backup::Backup;
pub use environment::PREFIX;
pub(crate) use environment::variable;
pub use error::{ConfigError, Problem};
pub use knowledge::Knowledge;
pub use load::Sources;
pub use runtime::Runtime;

/// The node's configuration; a section for each of its parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The HTTP interface.
    pub http: Http,
    /// The log.
    pub log: Log,
    /// What is kept on the disk.
    pub store: Store,
    /// Copies of it.
    pub backup: Backup,
    /// How actors are run.
    pub runtime: Runtime,
    /// The Docker engine.
    pub docker: docker::Config,
    /// What sees.
    pub monitor: monitor::Config,
    /// What judges.
    pub analyzer: analyzer::Config,
    /// What acts.
    pub responder: responder::Config,
    /// What tells people.
    pub alert: alert::Config,
    /// What answers questions.
    pub query: query::Config,
    /// Documents.
    pub knowledge: Knowledge,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port to listen on. Any but a loopback address needs `token`.
    pub listen: SocketAddr,
    /// The bearer token that every `/v1` request must carry; empty asks for none.
    pub token: Secret,
    /// A file that holds `token`.
    pub token_file: PathBuf,
    /// Lets `/metrics` be read without the token.
    pub open_metrics: bool,
    /// Bytes a request body may have.
    pub max_body_bytes: usize,
    /// Connections open at once; further ones wait.
    pub max_connections: usize,
    /// A request that has not been answered after this is answered 503.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// A connection that has not sent a whole request head after this is closed.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            token: Secret::default(),
            token_file: PathBuf::new(),
            open_metrics: false,
            max_body_bytes: 64 * 1024,
            max_connections: 256,
            request_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(5),
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least important level that is written, or a filter such as `info,perennial_store=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto }
    }
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `text` on a terminal, `json` otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The directory that holds everything the node must not forget. Created if there is none.
    pub data_dir: PathBuf,
    /// Bytes of rows kept in memory, about.
    pub cache_bytes: u64,
    /// Bytes of disk set aside for the work that frees space once the disk is full.
    pub reserve_bytes: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            cache_bytes: 8 * 1024 * 1024,
            reserve_bytes: perennial_store::DEFAULT_RESERVE_BYTES,
        }
    }
}

/// A key and what is wrong with its value.
type Invalid = (&'static str, String);

impl Config {
    /// What makes the node refuse to start.
    fn invalid(&self) -> Vec<Invalid> {
        let mut invalid = self.http.invalid();
        invalid.extend(self.log.invalid());
        invalid.extend(self.store.invalid());
        invalid.extend(self.backup.invalid());
        invalid.extend(self.runtime.invalid());
        invalid.extend(self.query.invalid());
        invalid.extend(self.unknown_pipelines());
        invalid.extend(self.knowledge.invalid());
        invalid.extend(self.docker.refusal().map(|why| ("docker.host", why)));
        invalid.extend(self.alert.refusals());
        invalid
    }

    /// Schedules of pipelines that there are none of. What is wrong with a pipeline itself shows later.
    fn unknown_pipelines(&self) -> Vec<Invalid> {
        let scheduled = self.query.schedule.iter().filter(|one| !one.pipeline.is_empty());
        let unknown = scheduled.filter_map(|one| {
            let read = documents::read(Kind::Pipelines, &self.query.pipelines, &one.pipeline);
            Some(format!("`{}`: pipeline: {}", one.name, read.err()?))
        });
        unknown.map(|why| ("query.schedule", why)).collect()
    }

    /// The whole configuration as a file would hold it, secrets left out.
    ///
    /// # Errors
    /// It cannot be written as TOML, which is a defect.
    pub fn to_toml(&self) -> Result<String, String> {
        toml::to_string_pretty(self).map_err(|error| format!("not TOML: {error}"))
    }

    /// What is accepted but probably not meant: limits that can never trip, receivers that do not
    /// exist.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let weak = self.http.token.is_set() && self.http.token.expose().len() < 16;
        let own = weak.then(|| "http.token is shorter than 16 characters".to_owned());
        let of_sections = [
            ("backup", self.backup.check(&self.store.data_dir)),
            ("docker", self.docker.check()),
            ("monitor", self.monitor.check()),
            ("analyzer", self.analyzer.check()),
            ("responder", self.responder.check()),
            ("alert", self.alert.check()),
        ];
        let named = of_sections.into_iter().flat_map(|(section, warnings)| {
            warnings.into_iter().map(move |warning| in_section(section, warning))
        });
        own.into_iter().chain(named).collect()
    }
}

/// A warning that says which section it is about.
fn in_section(section: &str, warning: String) -> String {
    if warning.starts_with(section) { warning } else { format!("{section}: {warning}") }
}

impl Http {
    fn invalid(&self) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        // A file that is still named could not be read, which is told of by itself.
        let token = self.token.is_set() || !self.token_file.as_os_str().is_empty();
        if !self.listen.ip().is_loopback() && !token {
            let why = format!(
                "{} can be reached from other machines, so a token is needed: set \
                 PERENNIAL__HTTP__TOKEN or http.token_file, or listen on 127.0.0.1",
                self.listen
            );
            invalid.push(("http.listen", why));
        }
        if !self.token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            let why = "may hold visible ASCII characters only, as it is sent in a header";
            invalid.push(("http.token", why.to_owned()));
        }
        invalid.extend(zero("http.max_connections", self.max_connections as u64));
        invalid.extend(zero("http.max_body_bytes", self.max_body_bytes as u64));
        invalid.extend(zero("http.request_timeout", self.request_timeout.as_millis() as u64));
        invalid.extend(zero("http.header_timeout", self.header_timeout.as_millis() as u64));
        invalid
    }
}

fn zero(key: &'static str, value: u64) -> Option<Invalid> {
    (value == 0).then(|| (key, "must be more than 0".to_owned()))
}

impl Log {
    fn invalid(&self) -> Vec<Invalid> {
        let parsed = EnvFilter::try_new(&self.level);
        let why = |error| format!("`{}` is neither a level nor a filter: {error}", self.level);
        parsed.err().map(|error| ("log.level", why(error))).into_iter().collect()
    }
}

impl Store {
    fn invalid(&self) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        if self.data_dir.as_os_str().is_empty() {
            invalid.push(("store.data_dir", "must name a directory".to_owned()));
        }
        let least = perennial_store::DEFAULT_RESERVE_BYTES;
        if self.reserve_bytes < least {
            let why = format!(
                "{} bytes cannot hold what the store has to write on a full disk; set {least} or more",
                self.reserve_bytes
            );
            invalid.push(("store.reserve_bytes", why));
        }
        invalid
    }
}
