//! Plans as people and models write them: a document in YAML or JSON. Everything that is wrong with one is
//! told at once, with its place; nothing in it is passed over. Pure.

use std::collections::BTreeSet;
use std::iter::successors;

use serde_json::Value;

use crate::check::place::{Findings, Place};
use crate::check::{self, Finding};
use crate::graph::Graph;
use crate::json::Json;
use crate::plan::{Input, Plan, ValueType};
use crate::tool::Catalogue;

pub(crate) mod fields;
mod scalar;
pub(crate) mod steps;
pub(crate) mod tree;
pub(crate) mod yaml;

use fields::Fields;
use tree::{Data, LARGEST, Lines, Node};

/// A plan that can be done.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// The order of its steps.
    pub graph: Graph,
    /// What the document says its version is, for people.
    pub version: Option<String>,
    /// What is doubtful in it.
    pub warnings: Vec<Finding>,
}

/// Reads the YAML document `text`, whose steps may call the tools in `catalogue`. JSON is YAML.
///
/// # Errors
/// Everything that is wrong or doubtful, each with its line: at least one [`Finding::is_error`].
pub fn read(text: &str, catalogue: &Catalogue) -> Result<Compiled, Vec<Finding>> {
    let mut findings = Findings::default();
    match yaml::read(text, &mut findings) {
        Some(root) => compile(&root, catalogue, findings),
        None => Err(findings.into_findings()),
    }
}

/// Reads the same document as a JSON value, from a client or a model.
///
/// # Errors
/// Everything that is wrong or doubtful: at least one [`Finding::is_error`].
pub fn read_json(value: &Value, catalogue: &Catalogue) -> Result<Compiled, Vec<Finding>> {
    let mut findings = Findings::default();
    match Node::of_json(value, 0, &mut LARGEST.clone()) {
        Ok(root) => compile(&root, catalogue, findings),
        Err(why) => {
            findings.error(&Place::default(), "too_large", why);
            Err(findings.into_findings())
        }
    }
}

/// Checks a plan that was not read from a document, such as one made of a rule or a question.
///
/// # Errors
/// Everything that is wrong or doubtful: at least one [`Finding::is_error`].
pub fn compile_plan(plan: Plan, catalogue: &Catalogue) -> Result<Compiled, Vec<Finding>> {
    let findings = check::check(&plan, catalogue);
    finish(plan, None, findings)
}

fn compile(
    root: &Node,
    catalogue: &Catalogue,
    mut read: Findings,
) -> Result<Compiled, Vec<Finding>> {
    let Some((plan, version)) = document(root, &mut read) else {
        return Err(with_lines(read, root));
    };
    let mut findings = read;
    let unread = !findings.0.is_empty();
    let told = findings.0.iter().map(|(place, _)| (place.at, place.path.clone())).collect();
    for (place, finding) in check::examine(&plan, Some(catalogue)).0 {
        // What is missing because it could not be read is not missing, and warnings may be wrong for it.
        if !(unread && (!finding.is_error() || is_told(&place, &told))) {
            findings.0.push((place, finding));
        }
    }
    finish(plan, version, with_lines(findings, root))
}

