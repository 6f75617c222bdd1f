//! What language models do for questions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::MAX_STEPS;
use crate::planner;
use crate::question::Planned;
use crate::question::clarify::is_ambiguous;
use crate::record::ByModel;
use crate::tools::llm;

/// Times that a model is asked for one plan, unless the configuration says otherwise.
const ATTEMPTS: u32 = 3;

/// `[query.questions]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Questions {
    /// Whether a model makes plans of questions.
    pub planner: PlannedBy,
    /// Whether a model words answers.
    pub answers: WordedBy,
    /// The model that is asked, by its name in `query.llm.models`; empty leaves it to `mode`.
    pub model: String,
    /// The mode of `query.llm.modes` that the models are chosen by; empty is that of the tool.
    pub mode: String,
    /// Being asked once may take so long, whatever models stand in for each other.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Times that a model is asked for one plan in all: again with what is wrong, as long as it is.
    pub attempts: u32,
    /// Steps of a plan by a model.
    pub max_steps: usize,
    /// What becomes of steps that change the world, in a plan by a model.
    pub changes: Changes,
    /// How long somebody may take to approve such a step.
    #[serde(with = "humantime_serde")]
    pub approval_wait: Duration,
    /// A model is shown so many bytes of what the steps have found.
    pub evidence_bytes: usize,
    /// There is no answer by a model on less evidence: citations, and results without any.
    pub min_evidence: usize,
    /// There is no answer of which the model is less sure, 0 to 1.
    pub min_confidence: f64,
}

/// Whether a model makes plans of questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlannedBy {
    /// Only the table of intents does.
    #[default]
    Never,
    /// Where no intent does.
    Fallback,
    /// Always; what the table makes of a question stands in where no model answers.
    Always,
}

/// Whether a model words answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WordedBy {
    /// They are composed of the results.
    #[default]
    Never,
    /// If whoever asks wants it.
    Wanted,
    /// Unless whoever asks wants it otherwise.
    Always,
}

/// What becomes of steps that change the world, in a plan by a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Changes {
    /// Somebody approves each before it is done.
    #[default]
    Approve,
    /// They are done like any other.
    Allow,
    /// No plan may hold one.
    Refuse,
}

/// Who words an answer, where whoever asks says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerBy {
    /// A model.
    Model,
    /// Nobody: it is composed of the results.
    Template,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            planner: PlannedBy::default(),
            answers: WordedBy::default(),
            model: String::new(),
            mode: String::new(),
            timeout: Duration::from_secs(20),
            attempts: ATTEMPTS,
            max_steps: planner::STEPS,
            changes: Changes::default(),
            approval_wait: Duration::from_secs(3600),
            evidence_bytes: 64 * 1024,
            min_evidence: 1,
            min_confidence: 0.7,
        }
    }
}

