//! Steps of a document. Each element of the list becomes a step, however much of it is wrong: what refers to
//! it is not wrong for that.

use serde_json::{Value, json};

use super::fields::{self, Fields};
use super::tree::{Data, Node};
use crate::check::place::{Findings, Place};
use crate::json::Json;
use crate::names;
use crate::plan::{
    APPROVAL_WAIT, ErrorKind, MAX_ITERATIONS, MAX_PARALLEL, OnFailure, Repeat, Retry, Step, StepId,
    ToolCall, Work,
};

/// What a step can do; exactly one of them.
const WORKS: [&str; 4] = ["tool", "value", "gate", "approval"];

/// Reads the step at `at`.
pub(crate) fn read(at: usize, node: &Node, findings: &mut Findings) -> Step {
    let mut step = Step::new("", Work::Value(Json::default()));
    if let Some(Node { data: Data::Text(id), .. }) = node.field("id") {
        step.id = StepId(id.clone());
    }
    let place = Place::of_step(at, &step);
    let Some(mut fields) = Fields::of(node, &place, findings) else { return step };
    fields.needed_text("id");
    step.work = work(&mut fields);
    step.repeat = repeat(&mut fields);
    step.needs = needs(&mut fields);
    step.condition = fields.expression("if");
    step.retry = retry(&mut fields);
    step.timeout = fields.duration("timeout");
    step.on_success = fields.id("on_success");
    step.on_false = fields.id("on_false");
    if step.condition.is_none() && fields.take("if").is_none() {
        fields.misplaced("on_false", "`if`");
    }
    step.on_failure = on_failure(&mut fields);
    fields.finish();
    step
}

fn work(fields: &mut Fields<'_, '_>) -> Work {
    let given: Vec<&str> = WORKS.into_iter().filter(|name| fields.take(name).is_some()).collect();
    let place = fields.place.clone();
    match given.as_slice() {
        [_] => {}
        [] => {
            let message = "the step does nothing; it needs one of tool, value, gate, approval";
            fields.findings.error(&place.field("tool"), "missing_field", message);
        }
        [_, second, ..] => {
            let message = format!("a step does one thing, not {}", given.join(" and "));
            fields.findings.error(&place.field(second), "conflicting_fields", message);
        }
    }
    if given.is_empty() {
        // Whatever it was to do, it is told what is missing, not what is too much.
        fields.take("arguments");
    } else if !given.contains(&"tool") {
        for name in ["arguments", "retry", "timeout"] {
            fields.misplaced(name, "`tool`");
        }
    }
    match given.first() {
        Some(&"tool") => Work::Call(call(fields)),
        Some(&"gate") => part(fields, "gate", gate),
        Some(&"approval") => part(fields, "approval", approval),
        Some(_) | None => {
            Work::Value(Json(fields.take("value").map_or(Value::Null, Node::to_json)))
        }
    }
}

/// Reads the mapping `name` with `read`.
fn part(
    fields: &mut Fields<'_, '_>,
    name: &'static str,
    read: fn(&mut Fields<'_, '_>) -> Work,
) -> Work {
    let nothing = Work::Value(Json::default());
    let Some(node) = fields.take(name) else { return nothing };
    let place = fields.at(name);
    let Some(mut fields) = Fields::of(node, &place, fields.findings) else { return nothing };
    let work = read(&mut fields);
    fields.finish();
    work
}

fn gate(fields: &mut Fields<'_, '_>) -> Work {
    fields.need("that");
    Work::Gate {
        that: fields.expression("that").unwrap_or_else(|| "true".to_owned()),
        reason: fields.needed_text("reason").unwrap_or_default(),
    }
}

fn approval(fields: &mut Fields<'_, '_>) -> Work {
    Work::Approval {
        prompt: fields.needed_text("prompt").unwrap_or_default(),
        wait: fields.duration("wait").unwrap_or(APPROVAL_WAIT),
    }
}

pub(crate) fn call(fields: &mut Fields<'_, '_>) -> ToolCall {
    ToolCall {
        tool: fields.needed_text("tool").unwrap_or_default(),
        arguments: Json(fields.object("arguments").unwrap_or_else(|| json!({}))),
    }
}

fn repeat(fields: &mut Fields<'_, '_>) -> Repeat {
    let each = fields.take("each");
    let condition = fields.expression("while");
    if each.is_some() && fields.take("while").is_some() {
        let message = "a step is done for each element or while something holds, not both";
        let place = fields.at("while");
        fields.findings.error(&place, "conflicting_fields", message);
    }
    let repeat = match (each, condition) {
        (Some(items), _) => Repeat::Each {
            items: Json(items_of(items, fields)),
            max_parallel: fields.count("max_parallel").unwrap_or(MAX_PARALLEL),
            max_items: fields.count("max_items").unwrap_or(MAX_ITERATIONS),
        },
        (None, Some(condition)) => Repeat::While {
            condition,
            max_iterations: fields.count("max_iterations").unwrap_or(MAX_ITERATIONS),
        },
        (None, None) => Repeat::Once,
    };
    if each.is_none() {
        fields.misplaced("max_parallel", "`each`");
        fields.misplaced("max_items", "`each`");
    }
    if fields.take("while").is_none() {
        fields.misplaced("max_iterations", "`while`");
    }
    repeat
}

