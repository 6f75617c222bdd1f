//! Rules as people write them: a document in YAML or JSON. Everything that is wrong with one is told at once,
//! with its place; nothing in it is passed over.
//!
//! ```yaml
//! rules:                        # or one rule alone
//!   - id: escalation
//!     name: Premium customer escalation
//!     description: for people
//!     priority: high            # low, medium, high, critical or a whole number
//!     enabled: true
//!     required_roles: [support]
//!     conditions:               # a list (all of them), all, any, not, or one test; in each other as written
//!       all:
//!         - {field: tier, operator: in, value: [premium, gold]}
//!         - any:
//!             - {field: stock.current, operator: less_than, value: "${stock.limit}"}
//!             - not: {field: comment, operator: contains, value: ERROR, case_sensitive: false}
//!         - {field: manager, operator: exists}
//!     actions:                  # like steps of a pipeline
//!       - id: analyse
//!         tool: classify
//!         arguments: {text: "{{ facts.comment }}"}
//!         timeout: 5s
//!       - id: tell
//!         tool: notify
//!         arguments: {text: "{{ steps.analyse.result }}"}
//!         needs: [analyse]
//!         retry: {attempts: 2}
//!         on_failure: continue  # fail, continue, skip (unless it says otherwise) or {fallback: [...]}
//! ```

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::check;
use super::condition::{Condition, FieldPath, Test};
use super::operator::Operator;
use super::rule::{Priority, Rule, RuleAction, RuleId, RuleSet};
use crate::check::place::{Findings, Place};
use crate::check::{Finding, ids};
use crate::pipeline::fields::{self, Fields};
use crate::pipeline::steps;
use crate::pipeline::tree::{Data, LARGEST, Lines, Node};
use crate::pipeline::yaml;
use crate::plan::{OnFailure, StepId};
use crate::tool::Catalogue;

/// Rules that can be performed.
#[derive(Clone, Debug)]
pub struct Read {
    /// The rules.
    pub set: RuleSet,
    /// What is doubtful about them.
    pub warnings: Vec<Finding>,
}

impl Read {
    /// `set`, unless something is wrong among the `findings`.
    pub(super) fn unless(set: RuleSet, findings: Vec<Finding>) -> Result<Self, Vec<Finding>> {
        if findings.iter().any(Finding::is_error) {
            return Err(findings);
        }
        Ok(Self { set, warnings: findings })
    }
}

/// Reads the YAML document `text`, whose actions may call the tools in `catalogue`; without one, tools are not
/// looked at. JSON is YAML.
///
/// # Errors
/// Everything that is wrong or doubtful, each with its line: at least one [`Finding::is_error`].
pub fn read(text: &str, catalogue: Option<&Catalogue>) -> Result<Read, Vec<Finding>> {
    let mut findings = Findings::default();
    match yaml::read(text, &mut findings) {
        Some(root) => document(&root, catalogue, findings),
        None => Err(findings.into_findings()),
    }
}

/// Reads the same document as a JSON value.
///
/// # Errors
/// Everything that is wrong or doubtful: at least one [`Finding::is_error`].
pub fn read_json(value: &Value, catalogue: Option<&Catalogue>) -> Result<Read, Vec<Finding>> {
    let mut findings = Findings::default();
    match Node::of_json(value, 0, &mut LARGEST.clone()) {
        Ok(root) => document(&root, catalogue, findings),
        Err(why) => {
            findings.error(&Place::default(), "too_large", why);
            Err(findings.into_findings())
        }
    }
}

