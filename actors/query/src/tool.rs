//! What a tool is: its description, which is data, and the code that does it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::json::Json;
use crate::plan::{ErrorKind, Plan, ValueType};

mod target;

pub use target::Target;

/// One call of a tool may take so long, unless the tool says otherwise.
pub const TOOL_TIMEOUT: Duration = Duration::from_secs(15);

/// A tool, as it is listed and as its calls are checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Its name, of the form of a step's id.
    pub name: String,
    /// For people, and for a model that plans.
    pub description: String,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// The resource that it uses: tools of one group share their concurrency and queue.
    pub group: String,
    /// What a call rests on within it, as far as its breaker is concerned.
    pub target: Target,
    /// What a role must be allowed to call it; none if everybody may.
    pub permission: Option<String>,
    /// One call may take so long.
    pub timeout: Duration,
    /// Whether a call changes the world. Such a call is repeated after a crash only if the tool shows that it
    /// did not happen, and its result is never taken from a cache.
    pub changes_world: bool,
    /// Whether what it answers depends on who asks, beyond their role and teams. Such a result is given to nobody
    /// else from a cache.
    pub personal: bool,
    /// Stands for who may read what through it, where its permission does not say it all. What was answered under
    /// another one is given again to nobody.
    pub access: u64,
    /// Whether a call that takes too long, or ends what worked for it, tells nothing about the next one, for which
    /// that is made anew. Then no such call counts against what it rests on.
    pub isolated: bool,
}

impl ToolSpec {
    /// A tool that only reads, with everything else at its default and a group of its own.
    #[must_use]
    pub fn new(name: &str, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            parameters: Vec::new(),
            group: name.to_owned(),
            target: Target::Tool,
            permission: None,
            timeout: TOOL_TIMEOUT,
            changes_world: false,
            personal: false,
            access: 0,
            isolated: false,
        }
    }

    /// Adds a parameter.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// What it takes, as JSON Schema (draft 2020-12).
    #[must_use]
    pub fn schema(&self) -> Value {
        let properties: serde_json::Map<String, Value> = self
            .parameters
            .iter()
            .map(|parameter| (parameter.name.clone(), parameter.schema()))
            .collect();
        let required = self.parameters.iter().filter(|parameter| parameter.required);
        let required: Vec<&str> = required.map(|parameter| parameter.name.as_str()).collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    /// What is wrong with these arguments: the name of each offending one, and why. Strings that hold a
    /// template are passed over if `templates` may stand for values.
    #[must_use]
    pub fn problems(&self, arguments: &Value, templates: bool) -> Vec<(String, String)> {
        let Some(given) = arguments.as_object() else {
            return vec![(String::new(), "arguments must be an object".to_owned())];
        };
        let mut problems = Vec::new();
        for (name, value) in given {
            match self.parameters.iter().find(|parameter| parameter.name == *name) {
                Some(parameter) => problems
                    .extend(parameter.problem(value, templates).map(|why| (name.clone(), why))),
                None => problems.push((name.clone(), self.unknown(name))),
            }
        }
        let missing = self
            .parameters
            .iter()
            .filter(|parameter| parameter.required && !given.contains_key(&parameter.name));
        problems
            .extend(missing.map(|parameter| (parameter.name.clone(), "is required".to_owned())));
        problems
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> =
            self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        format!("`{}` has no parameter `{name}`; it takes {}", self.name, known.join(", "))
    }
}

/// Something that a tool takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// For people, and for a model that plans.
    pub description: String,
    /// Its type.
    pub value_type: ValueType,
    /// Whether it must be given.
    pub required: bool,
    /// The only values it may have, if they are few.
    pub choices: Vec<Value>,
    /// The least number.
    pub minimum: Option<f64>,
    /// The greatest number.
    pub maximum: Option<f64>,
}

