//! Has a model make a plan of a question: what it is told, and how strictly its reply is read. Pure; whoever
//! asks the model calls the tool `llm` in between.

use serde_json::{Value, json};

use crate::check::{Finding, MAX_STEPS, Severity};
use crate::inputs;
use crate::json::repeated;
use crate::pipeline::{self, Compiled};
use crate::record::Exchange;
use crate::tool::{Catalogue, ToolSpec};

mod approving;

pub use approving::with_approvals;

/// Steps of a plan that a model makes, unless whoever asks says otherwise: what a person can look over.
pub const STEPS: usize = 20;
/// Findings that a model is told of at once.
pub const FINDINGS: usize = 20;
/// Characters of what a model asks back.
const UNCLEAR: usize = 2_000;

/// The plan in the prompt that shows a model what one looks like. Its tools are not the caller's.
const EXAMPLE: &str = r#"{
  "name": "large_files",
  "description": "Says which logs are large.",
  "steps": [
    {"id": "find", "tool": "list_folder", "arguments": {"path": "logs"}},
    {"id": "enough", "gate": {"that": "len(steps.find.result.entries) > 0", "reason": "There are no logs."}},
    {"id": "sizes", "each": "{{ steps.find.result.entries }}", "needs": "enough",
     "tool": "file_size", "arguments": {"path": "logs/{{ item.name }}"}}
  ],
  "outputs": {"sizes": "{{ steps.sizes.result }}"},
  "answer": "There are {{ len(steps.find.result.entries) }} logs."
}"#;

