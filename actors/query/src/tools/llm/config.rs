//! Which models may be asked, in which order, and what they may cost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use perennial_secret::Secret;
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};

/// The models that queries may ask. Nothing unless one is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The models, in the order in which they stand in for each other where no mode says otherwise.
    pub models: Vec<Model>,
    /// Names of models by purpose: the first one is asked, and the others stand in for it in this order.
    pub modes: BTreeMap<String, Vec<String>>,
    /// The mode of calls that name neither a mode nor a model; empty is all models in their order.
    pub default_mode: String,
    /// What the models may cost.
    pub budget: Budget,
    /// A model that refused a request comes last until it is looked at again after this long.
    #[serde(with = "humantime_serde")]
    pub health_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            modes: BTreeMap::new(),
            default_mode: String::new(),
            budget: Budget::default(),
            health_every: Duration::from_secs(300),
        }
    }
}

/// What the models of this node may cost. Kept in memory: a node that starts again begins at nothing. Calls
/// under way when a bound is reached are not broken off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Tokens of one query, read and written; 0 is no bound.
    pub tokens_per_query: u64,
    /// Cost of one day, by UTC, in the currency of the models' prices; 0 is no bound.
    pub cost_per_day: f64,
}

/// A model that may be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// What calls and modes name it by.
    pub name: String,
    /// The protocol of its server.
    pub provider: Provider,
    /// The server's address without `/chat/completions` or `/messages`, such as `http://127.0.0.1:8080/v1`;
    /// empty is the provider's own.
    pub base_url: String,
    /// What the server calls it.
    pub model: String,
    /// The key; it never shows. Empty sends none.
    pub key: Secret,
    /// A file that holds `key`.
    pub key_file: PathBuf,
    /// The variable of the node's environment that holds `key`.
    pub key_env: String,
    /// It writes at most so many tokens, unless a call asks for fewer.
    pub max_tokens: u32,
    /// 0 to 2. Not sent if neither this nor the call sets it, for not every model takes one.
    pub temperature: Option<f64>,
    /// One request may take so long.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Whether its answer is read as it is written, so that an error can tell what had come by then.
    pub stream: bool,
    /// Requests to its server; the least of those that models of one server set counts for all of them.
    pub requests_per_second: f64,
    /// The price of a million tokens that it reads.
    pub cost_per_million_input: f64,
    /// The price of a million tokens that it writes.
    pub cost_per_million_output: f64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            name: String::new(),
            provider: Provider::default(),
            base_url: String::new(),
            model: String::new(),
            key: Secret::default(),
            key_file: PathBuf::new(),
            key_env: String::new(),
            max_tokens: 1024,
            temperature: None,
            timeout: Duration::from_secs(30),
            stream: false,
            requests_per_second: 5.0,
            cost_per_million_input: 0.0,
            cost_per_million_output: 0.0,
        }
    }
}

/// A protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Chat completions, as OpenAI defined them and many servers speak them.
    #[default]
    OpenAi,
    /// Messages, as Anthropic defined them.
    Anthropic,
}

impl Provider {
    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }

    /// Where the provider's own models are.
    const fn address(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com/v1",
        }
    }
}

impl Config {
    /// What is wrong with it, each sentence beginning with the key it is about.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        for (at, model) in self.models.iter().enumerate() {
            problems.extend(model.problems().into_iter().map(|why| format!("models[{at}].{why}")));
            if !names.insert(model.name.as_str()) {
                problems.push(format!("models[{at}].name: there are two models `{}`", model.name));
            }
        }
        for (mode, models) in &self.modes {
            if models.is_empty() {
                problems.push(format!("modes.{mode} must name a model"));
            }
            let unknown = models.iter().filter(|model| !names.contains(model.as_str()));
            problems.extend(unknown.map(|model| format!("modes.{mode}: no model is `{model}`")));
        }
        if !self.default_mode.is_empty() && !self.modes.contains_key(&self.default_mode) {
            problems.push(format!("default_mode: no mode is `{}`", self.default_mode));
        }
        if self.health_every.is_zero() {
            problems.push("health_every must be longer than nothing".to_owned());
        }
        problems.extend(self.budget_problem());
        problems
    }

    fn budget_problem(&self) -> Option<String> {
        let bound = self.budget.cost_per_day;
        if !is_amount(bound) {
            return Some("budget.cost_per_day must be 0 or more".to_owned());
        }
        let free =
            |model: &Model| model.cost_per_million_input + model.cost_per_million_output <= 0.0;
        let idle = bound > 0.0 && !self.models.is_empty() && self.models.iter().all(free);
        idle.then(|| {
            "budget.cost_per_day can never be spent; set what a model's tokens cost".to_owned()
        })
    }
}

impl Model {
    /// The server's address, without a slash at its end.
    pub(super) fn address(&self) -> &str {
        let set = self.base_url.trim_end_matches('/');
        if set.is_empty() { self.provider.address() } else { set }
    }

