//! What happens in a query, as documents of a stream.

use perennial_query::record::{Event, EventRow};
use perennial_query::tool::ToolError;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::time;

/// Something that happened.
#[derive(Debug, Serialize)]
pub(crate) struct QueryEvent {
    number: u64,
    at: String,
    event: &'static str,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl QueryEvent {
    pub(crate) fn new(row: &EventRow) -> Self {
        let more = match more(&row.event) {
            Value::Object(fields) => fields,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        Self { number: row.number, at: time(row.at), event: row.event.as_str(), more }
    }
}

fn more(event: &Event) -> Value {
    match event {
        Event::Accepted | Event::Started => Value::Null,
        Event::StepStarted { step, instance, attempt, tool } => {
            json!({"step": step.0, "instance": instance, "attempt": attempt, "tool": tool})
        }
        Event::AttemptFailed { step, instance, attempt, error, again_at } => json!({
            "step": step.0,
            "instance": instance,
            "attempt": attempt,
            "error": error_of(error),
            "again_at": time(*again_at),
        }),
        Event::StepEnded { step, instance, status, reason } => json!({
            "step": step.0,
            "instance": instance,
            "status": status.as_str(),
            "reason": reason,
        }),
        Event::ApprovalWanted { step, prompt, until } => {
            json!({"step": step.0, "prompt": prompt, "until": time(*until)})
        }
        Event::Decided { step, by, approved, note } => {
            json!({"step": step.0, "by": by, "approved": approved, "note": note})
        }
        Event::Paused { by } | Event::Resumed { by } | Event::Retried { by } => json!({"by": by}),
        Event::ModelAsked { attempt, purpose: _ } => json!({"attempt": attempt}),
        Event::ModelAnswered { attempt, model, reason, purpose: _ } => {
            json!({"attempt": attempt, "model": model, "reason": reason})
        }
        Event::StoodIn { step, instance, attempt, error, tool } => json!({
            "step": step.0,
            "instance": instance,
            "attempt": attempt,
            "error": error_of(error),
            "tool": tool,
        }),
        Event::Finished { outcome, reason } | Event::Ending { outcome, reason } => {
            json!({"outcome": outcome.as_str(), "reason": reason})
        }
    }
}

fn error_of(error: &ToolError) -> Value {
    json!({"kind": error.kind.as_str(), "message": error.message})
}
