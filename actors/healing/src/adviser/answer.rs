//! Reads what a model answered: strictly, for anybody may have had a hand in it. Pure.

use serde::Deserialize;

use crate::adviser::Question;
use crate::adviser::advice::{Cause, Opinion};
use crate::adviser::ask::Answer;
use crate::adviser::prompt::{MOST_IDS, PROPOSALS, TEXT_CHARS, hash};
use crate::analyzer::evidence::one_line;
use crate::model::{Action, Severity};

/// Characters of a model's words that are repeated where they are refused.
const SAID: usize = 200;

/// Names are texts here: an enum would be read from an object as well.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    cause: String,
    diagnosis: String,
    confidence: f64,
    severity: String,
    action: String,
    evidence: Vec<String>,
}

/// The one of `all` that is called `name`.
fn named<T: Clone>(
    what: &str,
    name: &str,
    all: &[T],
    as_str: impl Fn(&T) -> &'static str,
) -> Result<T, String> {
    let found = all.iter().find(|one| as_str(one) == name).cloned();
    let known = || all.iter().map(&as_str).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("gave as {what} `{}`, and not one of {}", short(name), known()))
}

/// What a model may propose: never a command of its own.
fn proposed(name: &str) -> Result<Option<Action>, String> {
    named("action", name, &PROPOSALS, |one| one)?;
    Ok(Action::ALL.into_iter().find(|action| action.as_str() == name))
}

/// The beginning of what a model said, on one line, without secrets.
fn short(text: &str) -> String {
    one_line(text).chars().take(SAID).collect()
}

/// The opinion that `answer` to `question` is.
///
/// # Errors
/// Why it is none, with the beginning of what it said.
pub fn read(answer: &Answer, question: &Question) -> Result<Opinion, String> {
    let refused =
        |why: String| format!("`{}` {why}; it said: {}", answer.model, short(&answer.text));
    let text = answer.text.trim();
    // A list would be read as an object whose fields come in this order.
    let form: Form = match text.starts_with('{') {
        true => serde_json::from_str(text).map_err(|error| error.to_string()),
        false => Err("it is no JSON object".to_owned()),
    }
    .map_err(|error| refused(format!("gave no answer of the form asked for: {error}")))?;
    let cause = named("cause", &form.cause, &Cause::ALL, |cause| cause.as_str());
    let cause = cause.map_err(refused)?;
    let severities = [Severity::Info, Severity::Warning, Severity::Critical];
    let severity = named("severity", &form.severity, &severities, |severity| severity.as_str());
    let severity = severity.map_err(refused)?;
    let action = proposed(&form.action).map_err(refused)?;
    if !(0.0..=1.0).contains(&form.confidence) {
        return Err(refused(format!(
            "gave a confidence of {}, which is not from 0 to 1",
            form.confidence
        )));
    }
    let length = form.diagnosis.chars().count();
    if form.diagnosis.trim().is_empty() || length > TEXT_CHARS {
        return Err(refused(format!(
            "gave a diagnosis of {length} characters, and 1 to {TEXT_CHARS} are in order"
        )));
    }
    if form.evidence.len() > MOST_IDS {
        let why = format!("named {} pieces of evidence, over {MOST_IDS}", form.evidence.len());
        return Err(refused(why));
    }
    if let Some(stranger) = form.evidence.iter().find(|id| !question.ids.contains(id)) {
        let why = format!("named evidence that it was not shown: {}", short(stranger));
        return Err(refused(why));
    }
    Ok(Opinion {
        model: answer.model.clone(),
        cause,
        text: sentences(&form.diagnosis),
        confidence: form.confidence,
        severity,
        action,
        evidence: form.evidence,
        tokens: answer.tokens,
        answer_hash: hash([answer.text.as_str()]),
    })
}

/// The text on one line, cleaned and redacted piece by piece: what cleans keeps a bounded part of each.
fn sentences(text: &str) -> String {
    let lines = text.lines().map(one_line).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}
