//! What an Orchestrator has language models do: a plan before there are steps, and an answer after them. What
//! came of asking is a row before anything is made of it, so nothing is asked again after a crash.

mod answering;
mod planning;

use perennial_runtime::{Failure, Turn};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ending::bounded;
use super::{Orchestrator, Phase, Query};
use crate::json::Json;
use crate::metrics;
use crate::plan::StepId;
use crate::record::{Event, MODEL_CALLS, ModelCall, Origin, Outcome, Purpose};
use crate::roles::ADMIN;
use crate::tool::{Identity, ToolAnswer, ToolError};
use crate::tools::llm;
use crate::worker::{CallId, Order, ToolWorker, WorkerMessage};

/// In the id of a call, in place of the place of a step: a model is asked for a plan.
const PLAN: u32 = u32::MAX;
/// The same, for an answer.
const ANSWER: u32 = u32::MAX - 1;

/// What models are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Consulting {
    /// What is wanted of a model before anything else; stays if none gave it, so that it is what is done when the
    /// query is begun again.
    wanted: Option<Purpose>,
    /// A call is under way.
    calling: bool,
    /// Times that one was asked for what is wanted, since the query was begun.
    attempt: u32,
    /// Times that one was asked, in all.
    calls: u32,
    /// Why the plan is not by a model, though it was to be: the query can end no better than degraded.
    stood_in: Option<String>,
}

impl Consulting {
    /// Whether something is wanted of a model that none has given.
    pub(super) fn is_open(&self) -> bool {
        self.wanted.is_some()
    }

    fn want(&mut self, purpose: Option<Purpose>) {
        (self.wanted, self.calling, self.attempt) = (purpose, false, 0);
    }
}

const fn place(purpose: Purpose) -> u32 {
    match purpose {
        Purpose::Plan => PLAN,
        Purpose::Answer => ANSWER,
    }
}

/// What a call to `step`, or to what stands in its place, is made for.
pub(super) const fn purpose(step: u32) -> Option<Purpose> {
    match step {
        PLAN => Some(Purpose::Plan),
        ANSWER => Some(Purpose::Answer),
        _ => None,
    }
}

impl Orchestrator {
    /// Has a model make the plan before anything is done.
    pub(super) fn want_plan(&mut self) {
        self.consulting.want(Some(Purpose::Plan));
        self.steps.clear();
    }

    /// Asks a model if that comes next. Returns whether steps may be done: nothing is wanted of a model.
    pub(super) fn consult(&mut self, turn: &mut Turn<'_, Self>) -> Result<bool, Failure> {
        let Some(purpose) = self.consulting.wanted else { return Ok(true) };
        if self.phase == Phase::Running && !self.consulting.calling {
            self.ask_model(purpose, turn)?;
        }
        Ok(!self.consulting.is_open())
    }

    fn ask_model(&mut self, purpose: Purpose, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let query = self.query(turn)?;
        let mut arguments = match purpose {
            Purpose::Plan => self.plan_arguments(&query, turn)?,
            Purpose::Answer => self.answer_arguments(&query, turn)?,
        };
        let settings = turn.settings();
        for (name, value) in
            [("model", &settings.questions.model), ("mode", &settings.questions.mode)]
        {
            if !value.is_empty() {
                arguments[name] = Value::from(value.as_str());
            }
        }
        self.consulting.attempt += 1;
        self.consulting.calls += 1;
        self.consulting.calling = true;
        let attempt = self.consulting.attempt;
        let asked_at = turn.now();
        let number = self.consulting.calls;
        let row = ModelCall { number, purpose, attempt, asked_at, ..ModelCall::default() };
        self.keep_call(&row, turn);
        self.tell(Event::ModelAsked { purpose, attempt }, turn);
        let arguments = Json(arguments);
        if let Err(error) = bounded("what a model is asked", &arguments) {
            return self.model_answered(purpose, Err(error), turn);
        }
        let order = Order {
            id: self.model_call_id(purpose, turn),
            step: StepId(purpose.as_str().to_owned()),
            tool: llm::NAME.to_owned(),
            arguments,
            identity: node(),
            deadline: self.deadline,
            timeout: Some(settings.questions.timeout),
        };
        turn.send::<ToolWorker>(group(turn), &WorkerMessage::Call(order));
        Ok(())
    }

    /// Names the latest call of a model. Each time one is asked for the same is a call of its own.
    fn model_call_id(&self, purpose: Purpose, turn: &Turn<'_, Self>) -> CallId {
        CallId {
            query: turn.key().to_owned(),
            step: place(purpose),
            instance: self.consulting.calls,
            alternative: 0,
            attempt: 1,
            run: self.retries,
        }
    }

    /// Takes what came of asking a model, if it is still waited for.
    pub(super) fn consulted(
        &mut self,
        call: &CallId,
        purpose: Purpose,
        result: Result<ToolAnswer, ToolError>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let Consulting { wanted, calling, .. } = &self.consulting;
        let awaited = *wanted == Some(purpose) && *calling;
        if !awaited || *call != self.model_call_id(purpose, turn) {
            return Ok(());
        }
        self.model_answered(purpose, result, turn)?;
        self.go_on(turn)
    }