impl Parameter {
    /// A parameter that must be given.
    #[must_use]
    pub fn required(name: &str, value_type: ValueType, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            value_type,
            required: true,
            choices: Vec::new(),
            minimum: None,
            maximum: None,
        }
    }

    /// A parameter that may be left out.
    #[must_use]
    pub fn optional(name: &str, value_type: ValueType, description: &str) -> Self {
        Self { required: false, ..Self::required(name, value_type, description) }
    }

    /// The same, of these values only.
    #[must_use]
    pub fn of(mut self, choices: &[&str]) -> Self {
        self.choices = choices.iter().map(|choice| Value::from(*choice)).collect();
        self
    }

    /// The same, from `minimum` to `maximum`.
    #[must_use]
    pub fn between(mut self, minimum: f64, maximum: f64) -> Self {
        (self.minimum, self.maximum) = (Some(minimum), Some(maximum));
        self
    }

    fn schema(&self) -> Value {
        let mut schema = serde_json::Map::new();
        schema.insert("description".to_owned(), Value::from(self.description.clone()));
        if self.value_type != ValueType::Any {
            schema.insert("type".to_owned(), Value::from(self.value_type.as_str()));
        }
        if !self.choices.is_empty() {
            schema.insert("enum".to_owned(), Value::from(self.choices.clone()));
        }
        let bounds = [("minimum", self.minimum), ("maximum", self.maximum)];
        for (name, bound) in bounds {
            bound.into_iter().for_each(|bound| {
                schema.insert(name.to_owned(), Value::from(bound));
            });
        }
        Value::Object(schema)
    }

    fn problem(&self, value: &Value, templates: bool) -> Option<String> {
        if templates && value.as_str().is_some_and(|text| text.contains("{{")) {
            return None;
        }
        if !self.value_type.admits(value) {
            return Some(format!("must be of type {}, not {value}", self.value_type.as_str()));
        }
        if !self.choices.is_empty() && !self.choices.contains(value) {
            return Some(format!("must be one of {}", Value::from(self.choices.clone())));
        }
        let number = value.as_f64()?;
        let low = self.minimum.filter(|least| number < *least);
        let high = self.maximum.filter(|most| number > *most);
        low.map(|least| format!("must be at least {least}"))
            .or_else(|| high.map(|most| format!("must be at most {most}")))
    }
}

impl ValueType {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::String,
        Self::Integer,
        Self::Number,
        Self::Boolean,
        Self::Array,
        Self::Object,
        Self::Any,
    ];

    /// The name in JSON Schema; `any` has none there.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
            Self::Any => "any",
        }
    }

    /// Whether `value` is of this type.
    #[must_use]
    pub fn admits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
            Self::Any => true,
        }
    }
}

/// Who asks, as it was found out at the edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// For people and the audit.
    pub name: String,
    /// What decides on permissions.
    pub role: String,
    /// Whose rows may be seen, sorted; [`EVERY_TEAM`] alone for everybody's.
    pub teams: Vec<String>,
    /// The number of the API key that it came with; none for the node's own token, and for what the node does
    /// by itself. Names may recur, numbers do not.
    pub key: Option<u64>,
}

/// What stands for all teams.
pub const EVERY_TEAM: &str = perennial_sql_protocol::EVERY_TEAM;

impl Identity {
    /// Whether it may see rows of `team`. Those of no team may be seen by everybody.
    #[must_use]
    pub fn sees(&self, team: Option<&str>) -> bool {
        team.is_none_or(|wanted| self.teams.iter().any(|team| team == wanted || team == EVERY_TEAM))
    }
}

/// One attempt at one call, as the tool sees it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which tool.
    pub tool: String,
    /// Complete, and of the types that the tool declares.
    pub arguments: Json,
    /// On whose behalf.
    pub identity: Identity,
    /// The same for every attempt at one step, for a world that does things once.
    pub key: String,
    /// The query and the step, for logs and the world.
    pub label: String,
    /// From 1.
    pub attempt: u32,
    /// When its step was begun: no attempt at it was made before.
    pub since: Timestamp,
    /// Nothing of it may go on after this.
    pub deadline: Timestamp,
    /// One attempt may take so long; whoever calls sees to it as well.
    pub timeout: Duration,
}

/// What a tool answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolAnswer {
    /// What later steps refer to.
    pub value: Json,
    /// What it rests on.
    pub citations: Vec<Citation>,
    /// What is not wrong but should be known.
    pub warnings: Vec<String>,
}

impl From<Value> for ToolAnswer {
    fn from(value: Value) -> Self {
        Self { value: Json(value), ..Self::default() }
    }
}

/// Something an answer rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Citation {
    /// Names it within the answer, such as `doc-12#3`.
    pub id: String,
    /// What it is, for people: a title, a file, a table.
    pub source: String,
    /// Where in it: a page, a line, a row; may be empty.
    pub place: String,
}

