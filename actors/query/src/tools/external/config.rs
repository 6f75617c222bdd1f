//! Which tools processes outside the node offer.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::{StepId, ValueType};
use crate::tool::{Parameter, TOOL_TIMEOUT, ToolSpec};

/// How long a worker may say nothing about a job before another one gets it.
const LEASE: Duration = Duration::from_secs(30);

/// The pools of workers. None unless it is listed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The pools.
    pub pools: Vec<Pool>,
}

/// Workers that do the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pool {
    /// What its workers come under: a letter, then letters, digits and underscores. Its tools are one group.
    pub name: String,
    /// How long a worker may say nothing about a job before another one gets it.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// What they offer.
    pub tools: Vec<Offer>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { name: String::new(), lease: LEASE, tools: Vec::new() }
    }
}

/// A tool that workers offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Offer {
    /// What it is called by: a letter, then letters, digits and underscores.
    pub name: String,
    /// For people, and for a model that plans.
    pub description: String,
    /// What it takes.
    pub parameters: Vec<Taken>,
    /// What a role must be allowed to call it; empty if everybody may.
    pub permission: String,
    /// One call may take so long, its wait for a worker included.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Whether it changes anything. One that does not is given to another worker when one dies.
    pub changes_world: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            parameters: Vec::new(),
            permission: String::new(),
            timeout: TOOL_TIMEOUT,
            changes_world: false,
        }
    }
}

/// Something that a tool takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Its name.
    pub name: String,
    /// Its type.
    pub r#type: ValueType,
    /// For people, and for a model that plans.
    #[serde(default)]
    pub description: String,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
}

impl Offer {
    /// What is wrong with it, its name aside.
    fn problems(&self, key: &str) -> Vec<String> {
        let (mut problems, mut names) = (Vec::new(), BTreeSet::new());
        if self.timeout.is_zero() {
            problems.push(format!("{key}.timeout must be longer than nothing"));
        }
        for (nth, taken) in self.parameters.iter().enumerate() {
            let key = format!("{key}.parameters[{nth}].name");
            problems.extend(name_problem(&key, &taken.name, &mut names));
        }
        problems
    }

    /// How it is listed, as one of `pool`.
    pub(super) fn spec(&self, pool: &str) -> ToolSpec {
        let parameters = self.parameters.iter().map(|taken| Parameter {
            required: taken.required,
            ..Parameter::required(&taken.name, taken.r#type, &taken.description)
        });
        ToolSpec {
            parameters: parameters.collect(),
            group: pool.to_owned(),
            permission: Some(self.permission.clone()).filter(|name| !name.is_empty()),
            timeout: self.timeout,
            changes_world: self.changes_world,
            ..ToolSpec::new(&self.name, &self.description)
        }
    }
}

impl Config {
    /// What is wrong with it, each sentence beginning with the key it is about.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let (mut pools, mut tools) = (BTreeSet::new(), BTreeSet::new());
        for (at, pool) in self.pools.iter().enumerate() {
            let key = format!("pools[{at}]");
            problems.extend(name_problem(&format!("{key}.name"), &pool.name, &mut pools));
            if pool.lease < Duration::from_secs(1) {
                problems.push(format!("{key}.lease must be at least a second"));
            }
            if pool.tools.is_empty() {
                problems.push(format!("{key}.tools must name what the workers offer"));
            }
            for (nth, tool) in pool.tools.iter().enumerate() {
                let key = format!("{key}.tools[{nth}]");
                problems.extend(name_problem(&format!("{key}.name"), &tool.name, &mut tools));
                problems.extend(tool.problems(&key));
            }
        }
        problems
    }
}

fn name_problem<'a>(key: &str, name: &'a str, seen: &mut BTreeSet<&'a str>) -> Option<String> {
    if !StepId::is_valid(name) {
        return Some(format!("{key} `{name}` must be a letter, then letters, digits, underscores"));
    }
    (!seen.insert(name)).then(|| format!("{key} `{name}` is there twice"))
}
