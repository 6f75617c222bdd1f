//! Asking language models: those that the operator lists, one in place of the other, within a budget.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use perennial_runtime::{Clock, instant};
use perennial_secret::Secret;
use reqwest::Client;
use tokio::time::Instant;

use crate::plan::ValueType;
use crate::tool::{Call, Parameter, Target, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox};
use crate::tools::ConfigError;

mod asking;
mod client;
mod config;
mod events;
mod health;
mod ledger;
mod pace;
mod protocol;
mod setback;
mod wish;

pub use config::{Budget, Config, Model, Provider};
pub use health::ModelState;

use asking::{ATTEMPTS, Asking};
use health::Health;
use ledger::Ledger;
use pace::Pace;
use setback::Setback;
use wish::Wish;

/// The tool's name.
pub const NAME: &str = "llm";

/// Adds the tool, if `config` lists a model. `clock` says which day it is, and `environment` tells the
/// variables of the node.
///
/// # Errors
/// The configuration has problems, or the environment does not hold a key.
pub fn add(
    toolbox: Toolbox,
    config: &Config,
    clock: Arc<dyn Clock>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Toolbox, ConfigError> {
    if config.models.is_empty() {
        return ConfigError::unless_none(config.problems()).map(|()| toolbox);
    }
    Ok(toolbox.with(Llm::new(config, clock, environment)?))
}

/// The tool `llm`: `prompt` or `messages`, `system`, `untrusted`, `schema`, `mode`, `model`, `max_tokens` and
/// `temperature` to `text`, `json`, `model`, `tokens` and `cost`. Clones are the same tool.
#[derive(Clone, Debug)]
pub struct Llm(Arc<Models>);

/// What the clones share.
#[derive(Debug)]
struct Models {
    spec: ToolSpec,
    config: Config,
    client: Client,
    clock: Arc<dyn Clock>,
    health: Mutex<Health>,
    ledger: Mutex<Ledger>,
    /// The pace of each server, by its address.
    paces: Mutex<BTreeMap<String, Pace>>,
}

impl Llm {
    /// A tool that asks the models of `config`.
    ///
    /// # Errors
    /// The configuration has problems, or the environment does not hold a key.
    pub fn new(
        config: &Config,
        clock: Arc<dyn Clock>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        ConfigError::unless_none(config.problems())?;
        let config = with_keys(config, environment)?;
        // Once more, for what the environment holds.
        ConfigError::unless_none(config.problems())?;
        let mut rates: BTreeMap<String, f64> = BTreeMap::new();
        for model in &config.models {
            let rate = rates.entry(model.address().to_owned()).or_insert(f64::INFINITY);
            *rate = rate.min(model.requests_per_second);
        }
        let paces = rates.into_iter().map(|(server, rate)| (server, Pace::new(rate))).collect();
        Ok(Self(Arc::new(Models {
            spec: spec(&config),
            config,
            client: client::client()?,
            clock,
            health: Mutex::default(),
            ledger: Mutex::default(),
            paces: Mutex::new(paces),
        })))
    }

    /// What is known of each model, in the order of the configuration.
    #[must_use]
    pub fn states(&self) -> Vec<ModelState> {
        self.0.config.models.iter().map(|model| self.0.state(&model.name)).collect()
    }

    /// Looks at every model's server now, by asking for its list of models, which costs nothing.
    pub async fn check(&self) -> Vec<ModelState> {
        self.0.look(self.0.config.models.iter().collect()).await;
        self.states()
    }
}

impl Tool for Llm {
    fn spec(&self) -> &ToolSpec {
        &self.0.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(async {
            let wish = Wish::read(call, &self.0.config)?;
            Asking::new(&self.0, call, wish).answer().await
        })
    }
}

impl Models {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, name: &str) -> ModelState {
        self.health().of(name)
    }

    /// The models of these names in the order in which they are asked. Those that refused a while ago are
    /// looked at before.
    async fn in_order(&self, names: &[String]) -> Vec<&Model> {
        let due = self.health().due(names, self.config.health_every, self.clock.now());
        self.look(self.of_names(&due)).await;
        let sorted = self.health().sorted(names);
        self.of_names(&sorted)
    }

    fn of_names(&self, names: &[String]) -> Vec<&Model> {
        let of_name = |name: &String| self.config.models.iter().find(|model| model.name == *name);
        names.iter().filter_map(of_name).collect()
    }

    async fn look(&self, models: Vec<&Model>) {
        let looks = models.iter().map(|model| client::look(&self.client, model));
        for (model, result) in models.iter().zip(join_all(looks).await) {
            self.health().note(&model.name, result, self.clock.now());
        }
    }

    /// Notes what a request tells about `model`. That a server is busy or out of order for the moment does
    /// not tell that it refuses.
    fn note(&self, model: &Model, setback: Option<&Setback>) {
        let result = match setback {
            None => Ok(()),
            Some(setback) if setback.refused => Err(setback.message.clone()),
            Some(_) => return,
        };
        self.health().note(&model.name, result, self.clock.now());
    }

    /// How long to wait before `model` is asked.
    ///
    /// # Errors
    /// How long it would have been, as that is after `until`.
    fn place(&self, model: &Model, until: Instant) -> Result<Duration, Duration> {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = paces.get_mut(model.address());
        pace.map_or(Ok(Duration::ZERO), |pace| pace.take(instant(), until))
    }
}

