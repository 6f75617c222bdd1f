//! A plan by a model: asked for, checked as one by anybody else, and done.

use perennial_runtime::{Failure, Turn};
use serde_json::Value;

use super::question;
use crate::check::Finding;
use crate::config::Changes;
use crate::inputs;
use crate::json::Json;
use crate::orchestrator::{
    DEADLINE_TIMER, Orchestrator, OrchestratorMessage, Phase, Query, StepState,
};
use crate::pipeline::{self, Compiled};
use crate::plan::Plan;
use crate::planner;
use crate::question::shown;
use crate::record::{Answer, ModelCall, Outcome, SUBMISSIONS, Submission};
use crate::tool::{Catalogue, Identity};

impl Orchestrator {
    /// What a model is asked for a plan: anew, or again with what is wrong with its last one.
    pub(super) fn plan_arguments(
        &self,
        query: &Query,
        turn: &Turn<'_, Self>,
    ) -> Result<Value, Failure> {
        let settings = turn.settings();
        let tools = allowed(&query.submission.identity, turn);
        let asked = planner::arguments(question(query), &tools, settings.questions.max_steps);
        let asked = planner::with_earlier(asked, &query.submission.by_model.earlier);
        if self.consulting.attempt == 0 {
            return Ok(asked);
        }
        let last = self.latest_call(turn)?;
        let reply = last.reply.unwrap_or_default();
        Ok(planner::correction(&asked, &reply, &last.problems))
    }

    /// Takes a plan, asks again for one that can be done, or gives up.
    pub(super) fn plan_came(
        &mut self,
        mut row: ModelCall,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let query = self.query(turn)?;
        let reply = row.reply.clone().unwrap_or_default();
        if let Some(why) = planner::unclear(&reply) {
            self.close_call(&row, "", turn);
            return self.asked_back(&query, (&why, row.model), turn);
        }
        match read(&reply, &query.submission.identity, turn) {
            Ok(compiled) => {
                self.close_call(&row, "", turn);
                self.adopt(&query, compiled, turn)
            }
            Err(findings) => {
                row.problems = planner::problems(&findings);
                let why = row.problems.join("; ");
                self.close_call(&row, &format!("the plan is refused: {why}"), turn);
                let asked = self.consulting.attempt;
                if asked < turn.settings().questions.attempts {
                    return Ok(());
                }
                self.no_plan(
                    format!("no plan of a model was good, asked {asked} times: {why}"),
                    turn,
                )
            }
        }
    }

    /// Has the plan done.
    fn adopt(
        &mut self,
        query: &Query,
        compiled: Compiled,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let Compiled { plan, warnings, .. } = compiled;
        let mut submission = query.submission.clone();
        let inputs = inputs::bind(&plan, &Value::Null);
        submission.inputs = Json(inputs.unwrap_or_else(|_| Value::Object(serde_json::Map::new())));
        submission.clarification = None;
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        submission.warnings.extend(warnings.clone());
        submission.plan = plan;
        self.change(turn, |row| {
            row.name.clone_from(&submission.plan.name);
            row.warnings.extend(warnings);
        })?;
        self.shorten(&submission, turn);
        self.take_up(submission, turn);
        Ok(())
    }

    /// Goes on with the steps of `submission`.
    fn take_up(&mut self, submission: Submission, turn: &mut Turn<'_, Self>) {
        self.steps = vec![StepState::Waiting; submission.plan.steps.len()];
        let id = turn.key().to_owned();
        turn.put(&SUBMISSIONS, &id, &submission);
        self.query = None;
        self.consulting.want(None);
    }

    /// A plan may want less time than there is.
    fn shorten(&mut self, submission: &Submission, turn: &mut Turn<'_, Self>) {
        let Some(own) = submission.plan.timeout else { return };
        self.left = self.left.min(own);
        let until = turn.now() + own;
        if self.phase == Phase::Running && until < self.deadline {
            self.deadline = until;
            turn.send_at(until, DEADLINE_TIMER, &OrchestratorMessage::DeadlineOver);
        }
    }

    /// The model wants to know more before there can be a plan.
    fn asked_back(
        &mut self,
        query: &Query,
        (text, model): (&str, String),
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let mut submission = query.submission.clone();
        submission.plan = Plan { name: submission.plan.name, ..Plan::default() };
        submission.clarification = None;
        self.take_up(submission, turn);
        let query = self.query(turn)?;
        let reason = "the model that was to make a plan asks back".to_owned();
        let text = text.replace("[[", "[ [");
        let answer = Answer { text, composed_by: model, citations: Vec::new() };
        let said = Some((answer, Vec::new()));
        self.finish_with(&query, (Outcome::Clarification, reason), said, turn)
    }

    /// There is no plan by a model: the one that was submitted stands in, if it has anything to do.
    pub(super) fn no_plan(
        &mut self,
        why: String,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let query = self.query(turn)?;
        if query.plan().steps.is_empty() {
            return self.finish(&query, Outcome::Failed, why, turn);
        }
        self.consulting.stood_in = Some(format!("{why}; the plan is that of the table of intents"));
        self.take_up(query.submission.clone(), turn);
        Ok(())
    }
}

/// The tools that a plan by a model may call for `identity`.
fn allowed(identity: &Identity, turn: &Turn<'_, Orchestrator>) -> Catalogue {
    let settings = turn.settings();
    let changes = settings.questions.changes != Changes::Refuse;
    let tools = settings.catalogue.0.iter().filter(|(_, spec)| {
        settings.roles.check(identity, spec).is_ok() && (changes || !spec.changes_world)
    });
    Catalogue(tools.map(|(name, spec)| (name.clone(), spec.clone())).collect())
}

/// The plan in `reply`, as it may be done for `identity`: with an answer, and with approvals if changes need them.
fn read(
    reply: &str,
    identity: &Identity,
    turn: &Turn<'_, Orchestrator>,
) -> Result<Compiled, Vec<Finding>> {
    let (tools, questions) = (allowed(identity, turn), &turn.settings().questions);
    let compiled = planner::read(reply, &tools, questions.max_steps)?;
    let mut plan = compiled.plan.clone();
    if plan.answer.is_none() {
        plan.answer = Some(plan.steps.iter().map(|step| shown(&step.id)).collect());
    }
    match questions.changes {
        Changes::Approve => {
            plan = planner::with_approvals(plan, &tools, questions.approval_wait);
        }
        Changes::Allow | Changes::Refuse => {}
    }
    let whole = pipeline::compile_plan(plan, &tools)?;
    Ok(Compiled { warnings: compiled.warnings, ..whole })
}
