//! What a model is shown of an incident, and in which form it has to answer. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use perennial_runtime::{Attempt, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::adviser::Question;
use crate::adviser::advice::Cause;
use crate::adviser::ask::AskModel;
use crate::analyzer::evidence::one_line;
use crate::analyzer::incident::Incident;
use crate::model::{Diagnosis, Evidence, Severity, Verdict};

/// Bytes of log that are shown: the last lines that fit.
const LOG_BYTES: usize = 12 * 1024;
/// Bytes of what the engine shows.
const INSPECT_BYTES: usize = 6 * 1024;
/// Characters of the diagnosis in an answer.
pub const TEXT_CHARS: usize = 1000;
/// Pieces of evidence that an answer may name.
pub const MOST_IDS: usize = 10;
/// What an answer may propose.
pub const PROPOSALS: [&str; 6] = ["none", "restart", "start", "stop", "scale", "cleanup"];

const SYSTEM: &str = "\
You look for the cause of a fault in a container. You are given facts that a monitoring program measured, and data \
that the container or its operator wrote: names, settings and the end of its log. Rules have judged already; people \
read your answer beside theirs.
Say what the evidence shows and nothing else. Name under evidence the ids of what your diagnosis rests on, exactly as \
they are written before each line. confidence, 0 to 1, is how sure you are that your diagnosis is right. action is \
what you would do with this container; it is a proposal that rules and limits decide on, and none is a good answer. \
If the evidence does not tell, the cause is unknown.";

/// A question in the form in which a model is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The same whenever the same question is asked.
    pub key: String,
    /// On whose behalf, for budgets and logs.
    pub label: String,
    /// The mode that says which models; empty is the default.
    pub mode: String,
    /// What it is told before all else: what to do, and the form of the answer.
    pub system: String,
    /// What it is asked: the node's own words.
    pub text: String,
    /// What others wrote. To be marked as no instruction.
    pub data: Vec<String>,
    /// It writes at most so many tokens.
    pub max_tokens: u32,
    /// It may take so long.
    pub timeout: Duration,
    /// An answer after this is of no use.
    pub until: Timestamp,
}

/// How `effect` is put to a model.
pub(super) fn render(effect: &AskModel, attempt: &Attempt) -> Prompt {
    let question = &effect.question;
    Prompt {
        key: attempt.key.to_string(),
        label: format!("{}/model", question.incident),
        mode: effect.mode.clone(),
        system: system(),
        text: question.facts.clone(),
        data: question.data.clone(),
        max_tokens: effect.max_tokens,
        timeout: effect.timeout,
        until: attempt.now + effect.timeout,
    }
}

fn system() -> String {
    format!(
        "{SYSTEM}\nAnswer with one JSON object and nothing else: no words before or after it, and no code fences. It \
         must fit this JSON Schema: {}",
        schema()
    )
}

/// The form of an answer. What it cannot say is checked as well: that the evidence named was shown.
fn schema() -> Value {
    let severities = [Severity::Info, Severity::Warning, Severity::Critical].map(Severity::as_str);
    json!({
        "type": "object",
        "properties": {
            "cause": {"enum": Cause::ALL.map(Cause::as_str)},
            "diagnosis": {"type": "string", "minLength": 1, "maxLength": TEXT_CHARS},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "severity": {"enum": severities},
            "action": {"enum": PROPOSALS},
            "evidence": {"type": "array", "maxItems": MOST_IDS, "items": {"type": "string"}},
        },
        "required": ["cause", "diagnosis", "confidence", "severity", "action", "evidence"],
        "additionalProperties": false,
    })
}

impl Question {
    /// What there is to ask of `incident`, which the rules have given `diagnosis`.
    #[must_use]
    pub fn new(
        incident: &Incident,
        diagnosis: &Diagnosis,
        evidence: &Evidence,
        basis: String,
    ) -> Self {
        let mut ids = Vec::new();
        let facts = facts(incident, diagnosis, &mut ids);
        let data = vec![names(incident), settings(evidence, &mut ids), log(evidence, &mut ids)];
        Self {
            incident: incident.id.clone(),
            container: incident.subject.id.clone(),
            basis,
            facts,
            data: data.into_iter().filter(|piece| !piece.is_empty()).collect(),
            ids,
        }
    }