/// The configuration with the keys that the environment holds.
fn with_keys(
    config: &Config,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let mut config = config.clone();
    let mut problems = Vec::new();
    for (at, model) in config.models.iter_mut().enumerate() {
        if model.key_env.is_empty() {
            continue;
        }
        let variable = std::mem::take(&mut model.key_env);
        match environment(&variable).filter(|key| !key.trim().is_empty()) {
            Some(key) => model.key = Secret::new(key.trim()),
            None => problems.push(format!("models[{at}].key_env: {variable} is not set or empty")),
        }
    }
    ConfigError::unless_none(problems).map(|()| config)
}

fn spec(config: &Config) -> ToolSpec {
    let models: Vec<&str> = config.models.iter().map(|model| model.name.as_str()).collect();
    let modes: Vec<&str> = config.modes.keys().map(String::as_str).collect();
    let text = |name, what| Parameter::optional(name, ValueType::String, what);
    let least = |parameter| Parameter { minimum: Some(1.0), ..parameter };
    let messages = "A conversation instead of `prompt`: a list of {role, content}, in which the role is \
                    system, user or assistant.";
    let untrusted = "Data that may hold anything, such as what was found or written by others: text, or a \
                     list. The model is told that it is no instruction.";
    let schema = "A JSON Schema that the answer must fit; it is then in `json` as well.";
    let model = "Which model. Without `mode` no other one stands in for it.";
    let temperature = "0 to 2. Anthropic's models take at most 1, and get that.";
    let mut spec = ToolSpec::new(NAME, "Has a language model write a text or fill in a form.")
        .parameter(text("prompt", "What the model is asked."))
        .parameter(Parameter::optional("messages", ValueType::Array, messages))
        .parameter(text("system", "What the model is told before all else."))
        .parameter(Parameter::optional("untrusted", ValueType::Any, untrusted))
        .parameter(Parameter::optional("schema", ValueType::Object, schema))
        .parameter(text("model", model).of(&models))
        .parameter(least(Parameter::optional(
            "max_tokens",
            ValueType::Integer,
            "It writes at most so many tokens.",
        )))
        .parameter(
            Parameter::optional("temperature", ValueType::Number, temperature).between(0.0, 2.0),
        );
    if !modes.is_empty() {
        let mode = "What the answer is for, which decides on the models.";
        spec = spec.parameter(text("mode", mode).of(&modes));
    }
    // It changes nothing, but it costs.
    // Models stand in for each other: a call without a name fails where none of them answers.
    spec.target = Target::Named(&["model", "mode"]);
    spec.permission = Some(NAME.to_owned());
    let slowest = config.models.iter().map(|model| model.timeout).max().unwrap_or(spec.timeout);
    spec.timeout = slowest.saturating_mul(ATTEMPTS);
    spec
}