/// A list, or a template of one; an expression is made one.
fn items_of(node: &Node, fields: &mut Fields<'_, '_>) -> Value {
    match &node.data {
        Data::List(_) => node.to_json(),
        Data::Text(text) if text.contains("{{") => Value::from(text.clone()),
        Data::Text(text) => Value::from(format!("{{{{ {text} }}}}")),
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Map(_) => {
            fields::wrong_type(
                node,
                &fields.at("each"),
                "a list or an expression",
                fields.findings,
            );
            json!([])
        }
    }
}

pub(crate) fn needs(fields: &mut Fields<'_, '_>) -> Vec<StepId> {
    let Some(node) = fields.take("needs") else { return Vec::new() };
    let place = fields.at("needs");
    match &node.data {
        Data::Text(id) => vec![StepId(id.clone())],
        Data::List(items) => {
            let ids = items.iter().enumerate();
            ids.filter_map(|(at, id)| fields::text(id, &place.item(at), fields.findings))
                .map(StepId)
                .collect()
        }
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Map(_) => {
            let wanted = "the id of a step or a list of ids";
            fields::wrong_type(node, &place, wanted, fields.findings);
            Vec::new()
        }
    }
}

pub(crate) fn retry(fields: &mut Fields<'_, '_>) -> Retry {
    let standard = Retry::default();
    let Some(node) = fields.take("retry") else { return standard };
    let place = fields.at("retry");
    let Some(mut fields) = Fields::of(node, &place, fields.findings) else { return standard };
    let retry = Retry {
        attempts: fields.count("attempts").unwrap_or(standard.attempts),
        base: fields.duration("base").unwrap_or(standard.base),
        cap: fields.duration("cap").unwrap_or(standard.cap),
        jitter: fields.number("jitter").unwrap_or(standard.jitter),
        kinds: kinds(&mut fields),
    };
    fields.finish();
    retry
}

fn kinds(fields: &mut Fields<'_, '_>) -> Vec<ErrorKind> {
    let place = fields.at("kinds");
    let mut kinds = Vec::new();
    for (at, node) in fields.list("kinds").unwrap_or_default().iter().enumerate() {
        let place = place.item(at);
        let Some(name) = fields::text(node, &place, fields.findings) else { continue };
        match ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == name) {
            Some(kind) => kinds.push(kind),
            None => {
                let known = ErrorKind::ALL.map(ErrorKind::as_str);
                unknown_value(&name, &known, &place, fields.findings);
            }
        }
    }
    kinds
}

pub(crate) fn on_failure(fields: &mut Fields<'_, '_>) -> OnFailure {
    let Some(node) = fields.take("on_failure") else { return OnFailure::Fail };
    let place = fields.at("on_failure");
    if let Data::Text(word) = &node.data {
        return policy(word, &place, fields.findings);
    }
    let Some(mut fields) = Fields::of(node, &place, fields.findings) else {
        return OnFailure::Fail;
    };
    let (route, fallback) = (fields.take("route"), fields.take("fallback"));
    if route.is_some() == fallback.is_some() {
        let message = "needs one of `route` and `fallback`, or is fail, continue or skip";
        fields.findings.error(&place, "conflicting_fields", message);
    }
    let (route, fallback) = (fields.id("route"), fallback.map(|_| calls(&mut fields)));
    fields.finish();
    match (route, fallback) {
        (Some(target), _) => OnFailure::Route(target),
        (None, Some(calls)) => OnFailure::Fallback(calls),
        (None, None) => OnFailure::Fail,
    }
}

fn policy(word: &str, place: &Place, findings: &mut Findings) -> OnFailure {
    match word {
        "fail" => OnFailure::Fail,
        "continue" => OnFailure::Continue,
        "skip" => OnFailure::Skip,
        _ => {
            unknown_value(word, &["fail", "continue", "skip"], place, findings);
            if names::closest(word, ["fail", "continue", "skip"]).is_none() {
                findings.suggest(Some(format!("{{route: {word}}}")));
            }
            OnFailure::Fail
        }
    }
}

fn calls(fields: &mut Fields<'_, '_>) -> Vec<ToolCall> {
    let place = fields.at("fallback");
    let nodes = fields.list("fallback").unwrap_or_default().iter().enumerate();
    let mut calls = Vec::new();
    for (at, node) in nodes {
        if let Some(mut fields) = Fields::of(node, &place.item(at), fields.findings) {
            calls.push(call(&mut fields));
            fields.finish();
        }
    }
    calls
}

/// Refuses a word that is none of those that may stand here.
pub(crate) fn unknown_value(word: &str, known: &[&str], place: &Place, findings: &mut Findings) {
    let message = format!("must be one of {}, not `{word}`", known.join(", "));
    findings.error(place, "invalid_value", message);
    findings.suggest_closest(word, known.iter().copied());
}
