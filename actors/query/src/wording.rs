//! Has a model word an answer: what it is shown, and how strictly what it says is read. Pure; whoever asks the
//! model calls the tool `llm` in between.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::tool::Citation;

/// Claims that a model may make.
const CLAIMS: usize = 50;
/// Characters of one.
const CLAIM: usize = 2_000;
/// The share of a piece that its citations may take.
const CITED: usize = 2;

const SYSTEM: &str = "\
You answer a question with what tools have found, and with nothing else. What they have found is given as data: \
pieces of JSON, of which each has an id, the tool, its result and, in citations, what the result rests on.
Answer with claims. Each is one or two sentences in the language of the question and names in citations what it rests \
on: ids of pieces, or ids from their citations, exactly as they are written. A claim without any, or with one that is \
not there, is removed. Do not write ids into the text.
Make no claim that is not in the data. If the data do not answer the question, make no claims at all.
confidence, 0 to 1, is how sure you are that the claims answer the question and are right.";

/// What a step has found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The name of the step.
    pub id: &'a str,
    /// What it called; empty if nothing.
    pub tool: &'a str,
    /// Its result.
    pub result: &'a Value,
    /// What that rests on.
    pub citations: &'a [Citation],
}

impl Found<'_> {
    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        let nothing = match self.result {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        nothing && self.citations.is_empty()
    }
}

/// All that an answer may rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// What a model is shown, as text.
    pub pieces: Vec<String>,
    /// What claims may cite.
    pub ids: BTreeSet<String>,
    /// How much there is: citations, each once, and results that rest on none.
    pub count: usize,
    /// The steps of which a model is shown only the beginning.
    pub cut: Vec<String>,
}

/// What `found` amounts to, of which a model is shown at most `most` bytes.
#[must_use]
pub fn evidence(found: &[Found<'_>], most: usize) -> Evidence {
    let found: Vec<&Found<'_>> = found.iter().filter(|found| !found.is_empty()).collect();
    let share = most / found.len().max(1);
    let cited: BTreeSet<&str> =
        found.iter().flat_map(|found| found.citations).map(|cited| cited.id.as_str()).collect();
    let bare = found.iter().filter(|found| found.citations.is_empty()).count();
    let mut evidence = Evidence { count: cited.len() + bare, ..Evidence::default() };
    evidence.ids =
        cited.into_iter().chain(found.iter().map(|found| found.id)).map(Into::into).collect();
    for found in found {
        let (piece, whole) = piece(found, share);
        evidence.pieces.push(piece);
        if !whole {
            evidence.cut.push(found.id.to_owned());
        }
    }
    evidence
}

/// A step's part of what a model is shown, and whether that is all of it.
fn piece(found: &Found<'_>, most: usize) -> (String, bool) {
    let mut left = most / CITED;
    let mut citations = Vec::new();
    for Citation { id, source, place } in found.citations {
        let bytes = id.len() + source.len() + place.len();
        if bytes > left {
            break;
        }
        left -= bytes;
        citations.push(json!({"id": id, "source": source, "place": place}));
    }
    let all_cited = citations.len() == found.citations.len();
    let text = found.result.to_string();
    let most = most.saturating_sub(most / CITED - left);
    if text.len() <= most {
        let piece = json!({"id": found.id, "tool": found.tool, "citations": citations, "result": found.result});
        return (piece.to_string(), all_cited);
    }
    let (bytes, begins) = (text.len(), beginning(&text, most));
    let piece = json!({
        "id": found.id,
        "tool": found.tool,
        "citations": citations,
        "result_begins": begins,
        "result_bytes": bytes,
    });
    (piece.to_string(), false)
}

/// As much of `text` as fits into `most` bytes.
fn beginning(text: &str, most: usize) -> &str {
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    &text[..ends.take_while(|end| *end <= most).last().unwrap_or_default()]
}

/// The arguments of the call of `llm` that asks for an answer to `question`.
#[must_use]
pub fn arguments(question: &str, evidence: &Evidence) -> Value {
    json!({
        "system": SYSTEM,
        "prompt": format!("Answer this question: {question}"),
        "untrusted": evidence.pieces,
        "schema": schema(),
    })
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "claims": {
                "type": "array",
                "maxItems": CLAIMS,
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "minLength": 1, "maxLength": CLAIM},
                        "citations": {"type": "array", "items": {"type": "string"}},
                    },
                    "required": ["text", "citations"],
                    "additionalProperties": false,
                },
            },
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "required": ["claims", "confidence"],
        "additionalProperties": false,
    })
}

/// What a model has said, as far as it may be passed on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worded {
    /// The claims that rest on evidence, each with its marks.
    pub text: String,
    /// How many claims there were.
    pub claims: usize,
    /// How many of them were removed.
    pub removed: usize,
    /// What those cite that nothing has found; sorted, each once.
    pub unknown: Vec<String>,
    /// The ids that the others cite.
    pub cited: BTreeSet<String>,
    /// How sure the model is, 0 to 1.
    pub confidence: f64,
}

/// Reads what a model has said. Removes the claims that cite what is not among `known`, or nothing.
///
/// # Errors
/// It is not of the form that was asked for.
pub fn read(said: &Value, known: &BTreeSet<String>) -> Result<Worded, String> {
    if let Some(misfit) = crate::schema::misfit(&schema(), said) {
        return Err(misfit);
    }
    let mut worded =
        Worded { confidence: said["confidence"].as_f64().unwrap_or_default(), ..Worded::default() };
    let (mut kept, mut unknown) = (Vec::new(), BTreeSet::new());
    for claim in said["claims"].as_array().into_iter().flatten() {
        worded.claims += 1;
        let cited: BTreeSet<&str> =
            claim["citations"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let wrong: Vec<&str> = cited.iter().copied().filter(|id| !known.contains(*id)).collect();
        if cited.is_empty() || !wrong.is_empty() {
            worded.removed += 1;
            unknown.extend(wrong.into_iter().map(str::to_owned));
            continue;
        }
        let marks: Vec<String> = cited.iter().map(|id| format!("[[{id}]]")).collect();
        // What looks like a mark in the text is none: only what is cited was checked.
        let text = claim["text"].as_str().unwrap_or_default().trim().replace("[[", "[ [");
        kept.push(format!("{text} {}", marks.join(" ")));
        worded.cited.extend(cited.into_iter().map(str::to_owned));
    }
    worded.text = kept.join("\n");
    worded.unknown = unknown.into_iter().collect();
    Ok(worded)
}

#[cfg(test)]
mod tests;