    /// What so many tokens cost.
    pub(super) fn cost(&self, input: u64, output: u64) -> f64 {
        let read = input as f64 * self.cost_per_million_input;
        let written = output as f64 * self.cost_per_million_output;
        (read + written) / 1_000_000.0
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (key, value) in [("name", &self.name), ("model", &self.model)] {
            if value.is_empty() {
                problems.push(format!("{key} must be set"));
            }
        }
        problems.extend(self.address_problem().map(|why| format!("base_url {why}")));
        let keys = [
            !self.key.expose().is_empty(),
            !self.key_file.as_os_str().is_empty(),
            !self.key_env.is_empty(),
        ];
        if keys.into_iter().filter(|set| *set).count() > 1 {
            problems.push("key, key_file and key_env: only one of them may be set".to_owned());
        }
        if HeaderValue::from_str(self.key.expose()).is_err() {
            problems.push("key has a value that no header can have".to_owned());
        }
        if self.max_tokens == 0 {
            problems.push("max_tokens must be more than 0".to_owned());
        }
        if self.temperature.is_some_and(|degree| !(0.0..=2.0).contains(&degree)) {
            problems.push("temperature must be from 0 to 2".to_owned());
        }
        if self.timeout.is_zero() {
            problems.push("timeout must be longer than nothing".to_owned());
        }
        if !(0.001..=1_000_000.0).contains(&self.requests_per_second) {
            problems.push("requests_per_second must be from 0.001 to 1000000".to_owned());
        }
        let prices = [
            ("cost_per_million_input", self.cost_per_million_input),
            ("cost_per_million_output", self.cost_per_million_output),
        ];
        let wrong = prices.into_iter().filter(|(_, price)| !is_amount(*price));
        problems.extend(wrong.map(|(key, _)| format!("{key} must be 0 or more")));
        problems
    }

    /// Why nothing can be at its address. Does not repeat it, for it may hold a password.
    fn address_problem(&self) -> Option<&'static str> {
        let Ok(url) = Url::parse(self.address()) else { return Some("is no URL") };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Some("must begin with http:// or https:// and a host");
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Some("may hold neither a user nor a query; a secret belongs in key");
        }
        None
    }
}

fn is_amount(number: f64) -> bool {
    number.is_finite() && number >= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fast() -> Model {
        Model { name: "fast".to_owned(), model: "m-1".to_owned(), ..Model::default() }
    }

    fn problems(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config { models: vec![fast()], ..Config::default() };
        change(&mut config);
        config.problems()
    }

    #[test]
    fn a_model_needs_only_its_names() {
        assert_eq!(problems(|_| {}), [""; 0]);
        assert_eq!(Config::default().problems(), [""; 0]);
    }

    #[test]
    fn every_mode_names_models_that_there_are() {
        let told = problems(|config| {
            config.modes.insert("a".to_owned(), vec!["fast".to_owned(), "slow".to_owned()]);
            config.modes.insert("b".to_owned(), Vec::new());
            config.default_mode = "c".to_owned();
            config.models.push(fast());
        });
        let expected = [
            "models[1].name: there are two models `fast`",
            "modes.a: no model is `slow`",
            "modes.b must name a model",
            "default_mode: no mode is `c`",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_no_model_can_have_is_refused() {
        let told = problems(|config| {
            config.models[0].model.clear();
            config.models[0].max_tokens = 0;
            config.models[0].temperature = Some(2.1);
            config.models[0].timeout = Duration::ZERO;
            config.models[0].requests_per_second = 0.0;
            config.models[0].cost_per_million_input = -1.0;
            config.budget.cost_per_day = f64::NAN;
        });
        let keys: Vec<&str> = told.iter().filter_map(|why| why.split(' ').next()).collect();
        let expected = [
            "models[0].model",
            "models[0].max_tokens",
            "models[0].temperature",
            "models[0].timeout",
            "models[0].requests_per_second",
            "models[0].cost_per_million_input",
            "budget.cost_per_day",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn an_address_is_of_http_and_holds_no_secret_which_is_not_repeated() {
        for address in ["nowhere", "ftp://a", "https://me:hunter2@a/v1", "https://a?key=hunter2"] {
            let told = problems(|config| config.models[0].base_url = address.to_owned()).join("");
            assert!(told.starts_with("models[0].base_url "), "{address}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_key_comes_from_one_place() {
        let told = problems(|config| {
            config.models[0].key = Secret::new("hunter2");
            config.models[0].key_env = "KEY".to_owned();
        });
        assert_eq!(told, ["models[0].key, key_file and key_env: only one of them may be set"]);
    }

    #[test]
    fn a_bound_on_the_cost_of_what_costs_nothing_is_refused() {
        let told = problems(|config| config.budget.cost_per_day = 1.0);
        assert!(told[0].starts_with("budget.cost_per_day can never be spent"), "{told:?}");
    }
}