/// Why a tool has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolError {
    /// What kind of error.
    pub kind: ErrorKind,
    /// What was attempted, what went wrong and what to do.
    pub message: String,
    /// The wait that the world asked for.
    pub retry_after: Option<Duration>,
}

impl ToolError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), retry_after: None }
    }

    /// Arguments that the tool does not take.
    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// It was done as asked, and failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Failed, message)
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind.as_str(), self.message)
    }
}

/// What the world shows of a call that may have been made before a crash.
#[derive(Clone, Debug, PartialEq)]
pub enum Trace {
    /// It was made, and this came of it.
    Done(Result<ToolAnswer, ToolError>),
    /// It was not made, or may be made again without harm.
    NotDone,
    /// Nothing shows whether it was made.
    Unknown(String),
}

/// The code of a tool: the edge to whatever it reaches.
pub trait Tool: Send + Sync + 'static {
    /// How it is listed and checked.
    fn spec(&self) -> &ToolSpec;

    /// Makes one attempt. It is dropped at its timeout or when it is cancelled, and must then leave nothing
    /// behind that goes on.
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>>;

    /// Asked after a crash, before a call is made again. The default suits tools that only read, and is
    /// honest for those that do not.
    fn reconcile<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Trace> {
        let trace = if self.spec().changes_world {
            Trace::Unknown(format!("`{}` cannot tell whether it was done", self.spec().name))
        } else {
            Trace::NotDone
        };
        Box::pin(async { trace })
    }

    /// Which version of its data the tool answers from: another number whenever they have changed, also after a
    /// restart, and cheap to tell. Results of other versions are not given again from the cache. The default
    /// suits tools whose answers may be as old as the cache keeps them.
    fn data_version(&self) -> u64 {
        0
    }

    /// Whether [`Trace::NotDone`] of this call, where it has begun, means that it was not made. Not so where
    /// making it once more does no harm whether it was made or not. Asked when it is not to be made any more.
    fn tells_apart(&self, _call: &Call) -> bool {
        true
    }
}

/// The tools of a node, by name.
#[derive(Clone, Default)]
pub struct Toolbox {
    tools: BTreeMap<String, Arc<dyn Tool>>,
    /// Names that were given to more than one.
    twice: BTreeSet<String>,
}

impl fmt::Debug for Toolbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.tools.keys()).finish()
    }
}

impl Toolbox {
    /// Adds a tool; one of the same name is replaced.
    #[must_use]
    pub fn with(self, tool: impl Tool) -> Self {
        self.with_shared(Arc::new(tool))
    }

    /// Adds a tool that is held elsewhere too; one of the same name is replaced.
    #[must_use]
    pub fn with_shared(mut self, tool: Arc<dyn Tool>) -> Self {
        let name = tool.spec().name.clone();
        if self.tools.insert(name.clone(), tool).is_some() {
            self.twice.insert(name);
        }
        self
    }

    /// Names that were given to more than one tool, of which only the last one is there.
    pub fn twice(&self) -> impl Iterator<Item = &str> {
        self.twice.iter().map(String::as_str)
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.get(name)
    }

    /// Which version of the data a plan answers from: that of the data of all its tools together. 0 if none of
    /// them tells.
    #[must_use]
    pub fn data_version(&self, plan: &Plan) -> u64 {
        let names: BTreeSet<&str> = plan.tools().collect();
        let versions = names.iter().filter_map(|name| self.tools.get(*name));
        let versions = versions.map(|tool| (tool.spec().name.as_str(), tool.data_version()));
        let told: Vec<_> = versions.filter(|(_, version)| *version != 0).collect();
        if told.is_empty() {
            return 0;
        }
        let mut digest = Sha256::new();
        for (name, version) in told {
            digest.update(format!("{name} {version};"));
        }
        let bytes: [u8; 32] = digest.finalize().into();
        bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// What is there, without the code.
    #[must_use]
    pub fn catalogue(&self) -> Catalogue {
        Catalogue(
            self.tools.iter().map(|(name, tool)| (name.clone(), tool.spec().clone())).collect(),
        )
    }
}

/// Descriptions of tools, by name: what plans are checked against.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue(pub BTreeMap<String, ToolSpec>);

impl Catalogue {
    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ToolSpec> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests;
