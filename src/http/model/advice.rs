//! What a model thinks of an incident.

use perennial_healing::adviser::advice::{self, Opinion};
use perennial_healing::model as healing;
use serde::Serialize;

/// What came of asking a model.
#[derive(Debug, Serialize)]
pub(super) struct Advice {
    /// `given`, `refused`, `unanswered`, or what kept it from being asked: `budget_spent`, `breaker_open`, `busy`,
    /// `forbidden` or `no_evidence`.
    result: &'static str,
    /// Why there is no opinion.
    why: Option<String>,
    /// Unverified: it has passed checks of form, and none of truth.
    opinion: Option<Given>,
}

/// A model's opinion.
#[derive(Debug, Serialize)]
struct Given {
    model: String,
    cause: &'static str,
    diagnosis: String,
    confidence: f64,
    severity: healing::Severity,
    /// What it would do; nothing of it is done for that reason alone.
    action: Option<&'static str>,
    evidence: Vec<String>,
    tokens: u64,
    answer_sha256: String,
}

impl From<advice::Advice> for Advice {
    fn from(advice: advice::Advice) -> Self {
        let result = advice.as_str();
        let (why, opinion) = match advice {
            advice::Advice::Given(opinion) => (None, Some(opinion.into())),
            advice::Advice::Refused(why)
            | advice::Advice::Unanswered(why)
            | advice::Advice::NotAsked { why, .. } => (Some(why), None),
        };
        Self { result, why, opinion }
    }
}

impl From<Opinion> for Given {
    fn from(opinion: Opinion) -> Self {
        Self {
            model: opinion.model,
            cause: opinion.cause.as_str(),
            diagnosis: opinion.text,
            confidence: opinion.confidence,
            severity: opinion.severity,
            action: opinion.action.as_ref().map(healing::Action::as_str),
            evidence: opinion.evidence,
            tokens: opinion.tokens,
            answer_sha256: opinion.answer_hash,
        }
    }
}