fn document(
    root: &Node,
    catalogue: Option<&Catalogue>,
    mut findings: Findings,
) -> Result<Read, Vec<Finding>> {
    let single = ["id", "conditions", "actions"].iter().any(|name| root.field(name).is_some());
    let nodes = match root.field("rules") {
        None if single => vec![root],
        Some(_) | None => list(root, &mut findings),
    };
    let (mut set, mut lines) = (RuleSet::default(), Lines::default());
    lines.add(&Place::default(), root.line, root);
    let mut seen = BTreeSet::new();
    for (at, node) in nodes.into_iter().enumerate() {
        let list = Place::of_plan("rules");
        let place = named(&list, at, node);
        // Of two rules of one id the second has another place: what is wrong with it is not with the first.
        let again = !seen.insert(place.path.clone());
        let place = if again { list.item(at) } else { place };
        place_lines(&place, node, &mut lines);
        let rule = rule(node, &place, &mut findings);
        if again {
            findings.error(&place.field("id"), "duplicate_id", "another rule has this id already");
        } else {
            set.rules.extend(rule);
        }
    }
    findings.0.extend(check::examine_set(&set, catalogue).0);
    for (place, finding) in &mut findings.0 {
        finding.line = finding.line.or_else(|| lines.line(place));
    }
    let mut findings = findings.into_findings();
    findings.sort_by_key(|finding| finding.line);
    Read::unless(set, findings)
}

fn list<'n>(root: &'n Node, findings: &mut Findings) -> Vec<&'n Node> {
    let Some(mut fields) = Fields::of(root, &Place::default(), findings) else { return Vec::new() };
    fields.need("rules");
    let nodes = fields.list("rules");
    if nodes.is_some_and(<[Node]>::is_empty) {
        let place = fields.at("rules");
        fields.findings.error(&place, "no_rules", "there is no rule in it");
    }
    fields.finish();
    nodes.unwrap_or_default().iter().collect()
}

/// A part of a list: by its id if it has one, by its number otherwise.
fn named(list: &Place, at: usize, node: &Node) -> Place {
    match node.field("id").map(|id| &id.data) {
        Some(Data::Text(id)) if ids::is_name(id) => list.field(id),
        _ => list.item(at),
    }
}

fn place_lines(place: &Place, node: &Node, lines: &mut Lines) {
    lines.add(place, node.line, node);
    if let Some(Node { data: Data::List(actions), .. }) = node.field("actions") {
        for (at, action) in actions.iter().enumerate() {
            lines.add(&named(&place.field("actions"), at, action), action.line, action);
        }
    }
}

/// The rule, if nothing is wrong with the way it is written.
fn rule(node: &Node, place: &Place, findings: &mut Findings) -> Option<Rule> {
    let before = findings.0.len();
    let mut fields = Fields::of(node, place, findings)?;
    let id = fields.needed_text("id").unwrap_or_default();
    let name = fields.text("name").unwrap_or_else(|| id.clone());
    let description = fields.text("description").unwrap_or_default();
    let priority = priority(&mut fields);
    let enabled = fields.flag("enabled").unwrap_or(true);
    let required_roles = fields.texts("required_roles");
    let conditions = fields.at("conditions");
    let condition =
        fields.need("conditions").and_then(|node| condition(node, &conditions, fields.findings));
    fields.need("actions");
    let place = fields.at("actions");
    let nodes = fields.list("actions").unwrap_or_default().iter().enumerate();
    let actions: Vec<RuleAction> = nodes
        .filter_map(|(at, node)| action(node, &named(&place, at, node), fields.findings))
        .collect();
    fields.finish();
    let whole = findings.0.len() == before;
    let condition = condition.filter(|_| whole)?;
    let id = RuleId(id);
    Some(Rule { id, name, description, priority, enabled, condition, actions, required_roles })
}

fn priority(fields: &mut Fields<'_, '_>) -> Priority {
    let Some(node) = fields.take("priority") else { return Priority::default() };
    let found = match &node.data {
        Data::Text(text) => Priority::parse(text),
        Data::Number(number) => Priority::parse(&number.to_string()),
        Data::Null | Data::Bool(_) | Data::List(_) | Data::Map(_) => None,
    };
    found.unwrap_or_else(|| {
        let place = fields.at("priority");
        let known = Priority::NAMED.map(|(name, _)| name);
        let message = format!("must be one of {}, or a whole number", known.join(", "));
        fields.findings.error(&place, "invalid_value", message);
        if let Data::Text(text) = &node.data {
            fields.findings.suggest_closest(text, known);
        }
        Priority::default()
    })
}

