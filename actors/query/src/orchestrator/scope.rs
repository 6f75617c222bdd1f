//! What the expressions of a step see.

use perennial_runtime::{Failure, Turn};
use serde_json::{Map, Value, json};

use super::{Orchestrator, Query};
use crate::plan::OnFailure;
use crate::record::{STEPS, StepRow, StepStatus, step_number};

/// Where a step stands among its repetitions, as its expressions see it.
#[derive(Clone, Debug)]
pub(super) enum Around {
    /// It is not repeated.
    Once,
    /// For one element of a list.
    Element { item: Value, index: usize, length: usize },
    /// As long as a condition holds; what the time before resulted in.
    Iteration { index: usize, last: Value },
}

impl Orchestrator {
    /// The names that the expressions of step `at` can use.
    pub(super) fn scope(
        &self,
        query: &Query,
        at: usize,
        around: &Around,
        turn: &Turn<'_, Self>,
    ) -> Result<Value, Failure> {
        let mut seen: Vec<usize> = query.graph.refers[at].iter().copied().collect();
        if matches!(query.step(at).on_failure, OnFailure::Fallback(_)) {
            // What stands in may look at why it has to.
            seen.push(at);
        }
        let mut scope = common(query, turn);
        scope.insert("steps".to_owned(), results(query, &seen, turn)?);
        match around {
            Around::Once => {}
            Around::Element { item, index, length } => {
                scope.insert("item".to_owned(), item.clone());
                let place = json!({
                    "index": index,
                    "position": index + 1,
                    "length": length,
                    "remaining": length - index - 1,
                    "first": *index == 0,
                    "last": index + 1 == *length,
                });
                scope.insert("loop".to_owned(), place);
            }
            Around::Iteration { index, last } => {
                scope.insert("last".to_owned(), last.clone());
                scope.insert("loop".to_owned(), json!({"index": index, "position": index + 1}));
            }
        }
        Ok(Value::Object(scope))
    }

    /// The names that outputs and the answer can use: all steps.
    pub(super) fn whole_scope(
        &self,
        query: &Query,
        turn: &Turn<'_, Self>,
    ) -> Result<Value, Failure> {
        let all: Vec<usize> = (0..query.plan().steps.len()).collect();
        let mut scope = common(query, turn);
        scope.insert("steps".to_owned(), results(query, &all, turn)?);
        Ok(Value::Object(scope))
    }
}

fn common(query: &Query, turn: &Turn<'_, Orchestrator>) -> Map<String, Value> {
    let mut scope = Map::new();
    scope.insert("inputs".to_owned(), query.submission.inputs.0.clone());
    scope.insert("now".to_owned(), Value::from(turn.now().as_micros() / 1_000_000));
    scope.insert("query".to_owned(), json!({"id": turn.key(), "name": query.plan().name}));
    scope
}

fn results(
    query: &Query,
    steps: &[usize],
    turn: &Turn<'_, Orchestrator>,
) -> Result<Value, Failure> {
    let mut results = Map::new();
    for at in steps {
        if let Some(row) = turn.get(&STEPS, &(turn.key(), step_number(*at, None)))? {
            results.insert(query.step(*at).id.0.clone(), seen(row));
        }
    }
    Ok(Value::Object(results))
}

/// What others see of a step. One that has no result has none here, so that referring to it is an error.
fn seen(row: StepRow) -> Value {
    let citations: Vec<Value> =
        row.citations.iter().map(|citation| json!({"id": citation.id, "source": citation.source, "place": citation.place})).collect();
    let mut seen = json!({
        "status": row.status.as_str(),
        "success": row.status == StepStatus::Succeeded,
        "skipped": row.status == StepStatus::Skipped,
        "attempts": row.attempts,
        "citations": citations,
        "error": row.error.map(|error| json!({"kind": error.kind.as_str(), "message": error.message})),
    });
    if let (Some(result), Some(fields)) = (row.result, seen.as_object_mut()) {
        fields.insert("result".to_owned(), result.0);
    }
    seen
}
