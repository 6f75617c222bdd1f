//! Asking a model: the effect, and what does it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use perennial_runtime::{
    Attempt, Effect, EffectError, EffectPolicy, Performer, Reconciliation, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::adviser::prompt::{self, Prompt};
use crate::adviser::{Adviser, Question};

/// What a model may take beyond its own time, so that its error can say more than that it was late.
const MARGIN: Duration = Duration::from_secs(2);

/// A question, to be asked once. What cannot be known after a crash is told as unknown and not asked again: an
/// answer costs money, and nothing waits for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AskModel {
    /// What.
    pub question: Question,
    /// The mode that says which models; empty is the default.
    pub mode: String,
    /// It writes at most so many tokens.
    pub max_tokens: u32,
    /// It may take so long.
    pub timeout: Duration,
    /// Not asked after this.
    pub expires: Timestamp,
}

impl Effect for AskModel {
    const NAME: &'static str = "ask-model";
    type Owner = Adviser;
    type Outcome = Reply;

    fn policy(&self) -> EffectPolicy {
        EffectPolicy {
            timeout: self.timeout + MARGIN,
            attempts: 1,
            expires: Some(self.expires),
            ..EffectPolicy::default()
        }
    }
}

/// What a model, or whoever asks it, says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// A model answered.
    Answered(Answer),
    /// None answered; what was tried, and why not.
    Silent(String),
}

/// A model's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which one it was.
    pub model: String,
    /// All that it wrote.
    pub text: String,
    /// Read and written, also by those that it stood in for.
    pub tokens: u64,
}

/// Asks language models, those that there are, one in place of the other.
pub trait Model: Send + Sync + 'static {
    /// Asks once. What is in `prompt.data` must be marked as no instruction. Dropped when it is late.
    fn ask<'a>(&'a self, prompt: &'a Prompt) -> BoxFuture<'a, Reply>;
}

/// Asks what the Adviser has decided to ask.
#[derive(Clone)]
pub struct ModelPerformer(Arc<dyn Model>);

impl fmt::Debug for ModelPerformer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ModelPerformer").finish_non_exhaustive()
    }
}

impl ModelPerformer {
    /// Asks `model`.
    #[must_use]
    pub fn new(model: Arc<dyn Model>) -> Self {
        Self(model)
    }
}

impl Performer<AskModel> for ModelPerformer {
    async fn perform(&self, effect: &AskModel, attempt: &Attempt) -> Result<Reply, EffectError> {
        Ok(self.0.ask(&prompt::render(effect, attempt)).await)
    }

    async fn reconcile(&self, _: &AskModel, _: &Attempt) -> Reconciliation<Reply> {
        let why =
            "the node ended, or lost patience, while a model was asked; it is not asked again";
        Reconciliation::Unknown(why.to_owned())
    }
}