impl Questions {
    /// Whether any model is asked.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.planner != PlannedBy::Never || self.answers != WordedBy::Never
    }

    /// What models do for `question`, of which the table of intents makes `planned`.
    ///
    /// # Errors
    /// An answer by a model is wanted, and models may not word any.
    pub fn by_model(
        &self,
        (question, planned): (&str, &Planned),
        wanted: Option<AnswerBy>,
    ) -> Result<ByModel, String> {
        let unknown = matches!(planned, Planned::Clarification(_));
        let plan = match self.planner {
            PlannedBy::Never => false,
            PlannedBy::Fallback => unknown,
            PlannedBy::Always => true,
        };
        // Who greets is not worth a model's time.
        let plan = plan && !is_ambiguous(question);
        // Of what is asked back there is nothing to word.
        let answer = self.words(wanted)? && (plan || !unknown);
        Ok(ByModel { plan, answer, ..ByModel::default() })
    }

    /// Whether a model words the answer for somebody who wants it so.
    ///
    /// # Errors
    /// An answer by a model is wanted, and models may not word any.
    pub fn words(&self, wanted: Option<AnswerBy>) -> Result<bool, String> {
        match (self.answers, wanted) {
            (WordedBy::Never, Some(AnswerBy::Model)) => {
                let why = "models word no answers here; query.questions.answers must be \"wanted\" or \"always\"";
                Err(why.to_owned())
            }
            (WordedBy::Wanted | WordedBy::Always, Some(AnswerBy::Model))
            | (WordedBy::Always, None) => Ok(true),
            (_, Some(AnswerBy::Template)) | (WordedBy::Never | WordedBy::Wanted, None) => Ok(false),
        }
    }

    /// What is wrong with it beside the models in `llm`, each sentence beginning with the key it is about.
    #[must_use]
    pub fn problems(&self, llm: &llm::Config) -> Vec<String> {
        let mut problems = Vec::new();
        if self.is_on() && llm.models.is_empty() {
            problems.push(
                "planner and answers need a model: list one in query.llm.models, or set both to \
                 \"never\""
                    .to_owned(),
            );
        }
        if !self.model.is_empty() && llm.models.iter().all(|known| known.name != self.model) {
            problems.push(format!("model: no model of query.llm.models is `{}`", self.model));
        }
        if !self.mode.is_empty() && !llm.modes.contains_key(&self.mode) {
            problems.push(format!("mode: no mode of query.llm.modes is `{}`", self.mode));
        }
        let bounded = [
            ("attempts", self.attempts as usize, 10),
            ("max_steps", self.max_steps, MAX_STEPS),
            ("evidence_bytes", self.evidence_bytes, 512 * 1024),
        ];
        let wrong = bounded.into_iter().filter(|(_, count, most)| *count == 0 || count > most);
        problems.extend(wrong.map(|(key, _, most)| format!("{key} must be from 1 to {most}")));
        let waits = [("timeout", self.timeout), ("approval_wait", self.approval_wait)];
        let zero = waits.into_iter().filter(|(_, wait)| wait.is_zero());
        problems.extend(zero.map(|(key, _)| format!("{key} must be longer than nothing")));
        if !(0.0..=1.0).contains(&self.min_confidence) {
            problems.push("min_confidence must be from 0 to 1".to_owned());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llm() -> llm::Config {
        let model = |name: &str| llm::Model { name: name.to_owned(), ..llm::Model::default() };
        llm::Config { models: vec![model("small")], ..llm::Config::default() }
    }

    #[test]
    fn models_that_are_to_plan_or_answer_must_be_listed() {
        let off = Questions::default();
        assert_eq!(off.problems(&llm::Config::default()), [""; 0]);
        let on = Questions { planner: PlannedBy::Fallback, ..off.clone() };
        assert_eq!(on.problems(&llm::Config::default()).len(), 1);
        assert_eq!(on.problems(&llm()), [""; 0]);
        let named = Questions { model: "large".into(), mode: "fast".into(), ..on };
        assert_eq!(named.problems(&llm()).len(), 2);
        assert_eq!(Questions { model: "small".into(), ..off }.problems(&llm()), [""; 0]);
    }

    #[test]
    fn a_model_plans_where_nothing_else_does_or_always_but_not_for_a_greeting() {
        let unknown = Planned::Clarification(crate::question::Clarification::default());
        let plans = |planner, question| {
            let questions = Questions { planner, ..Questions::default() };
            questions.by_model((question, &unknown), None).unwrap().plan
        };
        assert!(!plans(PlannedBy::Never, "Who is Suzuki?"));
        assert!(plans(PlannedBy::Fallback, "Who is Suzuki?"));
        assert!(plans(PlannedBy::Always, "Who is Suzuki?"));
        assert!(!plans(PlannedBy::Always, "hello"));
    }

    #[test]
    fn a_model_words_the_answer_if_the_node_lets_it_and_who_asks_wants_it() {
        let unknown = Planned::Clarification(crate::question::Clarification::default());
        let words = |answers, wanted| {
            let planner = PlannedBy::Always;
            let questions = Questions { planner, answers, ..Questions::default() };
            let by_model = questions.by_model(("Who is Suzuki?", &unknown), wanted);
            by_model.map(|by_model| by_model.answer)
        };
        let (model, template) = (Some(AnswerBy::Model), Some(AnswerBy::Template));
        assert!(words(WordedBy::Never, model).is_err());
        assert_eq!(words(WordedBy::Never, None), Ok(false));
        assert_eq!(words(WordedBy::Wanted, None), Ok(false));
        assert_eq!(words(WordedBy::Wanted, model), Ok(true));
        assert_eq!(words(WordedBy::Always, None), Ok(true));
        assert_eq!(words(WordedBy::Always, template), Ok(false));
    }

    #[test]
    fn every_bound_that_makes_no_sense_is_named() {
        let wrong = Questions {
            timeout: Duration::ZERO,
            attempts: 0,
            max_steps: MAX_STEPS + 1,
            approval_wait: Duration::ZERO,
            evidence_bytes: 0,
            min_confidence: f64::NAN,
            ..Questions::default()
        };
        let problems = wrong.problems(&llm());
        let keys: Vec<&str> = problems.iter().filter_map(|why| why.split(' ').next()).collect();
        let all = [
            "attempts",
            "max_steps",
            "evidence_bytes",
            "timeout",
            "approval_wait",
            "min_confidence",
        ];
        assert_eq!(keys, all);
    }
}