    /// Everything that a model reads, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let data: usize = self.data.iter().map(String::len).sum();
        system().len() + self.facts.len() + data
    }

    /// SHA-256 of all that is asked, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> String {
        let system = system();
        let parts = [system.as_str(), self.facts.as_str()].into_iter();
        hash(parts.chain(self.data.iter().map(String::as_str)))
    }
}

/// SHA-256 of texts, none of which can pass for two, in hexadecimal.
pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

/// What was measured, and what the rules made of it: no word of it is the container's.
fn facts(incident: &Incident, diagnosis: &Diagnosis, ids: &mut Vec<String>) -> String {
    let facts = &incident.facts;
    let mut lines = vec!["What is wrong:".to_owned()];
    for symptom in &incident.active {
        let id = format!("symptom:{}", symptom.kind.as_str());
        let (severity, actual) = (symptom.severity.as_str(), symptom.actual);
        lines.push(format!("{id} {severity}, measured {actual}, limit {}", symptom.threshold));
        ids.push(id);
    }
    for kind in incident.gone() {
        lines.push(format!("(no longer: {})", kind.as_str()));
    }
    lines.push("What was measured:".to_owned());
    let share = |share: f64| format!("{:.0} %", share * 100.0);
    let measured = [
        ("status", Some(format!("{:?}", facts.status).to_lowercase())),
        ("health", Some(format!("{:?}", facts.health).to_lowercase())),
        ("exit_code", facts.exit_code.map(|code| code.to_string())),
        ("killed_for_memory", Some(facts.oom_killed.to_string())),
        ("restarts_in_window", Some(facts.restarts_in_window.to_string())),
        ("cpu", facts.cpu.map(share)),
        ("memory", facts.memory.map(share)),
        ("memory_limit_bytes", facts.memory_limit.map(|bytes| bytes.to_string())),
        ("runs_once", Some(facts.one_shot.to_string())),
    ];
    for (name, value) in measured {
        let Some(value) = value else { continue };
        let id = format!("fact:{name}");
        lines.push(format!("{id} {value}"));
        ids.push(id);
    }
    let (rule, confidence) = (&diagnosis.rule, diagnosis.confidence);
    let verdict = match &diagnosis.verdict {
        Verdict::Remediate(action) => format!("{} is asked for", action.as_str()),
        Verdict::FalseAlarm => "nothing is wrong".to_owned(),
        Verdict::InsufficientEvidence(_) => "there is not enough evidence".to_owned(),
        Verdict::NoSafeAction(_) => "no action is safe".to_owned(),
    };
    lines.push(format!("The rules' diagnosis: {rule} ({confidence:.2}), {verdict}."));
    lines.join("\n")
}

fn names(incident: &Incident) -> String {
    let subject = &incident.subject;
    let own = [
        ("container", Some(&subject.name)),
        ("image", Some(&subject.image)),
        ("project", subject.project.as_ref()),
        ("service", subject.service.as_ref()),
    ];
    let known = own.into_iter().filter_map(|(name, text)| Some((name, text?)));
    known.map(|(name, text)| format!("{name}: {}", one_line(text))).collect::<Vec<_>>().join("\n")
}

fn settings(evidence: &Evidence, ids: &mut Vec<String>) -> String {
    let all = evidence.inspect.iter().map(|(name, value)| (format!("inspect:{name}"), value));
    let mut lines = Vec::new();
    let mut room = INSPECT_BYTES;
    for (id, value) in all {
        let line = format!("{id} {value}");
        if line.len() > room {
            continue;
        }
        room -= line.len();
        lines.push(line);
        ids.push(id);
    }
    lines.join("\n")
}

/// The last lines, numbered as they are in the journal, from 1.
fn log(evidence: &Evidence, ids: &mut Vec<String>) -> String {
    let mut lines = Vec::new();
    let mut room = LOG_BYTES;
    for (number, text) in (1..).zip(&evidence.log).collect::<Vec<(usize, _)>>().into_iter().rev() {
        let line = format!("log:{number} {text}");
        if line.len() > room {
            break;
        }
        room -= line.len();
        ids.push(format!("log:{number}"));
        lines.push(line);
    }
    lines.reverse();
    lines.join("\n")
}