/// A list, a group or a test.
fn condition(node: &Node, place: &Place, findings: &mut Findings) -> Option<Condition> {
    if let Data::List(_) = node.data {
        return Some(Condition::All(group(node, place, findings)));
    }
    let mut fields = Fields::of(node, place, findings)?;
    let given: Vec<&str> = ["all", "any", "not", "field"]
        .into_iter()
        .filter(|name| node.field(name).is_some())
        .collect();
    if given.len() > 1 {
        let message = format!("a condition is one thing, not {}", given.join(" and "));
        fields.findings.error(place, "conflicting_fields", message);
        return None;
    }
    for name in ["all", "any", "not"] {
        let Some(part) = fields.take(name) else { continue };
        let place = fields.at(name);
        fields.text("description");
        let findings = &mut *fields.findings;
        let read = match name {
            "all" => Some(Condition::All(group(part, &place, findings))),
            "any" => Some(Condition::Any(group(part, &place, findings))),
            _ => condition(part, &place, findings).map(|part| Condition::Not(Box::new(part))),
        };
        fields.finish();
        return read;
    }
    let test = test(&mut fields);
    fields.finish();
    test.map(Condition::Test)
}

fn group(node: &Node, place: &Place, findings: &mut Findings) -> Vec<Condition> {
    let Data::List(nodes) = &node.data else {
        fields::wrong_type(node, place, "a list of conditions", findings);
        return Vec::new();
    };
    let parts = nodes.iter().enumerate();
    parts.filter_map(|(at, node)| condition(node, &place.item(at), findings)).collect()
}

fn test(fields: &mut Fields<'_, '_>) -> Option<Test> {
    fields.text("description");
    let path = field(fields);
    let operator = operator(fields);
    let case_sensitive = fields.flag("case_sensitive").unwrap_or(true);
    let value = match operator {
        Some(Operator::Exists) if fields.take("value").is_none() => Some(json!(true)),
        Some(_) | None => fields.need("value").map(Node::to_json),
    };
    let (path, operator, value) = (path?, operator?, value?);
    Test::new(path, operator, value, case_sensitive)
        .map_err(|message| {
            let place = fields.at("value");
            fields.findings.error(&place, "invalid_value", message);
        })
        .ok()
}

fn field(fields: &mut Fields<'_, '_>) -> Option<FieldPath> {
    let text = fields.needed_text("field")?;
    let path = FieldPath::parse(&text);
    if path.is_none() {
        let place = fields.at("field");
        let message = format!("`{text}` names no field; one is written as in `customer.tier`");
        fields.findings.error(&place, "invalid_value", message);
    }
    path
}

fn operator(fields: &mut Fields<'_, '_>) -> Option<Operator> {
    let text = fields.needed_text("operator")?;
    let operator = Operator::parse(&text);
    if operator.is_none() {
        let place = fields.at("operator");
        let known = Operator::NAMED.map(|(name, _)| name);
        steps::unknown_value(&text, &known, &place, fields.findings);
        if let Some((_, ours)) = OTHERS.iter().find(|(other, _)| *other == text) {
            fields.findings.suggest(Some((*ours).to_owned()));
        }
    }
    operator
}

/// What operators are called elsewhere, and here.
const OTHERS: [(&str, &str); 13] = [
    ("==", "equals"),
    ("!=", "not_equals"),
    ("<", "less_than"),
    ("<=", "less_or_equal"),
    (">", "greater_than"),
    (">=", "greater_or_equal"),
    ("eq", "equals"),
    ("gt", "greater_than"),
    ("gte", "greater_or_equal"),
    ("lt", "less_than"),
    ("lte", "less_or_equal"),
    ("matches", "regex"),
    ("ne", "not_equals"),
];

fn action(node: &Node, place: &Place, findings: &mut Findings) -> Option<RuleAction> {
    let mut fields = Fields::of(node, place, findings)?;
    let id = fields.needed_text("id").unwrap_or_default();
    fields.text("description");
    let action = RuleAction {
        id: StepId(id),
        call: steps::call(&mut fields),
        needs: steps::needs(&mut fields),
        timeout: fields.duration("timeout"),
        retry: steps::retry(&mut fields),
        on_failure: match fields.take("on_failure") {
            Some(_) => steps::on_failure(&mut fields),
            None => OnFailure::Skip,
        },
    };
    fields.finish();
    Some(action)
}
