//! Questions in words, as they are taken in.

use perennial_query::config::AnswerBy;
use perennial_query::question::{Planned, QuestionError, cache_key, normalised, plan_question};
use perennial_query::record::{Origin, Submission};
use perennial_runtime::Clock;

use super::Queries;
use super::sharing::{under_grants, whom};
use crate::http::access::Caller;
use crate::http::error::ApiError;

/// How somebody wants a question answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// An answer to the same question may be given again, if it is one that may.
    pub(super) cache: bool,
    /// Who is to word the answer, if it matters.
    pub(super) answer_by: Option<AnswerBy>,
}

/// What is done for `question`, or what it is answered at once.
pub(super) fn prepare(
    queries: &Queries,
    question: String,
    caller: &Caller,
    wanted: Wanted,
) -> Result<Submission, ApiError> {
    let identity = caller.identity().clone();
    let Queries { planner, clock, catalogue, questions, .. } = queries;
    let planned = plan_question(planner, &question, &identity, clock.now()).map_err(refused)?;
    let by_model = questions.by_model((&question, &planned), wanted.answer_by);
    let by_model = by_model.map_err(|why| ApiError::Invalid(vec![why]))?;
    let cache_key = match &planned {
        // Nobody knows yet what a plan by a model does, and what its tools look at.
        Planned::Plan(planned) if wanted.cache && planned.shareable && !by_model.plan => {
            let whole = (&planned.plan, &planned.inputs);
            let version = queries.tools.data_version(&planned.plan);
            let key = cache_key(&question, &identity, whole, version);
            let key = key.map_err(|error| ApiError::Internal(error.to_string()))?;
            let key = if by_model.answer { format!("model/{key}") } else { key };
            let key = under_grants(key, &planned.plan, catalogue);
            let whom = whom(&planned.plan, &identity, catalogue);
            Some(whom.map_or(key.clone(), |whom| format!("{whom}/{key}")))
        }
        Planned::Plan(_) | Planned::Clarification(_) => None,
    };
    let origin = Origin::Question(question);
    Ok(Submission { identity, origin, cache_key, by_model, ..planned.submission() })
}

/// Whether two submissions are of the same question, though the words for a time in it may mean other days by
/// now.
pub(super) fn same(one: &Submission, other: &Submission) -> bool {
    match (&one.origin, &other.origin) {
        (Origin::Question(question), Origin::Question(again)) => {
            normalised(question) == normalised(again) && one.identity == other.identity
        }
        (_, _) => false,
    }
}

fn refused(error: QuestionError) -> ApiError {
    match error {
        QuestionError::Length(_) => ApiError::Malformed(error.to_string()),
        QuestionError::Denied { .. } => ApiError::Forbidden(error.to_string()),
        QuestionError::Invalid(problems) => ApiError::Invalid(problems),
    }
}