/// How plans are written, for a model.
const FORMAT: &str = "\
A plan is one JSON object with the fields name (text), description (text), steps (list), outputs (object of names \
and values) and answer (a template of the answer in words). Other fields are refused.
A step has an id (a letter, then letters, digits and underscores) and does exactly one thing:
- tool (its name) with arguments (an object that fits the tool's schema), or
- value (any JSON value), or
- gate: {that: an expression, reason: text}, which ends the plan without an answer unless the expression is true.
A step may have: needs (ids of steps that must have ended before; those that it refers to need not be named), \
if (an expression; otherwise the step is skipped), each (a list or a template of one; the step is done for each \
element, which is `item`), max_items (10 unless it is set).
A template is text with {{ expressions }}. Text that is one {{ expression }} has the type of its value. Expressions \
are those of Jinja, without side effects; steps.ID.result is what a step resulted in, as its tool describes it. \
Conditions are bare expressions, without braces.";

/// The argument `prompt` and the argument `system` of the call of `llm` that asks for a plan for `question`, of
/// at most `max_steps` steps that call the tools in `catalogue` and no others. What the asker may not call is
/// best left out of it.
#[must_use]
pub fn arguments(question: &str, catalogue: &Catalogue, max_steps: usize) -> Value {
    let tools: Vec<Value> = catalogue.0.values().map(described).collect();
    let tools = Value::from(tools);
    let most = max_steps.min(MAX_STEPS);
    let system = format!(
        "You plan how a question is answered. You do not answer it yourself.\n\n{FORMAT}\n\nAn example, with \
         tools that you may not have:\n{EXAMPLE}\n\nThe tools that there are, with the JSON Schemas of their \
         arguments:\n{tools}\n\nRules:\n- At most {most} steps, and as few as will do.\n- Only tools from \
         the list, with arguments that fit their schemas.\n- A tool that changes the world only if the \
         question asks for the change.\n- If the tools cannot answer the question, or it is not clear what is \
         asked, there is no plan: answer {{\"unclear\": \"what the asker should say or know\"}} instead.\n- \
         Answer with the JSON object alone: no words before or after it, and no code fences."
    );
    json!({"system": system, "prompt": format!("Make a plan for this question: {question}")})
}

fn described(spec: &ToolSpec) -> Value {
    json!({
        "name": spec.name,
        "description": spec.description,
        "changes_world": spec.changes_world,
        "arguments": spec.schema(),
    })
}

/// Adds to the arguments of a call what was said `earlier` in the conversation: it says what words such as `it`
/// mean, and it is data.
#[must_use]
pub fn with_earlier(mut arguments: Value, earlier: &[Exchange]) -> Value {
    if !earlier.is_empty() {
        let said: Vec<Value> = earlier
            .iter()
            .map(|said| json!({"question": said.question, "answer": said.answer}))
            .collect();
        let said = json!({"said_before_in_this_conversation": said}).to_string();
        match arguments["untrusted"].as_array_mut() {
            Some(pieces) => pieces.insert(0, Value::from(said)),
            None => arguments["untrusted"] = json!([said]),
        }
    }
    arguments
}

/// What a model says the asker should say or know, if its `reply` is that there is no plan.
#[must_use]
pub fn unclear(reply: &str) -> Option<String> {
    let reply: Value = serde_json::from_str(reply.trim()).ok()?;
    let why = reply.as_object().filter(|fields| fields.len() == 1)?.get("unclear")?.as_str()?;
    let why: String = why.trim().chars().take(UNCLEAR).collect();
    (!why.is_empty()).then_some(why)
}

/// Reads a model's `reply` as a plan. `catalogue` and `max_steps` are those that it was asked with.
///
/// # Errors
/// Everything that is wrong or doubtful in it: at least one [`Finding::is_error`].
pub fn read(
    reply: &str,
    catalogue: &Catalogue,
    max_steps: usize,
) -> Result<Compiled, Vec<Finding>> {
    let document: Value = serde_json::from_str(reply.trim()).map_err(|error| {
        let message = format!("the reply is not one JSON value and nothing else: {error}");
        vec![refusal("not_json", "", message)]
    })?;
    if let Some(place) = repeated(reply.trim().as_bytes()) {
        let message = format!("`{place}` is given twice");
        return Err(vec![refusal("duplicate_key", &place, message)]);
    }
    let compiled = pipeline::read_json(&document, catalogue)?;
    let steps = compiled.plan.steps.len();
    if steps > max_steps {
        let message = format!("a plan has at most {max_steps} steps here, not {steps}");
        return Err(vec![refusal("too_many_steps", "steps", message)]);
    }
    // Nobody is there to give it any.
    inputs::bind(&compiled.plan, &Value::Null)?;
    Ok(compiled)
}

fn refusal(code: &'static str, path: &str, message: String) -> Finding {
    Finding {
        severity: Severity::Error,
        code,
        step: None,
        path: path.to_owned(),
        line: None,
        message,
        suggestion: None,
    }
}

/// The arguments of a further call after a `reply` that was refused: the same question in `asked`, the reply, and
/// what is wrong with it.
#[must_use]
pub fn correction(asked: &Value, reply: &str, problems: &[String]) -> Value {
    let told: Vec<String> =
        problems.iter().take(FINDINGS).map(|problem| format!("- {problem}")).collect();
    let stricter = format!(
        "That plan is refused:\n{}\nAnswer again with the whole plan, corrected: one JSON object and \
         nothing else. The first character must be {{ and the last one }}.",
        told.join("\n")
    );
    // A model cannot have said nothing.
    let said = if reply.trim().is_empty() { "(nothing)" } else { reply };
    let mut arguments = json!({
        "system": asked["system"],
        "messages": [
            {"role": "user", "content": asked["prompt"]},
            {"role": "assistant", "content": said},
            {"role": "user", "content": stricter},
        ],
    });
    if !asked["untrusted"].is_null() {
        arguments["untrusted"] = asked["untrusted"].clone();
    }
    arguments
}

/// What is wrong with a reply, as whoever wrote it is told.
#[must_use]
pub fn problems(findings: &[Finding]) -> Vec<String> {
    let errors = findings.iter().filter(|finding| finding.is_error());
    errors.take(FINDINGS).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ValueType;
    use crate::tool::Parameter;

    fn catalogue() -> Catalogue {
        let path = || Parameter::required("path", ValueType::String, "Where.");
        let tools = [
            ToolSpec::new("file_size", "How large a file is.").parameter(path()),
            ToolSpec::new("list_folder", "What is in a folder.").parameter(path()),
        ];
        Catalogue(tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect())
    }

    fn codes(reply: &str, max_steps: usize) -> Vec<&'static str> {
        let findings = read(reply, &catalogue(), max_steps).unwrap_err();
        findings.iter().filter(|finding| finding.is_error()).map(|finding| finding.code).collect()
    }

    #[test]
    fn the_example_that_a_model_is_shown_is_a_plan() {
        let compiled = read(EXAMPLE, &catalogue(), STEPS).unwrap();
        assert_eq!(compiled.plan.steps.len(), 3);
        assert_eq!(compiled.warnings, []);
    }

    #[test]
    fn a_model_is_told_the_question_the_bounds_and_every_tool_with_its_schema() {
        let arguments = arguments("Which logs are large?", &catalogue(), 7);
        let system = arguments["system"].as_str().unwrap();
        for spec in catalogue().0.values() {
            assert!(system.contains(&spec.schema().to_string()), "{}", spec.name);
            assert!(system.contains(&spec.description), "{}", spec.name);
        }
        assert!(system.contains("At most 7 steps"), "{system}");
        assert!(arguments["prompt"].as_str().unwrap().ends_with("Which logs are large?"));
    }

    #[test]
    fn a_reply_is_one_json_value_and_nothing_else() {
        for reply in ["", "Here it is: {}", "```json\n{}\n```", "{} {}"] {
            assert_eq!(codes(reply, STEPS), ["not_json"], "{reply}");
        }
        read(&format!("\n{EXAMPLE}\n"), &catalogue(), STEPS).unwrap();
    }

    #[test]
    fn a_tool_that_is_not_listed_is_refused_with_what_was_meant() {
        let reply = EXAMPLE.replace("\"list_folder\"", "\"list_folders\"");
        let findings = read(&reply, &catalogue(), STEPS).unwrap_err();
        assert_eq!(findings[0].code, "unknown_tool");
        assert_eq!(findings[0].suggestion.as_deref(), Some("list_folder"));
        assert_eq!(codes("{\"name\": \"x\", \"steps\": []}", STEPS).len(), 1);
        let twice = EXAMPLE.replacen("\"name\"", "\"name\": \"a\", \"name\"", 1);
        assert_eq!(codes(&twice, STEPS), ["duplicate_key"]);
    }

    #[test]
    fn a_plan_of_too_many_steps_is_refused() {
        assert_eq!(codes(EXAMPLE, 2), ["too_many_steps"]);
    }

    #[test]
    fn a_correction_repeats_the_question_the_reply_and_what_is_wrong() {
        let asked = arguments("Which logs are large?", &catalogue(), 2);
        let findings = read(EXAMPLE, &catalogue(), 2).unwrap_err();
        let again = correction(&asked, EXAMPLE, &problems(&findings));
        assert_eq!(again["system"], asked["system"]);
        assert_eq!(again["messages"][0]["content"], asked["prompt"]);
        assert_eq!(again["messages"][1]["content"], EXAMPLE);
        let stricter = again["messages"][2]["content"].as_str().unwrap();
        assert!(stricter.contains("a plan has at most 2 steps here, not 3"), "{stricter}");
        assert_eq!(correction(&asked, " ", &[])["messages"][1]["content"], "(nothing)");
    }

    #[test]
    fn what_was_said_before_is_data_also_when_a_model_is_asked_again() {
        let said = Exchange { question: "Who is it?".to_owned(), answer: "Suzuki.".to_owned() };
        let first = with_earlier(arguments("Is he well?", &catalogue(), 2), &[said]);
        assert!(first["untrusted"][0].as_str().unwrap().contains("Suzuki."), "{first}");
        assert!(!first["prompt"].as_str().unwrap().contains("Suzuki"));
        assert_eq!(correction(&first, "{}", &[])["untrusted"], first["untrusted"]);
        let alone = arguments("Is he well?", &catalogue(), 2);
        assert_eq!(with_earlier(alone.clone(), &[]), alone);
    }

    #[test]
    fn a_model_can_say_that_there_is_no_plan() {
        assert_eq!(unclear(" {\"unclear\": \"Which log?\"} ").as_deref(), Some("Which log?"));
        for reply in ["{\"unclear\": \" \"}", "{\"unclear\": \"a\", \"steps\": []}", EXAMPLE, "no"]
        {
            assert_eq!(unclear(reply), None, "{reply}");
        }
    }

    #[test]
    fn a_plan_that_wants_to_be_given_something_is_refused() {
        let reply =
            EXAMPLE.replace("\"steps\"", "\"inputs\": {\"a\": {\"type\": \"string\"}}, \"steps\"");
        assert_eq!(codes(&reply, STEPS), ["missing_input"]);
    }
}
