//! What a node's queries are bounded by.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::roles::Roles;
use crate::tools::{external, file, http, llm, shell, sql};
use crate::worker::Bounds;
use crate::{admission, conversation, orchestrator, schedule};

mod questions;

pub use questions::{AnswerBy, Changes, PlannedBy, Questions, WordedBy};

/// Requests that one API key may make in a minute, unless the configuration says otherwise.
pub const REQUESTS_PER_MINUTE: u32 = 1_000;

/// `[query]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory of the node's pipelines; empty for none.
    pub pipelines: PathBuf,
    /// The directory of the node's rules; empty for none.
    pub rules: PathBuf,
    /// The file that says what can be asked in words; empty for a small table about the tools there are.
    pub intents: PathBuf,
    /// Queries that run at a time.
    pub max_concurrent: usize,
    /// Queries that wait for a place, beyond the first one of each API key; more are turned away.
    pub queue: usize,
    /// The share of those places that one API key may hold.
    pub queue_share: f64,
    /// Tools of one query at a time.
    pub max_parallel_tools: u32,
    /// A query may take so long.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How long a result is given again to who asks the same, and will have it.
    #[serde(with = "humantime_serde")]
    pub cache_ttl: Duration,
    /// How long what is known of a query is kept after its end.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// Requests that one API key may make in a minute.
    pub requests_per_minute: u32,
    /// What each role may. Those given are added to [`Roles::usual`]; one of the same name replaces it.
    #[serde(deserialize_with = "Roles::over_usual")]
    pub roles: Roles,
    /// What groups of tools bear, where it is not the default.
    pub groups: BTreeMap<String, Bounds>,
    /// What is done at which times.
    pub schedule: Vec<schedule::Written>,
    /// Questions that follow each other.
    pub conversations: conversation::Config,
    /// Commands that may be run.
    pub shell: shell::Config,
    /// Folders whose files may be read and written.
    pub file: file::Config,
    /// Hosts that may be asked over HTTP.
    pub http: http::Config,
    /// Tools that processes outside the node offer.
    pub workers: external::Config,
    /// Language models that may be asked.
    pub llm: llm::Config,
    /// What they do for questions.
    pub questions: Questions,
    /// Files whose rows may be asked for.
    pub sql: sql::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pipelines: PathBuf::new(),
            rules: PathBuf::new(),
            intents: PathBuf::new(),
            max_concurrent: admission::MAX_CONCURRENT,
            queue: admission::QUEUE,
            queue_share: admission::QUEUE_SHARE,
            max_parallel_tools: orchestrator::MAX_PARALLEL_TOOLS,
            timeout: orchestrator::DEADLINE,
            cache_ttl: admission::CACHE_TTL,
            retention: orchestrator::RETENTION,
            requests_per_minute: REQUESTS_PER_MINUTE,
            roles: Roles::usual(),
            groups: BTreeMap::new(),
            schedule: Vec::new(),
            conversations: conversation::Config::default(),
            shell: shell::Config::default(),
            file: file::Config::default(),
            http: http::Config::default(),
            workers: external::Config::default(),
            llm: llm::Config::default(),
            questions: Questions::default(),
            sql: sql::Config::default(),
        }
    }
}

impl Config {
    /// What makes a node refuse to start: the option, and what is wrong with it.
    #[must_use]
    pub fn invalid(&self) -> Vec<(&'static str, String)> {
        let counts = [
            ("query.max_concurrent", self.max_concurrent),
            ("query.queue", self.queue),
            ("query.max_parallel_tools", self.max_parallel_tools as usize),
            ("query.timeout", self.timeout.as_millis() as usize),
            ("query.requests_per_minute", self.requests_per_minute as usize),
        ];
        let zero = counts.into_iter().filter(|(_, count)| *count == 0);
        let mut invalid: Vec<(&'static str, String)> =
            zero.map(|(option, _)| (option, "must be more than 0".to_owned())).collect();
        if !(self.queue_share > 0.0 && self.queue_share <= 1.0) {
            let why = format!("must be more than 0 and at most 1, not {}", self.queue_share);
            invalid.push(("query.queue_share", why));
        }
        for (name, bounds) in &self.groups {
            if bounds.concurrency == 0 {
                let why =
                    format!("`{name}` could never call anything: concurrency must be more than 0");
                invalid.push(("query.groups", why));
            }
        }
        let least = self.cache_ttl.max(admission::NAMES_KEPT);
        if self.retention < least {
            let why = format!(
                "must be at least {least:?}: results and names lead to queries for so long"
            );
            invalid.push(("query.retention", why));
        }
        let of_sections = [
            ("query.roles", self.roles.problems()),
            ("query.schedule", schedule::problems(&self.schedule, &self.roles)),
            ("query.conversations", self.conversations.problems()),
            ("query.shell", self.shell.problems()),
            ("query.file", self.file.problems()),
            ("query.http", self.http.problems()),
            ("query.workers", self.workers.problems()),
            ("query.llm", self.llm.problems()),
            ("query.questions", self.questions.problems(&self.llm)),
            ("query.sql", self.sql.problems(&self.roles)),
        ];
        for (option, problems) in of_sections {
            invalid.extend(problems.into_iter().map(|problem| (option, problem)));
        }
        invalid
    }
}