/// The findings in the order of their lines.
fn with_lines(mut findings: Findings, root: &Node) -> Vec<Finding> {
    let lines = Lines::of(root);
    for (place, finding) in &mut findings.0 {
        finding.line = finding.line.or_else(|| lines.line(place));
    }
    let mut findings = findings.into_findings();
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// Whether something was told of `place` or of what it is a part of, the document excepted.
pub(crate) fn is_told(place: &Place, told: &BTreeSet<(Option<usize>, String)>) -> bool {
    let around = successors(Some(place.clone()), Place::parent);
    let mut parts = around.filter(|place| place.at.is_some() || !place.path.is_empty());
    parts.any(|place| told.contains(&(place.at, place.path)))
}

fn finish(
    plan: Plan,
    version: Option<String>,
    findings: Vec<Finding>,
) -> Result<Compiled, Vec<Finding>> {
    if findings.iter().any(Finding::is_error) {
        return Err(findings);
    }
    match Graph::of(&plan) {
        Ok(graph) => Ok(Compiled { plan, graph, version, warnings: findings }),
        // The check finds all that the graph refuses; should it not, the plan is refused all the same.
        Err(errors) => {
            let mut findings = Findings::default();
            for error in errors {
                findings.error(&Place::default(), "no_order", error);
            }
            Err(findings.into_findings())
        }
    }
}

/// As much of the plan as can be read, and its version.
fn document(root: &Node, findings: &mut Findings) -> Option<(Plan, Option<String>)> {
    let mut plan = Plan::default();
    let mut fields = Fields::of(root, &Place::default(), findings)?;
    plan.name = fields.needed_text("name").unwrap_or_default();
    plan.description = fields.text("description").unwrap_or_default();
    let version = fields.text("version");
    plan.timeout = fields.duration("timeout");
    plan.max_parallel = fields.count("max_parallel");
    plan.answer = fields.text("answer");
    fields.need("steps");
    let steps = fields.list("steps").unwrap_or_default().iter().enumerate();
    plan.steps = steps.map(|(at, node)| steps::read(at, node, fields.findings)).collect();
    plan.inputs = map(&mut fields, "inputs", input);
    plan.outputs = map(&mut fields, "outputs", |name, node, _, _| {
        Some((name.to_owned(), Json(node.to_json())))
    });
    fields.finish();
    Some((plan, version))
}

/// Reads each entry of the mapping `name`.
fn map<T>(
    fields: &mut Fields<'_, '_>,
    name: &'static str,
    read: fn(&str, &Node, &Place, &mut Findings) -> Option<T>,
) -> Vec<T> {
    let Some(node) = fields.take(name) else { return Vec::new() };
    let place = fields.at(name);
    let Data::Map(entries) = &node.data else {
        fields::wrong_type(node, &place, "a mapping", fields.findings);
        return Vec::new();
    };
    let read = entries
        .iter()
        .filter_map(|(key, node)| read(&key.text, node, &place.field(&key.text), fields.findings));
    read.collect()
}

/// `{type, default, description}`, or only a default.
fn input(name: &str, node: &Node, place: &Place, findings: &mut Findings) -> Option<Input> {
    let mut input = Input {
        name: name.to_owned(),
        value_type: ValueType::Any,
        description: String::new(),
        default: None,
    };
    match &node.data {
        Data::Map(_) => {
            let mut fields = Fields::of(node, place, findings)?;
            input.description = fields.text("description").unwrap_or_default();
            input.default = fields.take("default").map(|default| Json(default.to_json()));
            input.value_type = match fields.take("type") {
                Some(_) => value_type(&mut fields).unwrap_or(ValueType::Any),
                None => input.default.as_ref().map_or(ValueType::Any, |value| type_of(&value.0)),
            };
            fields.finish();
        }
        Data::Null => {
            let wanted = "a default, or a mapping of type, default and description";
            fields::wrong_type(node, place, wanted, findings);
        }
        Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) => {
            let default = node.to_json();
            input.value_type = type_of(&default);
            input.default = Some(Json(default));
        }
    }
    Some(input)
}

fn value_type(fields: &mut Fields<'_, '_>) -> Option<ValueType> {
    let name = fields.text("type")?;
    let found = ValueType::ALL.into_iter().find(|known| known.as_str() == name);
    if found.is_none() {
        let place = fields.at("type");
        let known = ValueType::ALL.map(ValueType::as_str);
        steps::unknown_value(&name, &known, &place, fields.findings);
    }
    found
}

/// The type of an input that only says what it is by default; of a default that is nothing, any.
fn type_of(default: &Value) -> ValueType {
    match default {
        Value::Null => ValueType::Any,
        Value::Bool(_) => ValueType::Boolean,
        Value::Number(_) if ValueType::Integer.admits(default) => ValueType::Integer,
        Value::Number(_) => ValueType::Number,
        Value::String(_) => ValueType::String,
        Value::Array(_) => ValueType::Array,
        Value::Object(_) => ValueType::Object,
    }
}

#[cfg(test)]
mod tests;