    fn model_answered(
        &mut self,
        purpose: Purpose,
        result: Result<ToolAnswer, ToolError>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        self.consulting.calling = false;
        let mut row = self.latest_call(turn)?;
        row.ended_at = Some(turn.now());
        match result {
            Ok(answer) => {
                let ToolAnswer { value, warnings, .. } = answer;
                note(&mut row, &value.0);
                match purpose {
                    Purpose::Plan => self.plan_came(row, turn),
                    Purpose::Answer => self.answer_came(row, &value.0, warnings, turn),
                }
            }
            Err(error) => {
                let why = error.to_string();
                row.error = Some(error);
                self.close_call(&row, &why, turn);
                match purpose {
                    Purpose::Plan => self.no_plan(format!("no model made a plan: {why}"), turn),
                    Purpose::Answer => {
                        self.no_answer(format!("no model worded the answer: {why}"), turn)
                    }
                }
            }
        }
    }

    /// The row of the latest call.
    fn latest_call(&self, turn: &Turn<'_, Self>) -> Result<ModelCall, Failure> {
        let number = self.consulting.calls;
        let row = turn.get(&MODEL_CALLS, &(turn.key(), u64::from(number)))?;
        Ok(row.unwrap_or_else(|| ModelCall { number, ..ModelCall::default() }))
    }

    fn keep_call(&self, row: &ModelCall, turn: &mut Turn<'_, Self>) {
        let id = turn.key().to_owned();
        turn.put(&MODEL_CALLS, &(id.as_str(), u64::from(row.number)), row);
    }

    /// Writes what came of a call, and tells it; `reason` is why nothing is made of it, if so.
    fn close_call(&mut self, row: &ModelCall, reason: &str, turn: &mut Turn<'_, Self>) {
        self.keep_call(row, turn);
        let ModelCall { purpose, attempt, .. } = *row;
        let outcome = match (reason, &row.error) {
            ("", _) => "used",
            (_, None) => "refused",
            (_, Some(_)) => "failed",
        };
        turn.count(metrics::MODEL_CALLS, &[("purpose", purpose.as_str()), ("outcome", outcome)]);
        let (model, reason) = (row.model.clone(), reason.to_owned());
        self.tell(Event::ModelAnswered { purpose, attempt, model, reason }, turn);
    }

    /// Takes back a call that is under way, because the query has ended. What was wanted stays so.
    pub(super) fn recall_model(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let Some(purpose) = self.consulting.wanted.filter(|_| self.consulting.calling) else {
            return Ok(());
        };
        let call = self.model_call_id(purpose, turn);
        turn.send::<ToolWorker>(group(turn), &WorkerMessage::Cancel(call));
        self.consulting.calling = false;
        let mut row = self.latest_call(turn)?;
        row.ended_at = Some(turn.now());
        let why = "the query ended";
        row.error = Some(ToolError::new(crate::plan::ErrorKind::Cancelled, why));
        self.close_call(&row, why, turn);
        Ok(())
    }

    /// What was wanted of a model is wanted anew, as the query is begun again.
    pub(super) fn consult_again(&mut self) {
        self.consulting.want(self.consulting.wanted);
    }

    /// Deletes what models were asked.
    pub(super) fn forget_models(&self, turn: &mut Turn<'_, Self>) {
        let id = turn.key().to_owned();
        for number in 1..=self.consulting.calls {
            turn.delete(&MODEL_CALLS, &(id.as_str(), u64::from(number)));
        }
    }

    /// How a query ends of which nothing has failed.
    pub(super) fn at_best(&self) -> (Outcome, String) {
        match &self.consulting.stood_in {
            Some(why) => (Outcome::Degraded, why.clone()),
            None => (Outcome::Succeeded, String::new()),
        }
    }
}

/// What the call told of itself.
fn note(row: &mut ModelCall, value: &Value) {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    row.reply = text("text");
    row.model = text("model").unwrap_or_default();
    row.tokens_read = value["tokens"]["input"].as_u64().unwrap_or_default();
    row.tokens_written = value["tokens"]["output"].as_u64().unwrap_or_default();
    row.cost = value["cost"].as_f64().unwrap_or_default();
}

/// Models are asked by the node, because its configuration says so, not by whoever asks the question: that they
/// may ask questions is enough.
fn node() -> Identity {
    Identity { name: "node".to_owned(), role: ADMIN.to_owned(), ..Identity::default() }
}

/// The group of the tool that asks models.
fn group(turn: &Turn<'_, Orchestrator>) -> String {
    let spec = turn.settings().catalogue.get(llm::NAME);
    spec.map_or_else(|| llm::NAME.to_owned(), |spec| spec.group.clone())
}

/// What was asked in words; empty if nothing was.
fn question(query: &Query) -> &str {
    match &query.submission.origin {
        Origin::Question(question) => question,
        Origin::Plan | Origin::Pipeline(_) | Origin::Rules(_) | Origin::Schedule(_) => "",
    }
}
