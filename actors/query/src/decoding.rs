//! Everything of this crate that reads what people, models and programs give it. For tests and for the fuzzers
//! in `tests/fuzz`, which call the same functions.

use serde_json::{Value, json};

use crate::config::Config;
use crate::plan::{Plan, ValueType};
use crate::tool::{Catalogue, Identity, Parameter, ToolSpec};
use crate::{check, explain, expression, inputs, pipeline, planner, rules};

/// Reads bytes as a pipeline, and says what it would do.
pub fn pipeline(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let catalogue = catalogue();
    match pipeline::read(text, &catalogue) {
        Ok(compiled) => {
            let bounds = explain::NodeBounds::from(&Config::default());
            drop(explain::explain(&compiled, &catalogue, &bounds));
            drop(inputs::bind(&compiled.plan, &json!({ "path": "/", "limit": 3 })));
            patience(&compiled.plan);
        }
        Err(findings) => told(&findings),
    }
}

/// Reads bytes as rules, in YAML and in sentences, and has those fire that do.
pub fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let catalogue = catalogue();
    for read in [rules::read::read, rules::gherkin::read] {
        match read(text, Some(&catalogue)) {
            Ok(read) => {
                let fired =
                    rules::compile::fire(&read.set, &facts(), &Identity::default(), &catalogue);
                drop(fired.plan.map(|plan| pipeline::compile_plan(plan, &catalogue)));
            }
            Err(findings) => told(&findings),
        }
    }
}

/// Reads bytes as an expression and as a template, and works them out.
pub fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let scope = json!({
        "inputs": { "text": "a b c", "number": 3, "list": [1, 2.5, null, "x"] },
        "steps": { "a": { "status": "succeeded", "result": { "rows": [{ "n": 1 }, { "n": 2 }] } } },
        "item": { "name": "x" }, "loop": { "index": 1 },
    });
    drop(expression::of_expression(text).map(|found| found.steps().count()));
    drop(expression::of_template(text).map(|found| found.names().count()));
    drop(expression::evaluate(text, &scope).map_err(|error| error.to_string()));
    drop(expression::holds(text, &scope));
    drop(expression::render_text(text, &scope));
    drop(expression::render(&json!({ "k": [text] }), &scope));
}

/// Reads bytes as the plan that a model gives, and tells the model what is wrong with it.
pub fn plan(bytes: &[u8]) {
    let Ok(reply) = std::str::from_utf8(bytes) else { return };
    let catalogue = catalogue();
    match planner::read(reply, &catalogue, planner::STEPS) {
        Ok(compiled) => {
            assert!(
                compiled.plan.steps.len() <= planner::STEPS,
                "more steps than a model may plan"
            );
            patience(&compiled.plan);
        }
        Err(findings) => {
            told(&findings);
            let asked = planner::arguments("why?", &catalogue, planner::STEPS);
            let problems: Vec<_> = findings.iter().map(ToString::to_string).collect();
            drop(planner::correction(&asked, reply, &problems));
        }
    }
}

/// What is refused is refused for a reason.
fn told(findings: &[check::Finding]) {
    assert!(findings.iter().any(check::Finding::is_error), "refused for nothing: {findings:?}");
}

/// The waits of a plan that was taken, at both ends of chance.
fn patience(plan: &Plan) {
    for step in &plan.steps {
        for (attempt, chance) in [(1, 0.0), (1, 1.0), (u32::MAX, 0.0), (u32::MAX, 1.0)] {
            let wait = step.retry.wait(attempt, chance, None);
            assert!(wait <= step.retry.cap.saturating_mul(2), "{wait:?} of {:?}", step.retry);
        }
    }
}

fn catalogue() -> Catalogue {
    let text = |name: &str| Parameter::optional(name, ValueType::String, "A text.");
    let tools = ["file_read", "file_write", "shell", "echo"].map(|name| {
        let mut spec = ToolSpec::new(name, "Does something.").parameter(text("path"));
        spec = spec.parameter(text("content")).parameter(text("mode").of(&["append", "replace"]));
        spec = spec.parameter(text("command"));
        let arguments = Parameter::optional("arguments", ValueType::Object, "More.");
        (name.to_owned(), spec.parameter(arguments))
    });
    Catalogue(tools.into())
}

fn facts() -> Value {
    json!({
        "used": 87, "path": "/srv", "muted": null, "name": "Ann", "tags": ["a", "b"],
        "customer": { "age": 42, "country": "NL" }, "at": "2026-11-21T17:45:01Z",
    })
}

#[cfg(test)]
mod tests {
    use perennial_runtime::decoding::feed;

    use super::*;

    #[test]
    fn no_text_is_too_strange_to_be_read_as_a_pipeline() {
        feed("pipeline", 2_000, pipeline);
    }

    #[test]
    fn no_text_is_too_strange_to_be_read_as_rules() {
        feed("rules", 2_000, rules);
    }

    #[test]
    fn no_text_is_too_strange_to_be_worked_out_as_an_expression() {
        feed("expression", 3_000, expression);
    }

    #[test]
    fn no_reply_of_a_model_is_too_strange_to_be_read_as_a_plan() {
        feed("plan", 2_000, plan);
    }
}
