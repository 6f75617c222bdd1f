//! How a query ends, and with what.

use serde_json::{Map, Value};

use super::ending::MAX_RESULT_BYTES;
use crate::json::Json;
use crate::question::answer::{Checked, check_claims};
use crate::record::{Answer, Outcome};
use crate::tool::Citation;

/// How a query ends, and with what.
pub(super) struct Conclusion {
    pub(super) outcome: Outcome,
    pub(super) reason: String,
    pub(super) outputs: Map<String, Value>,
    pub(super) answer: Option<Answer>,
    /// What is not wrong but should be known.
    pub(super) warnings: Vec<String>,
}

impl Conclusion {
    /// Takes the answer in, without what it claims on evidence that no step has found.
    pub(super) fn claim(&mut self, mut answer: Answer) {
        let known = answer.citations.iter().map(|citation| citation.id.as_str()).collect();
        let Checked { text, unknown } = check_claims(&answer.text, &known);
        answer.text = text;
        if !unknown.is_empty() {
            let ids = unknown.join(", ");
            let warning =
                format!("removed from the answer: claims on {ids}, which no step has found");
            self.warnings.push(warning);
            if answer.text.is_empty() && self.is_answered() {
                self.outcome = Outcome::Abstained;
                self.reason = format!("all of the answer rests on {ids}, which no step has found");
                return;
            }
        }
        self.answer = Some(answer);
    }

    /// Whether who asked is to be told that there is an answer.
    fn is_answered(&self) -> bool {
        matches!(self.outcome, Outcome::Succeeded | Outcome::Degraded)
    }

    /// Something of the result is not there. Who is told of success must find all of it.
    pub(super) fn wanting(&mut self, why: &str) {
        if self.is_answered() {
            self.outcome = Outcome::Failed;
            why.clone_into(&mut self.reason);
        }
    }

    /// What cannot be stored must not keep the query from ending.
    pub(super) fn bound(&mut self) {
        let outputs = Json(Value::Object(self.outputs.clone())).bytes();
        let cited =
            |citation: &Citation| citation.id.len() + citation.source.len() + citation.place.len();
        let answer = self.answer.as_ref().map_or(0, |answer| {
            answer.text.len() + answer.citations.iter().map(cited).sum::<usize>()
        });
        if outputs + answer > MAX_RESULT_BYTES {
            self.outputs.clear();
            self.answer = None;
            let bytes = outputs + answer;
            self.wanting(&format!("its result has {bytes} bytes, over {MAX_RESULT_BYTES}"));
        }
    }
}
