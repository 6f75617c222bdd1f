//! What rules promise, end to end: facts in, a plan or the reasons out.

mod acceptance;
mod conditions;
mod plans;
mod reading;
mod warnings;

use serde_json::{Value, json};

use super::condition::{Condition, FieldPath, Test};
use super::operator::Operator;
use super::rule::{Priority, Rule, RuleAction, RuleId};
use crate::json::Json;
use crate::plan::{StepId, ToolCall, ValueType};
use crate::tool::{Catalogue, Identity, Parameter, ToolSpec};

pub(super) fn test(field: &str, operator: &str, value: Value) -> Condition {
    let operator = Operator::parse(operator).unwrap();
    let field = FieldPath::parse(field).unwrap();
    Condition::Test(Test::new(field, operator, value, true).unwrap())
}

pub(super) fn all(parts: impl Into<Vec<Condition>>) -> Condition {
    Condition::All(parts.into())
}

pub(super) fn some(parts: impl Into<Vec<Condition>>) -> Condition {
    Condition::Any(parts.into())
}

pub(super) fn not(part: Condition) -> Condition {
    Condition::Not(Box::new(part))
}

pub(super) fn action(id: &str, tool: &str, arguments: Value) -> RuleAction {
    RuleAction::new(id, ToolCall { tool: tool.to_owned(), arguments: Json(arguments) })
}

pub(super) fn rule(id: &str, condition: Condition, actions: Vec<RuleAction>) -> Rule {
    Rule {
        id: RuleId::from(id),
        name: id.to_owned(),
        description: String::new(),
        priority: Priority::default(),
        enabled: true,
        condition,
        actions,
        required_roles: Vec::new(),
    }
}

/// A rule that fires on anything.
pub(super) fn always(id: &str, actions: Vec<RuleAction>) -> Rule {
    rule(id, test("nothing", "exists", json!(false)), actions)
}

/// Tools of these names that take text as `with` and a number as `amount`, if they are given any.
pub(super) fn tools(names: &[&str]) -> Catalogue {
    let spec = |name: &&str| {
        let spec = ToolSpec::new(name, "does something")
            .parameter(Parameter::optional("with", ValueType::String, "text"))
            .parameter(Parameter::optional("amount", ValueType::Number, "a number"));
        ((*name).to_owned(), spec)
    };
    Catalogue(names.iter().map(spec).collect())
}

pub(super) fn clerk() -> Identity {
    Identity { name: "ann".to_owned(), role: "clerk".to_owned(), ..Identity::default() }
}

pub(super) fn ids(stages: &[Vec<StepId>]) -> Vec<Vec<&str>> {
    stages.iter().map(|stage| stage.iter().map(StepId::as_str).collect()).collect()
}
