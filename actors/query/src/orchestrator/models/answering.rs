//! An answer by a model: asked for with what the steps have found, and passed on as far as it rests on that.

use std::collections::BTreeSet;

use perennial_runtime::{Failure, Turn};
use serde_json::Value;

use super::question;
use crate::orchestrator::{Orchestrator, Query};
use crate::plan::Work;
use crate::planner;
use crate::record::{Answer, ModelCall, Outcome, Purpose, StepRow, StepStatus};
use crate::tool::Citation;
use crate::wording::{self, Evidence, Found, Worded};

impl Orchestrator {
    /// Every step has ended well: a model is to answer, if there is enough to rest an answer on.
    pub(in crate::orchestrator) fn want_answer(
        &mut self,
        query: &Query,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let least = turn.settings().questions.min_evidence;
        let count = self.evidence(query, turn)?.count;
        if count < least {
            let why =
                format!("the evidence does not carry an answer: found {count}, needed {least}");
            return self.finish(query, Outcome::Abstained, why, turn);
        }
        self.consulting.want(Some(Purpose::Answer));
        self.consult(turn)?;
        Ok(())
    }

    pub(super) fn answer_arguments(
        &mut self,
        query: &Query,
        turn: &Turn<'_, Self>,
    ) -> Result<Value, Failure> {
        let evidence = self.evidence(query, turn)?;
        let asked = wording::arguments(question(query), &evidence);
        Ok(planner::with_earlier(asked, &query.submission.by_model.earlier))
    }

    fn evidence(&mut self, query: &Query, turn: &Turn<'_, Self>) -> Result<Evidence, Failure> {
        let rows = self.found(query, turn)?;
        let found = rows.iter().filter_map(|row| {
            let result = &row.result.as_ref()?.0;
            Some(Found { id: row.id.as_str(), tool: &row.tool, result, citations: &row.citations })
        });
        let found: Vec<Found<'_>> = found.collect();
        Ok(wording::evidence(&found, turn.settings().questions.evidence_bytes))
    }

    /// The steps that have found something, or made it of what others found.
    fn found(&mut self, query: &Query, turn: &Turn<'_, Self>) -> Result<Vec<StepRow>, Failure> {
        let mut rows = Vec::new();
        for at in 0..self.steps.len() {
            let finds = match query.step(at).work {
                Work::Call(_) | Work::Value(_) => true,
                Work::Gate { .. } | Work::Approval { .. } => false,
            };
            let row = self.step_row(at, None, turn)?;
            if finds && row.status == StepStatus::Succeeded {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// Passes the model's answer on, or ends the query without one.
    pub(super) fn answer_came(
        &mut self,
        mut row: ModelCall,
        value: &Value,
        mut warnings: Vec<String>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let query = self.query(turn)?;
        let evidence = self.evidence(&query, turn)?;
        let worded = match wording::read(&value["json"], &evidence.ids) {
            Ok(worded) => worded,
            Err(misfit) => {
                row.problems.push(misfit);
                let why = row.problems.join("; ");
                self.close_call(&row, &format!("the answer is refused: {why}"), turn);
                let why = format!("`{}` worded no answer that can be read: {why}", row.model);
                return self.no_answer(why, turn);
            }
        };
        row.problems.extend(removed(&worded));
        let least = turn.settings().questions.min_confidence;
        if let Some(why) = too_little(&worded, least) {
            self.close_call(&row, &why, turn);
            self.consulting.want(None);
            return self.finish(&query, Outcome::Abstained, why, turn);
        }
        self.close_call(&row, "", turn);
        self.consulting.want(None);
        warnings.extend(row.problems);
        warnings.extend(evidence.cut.iter().map(|step| {
            format!("the model was shown only the beginning of what step `{step}` has found")
        }));
        let citations = self.cited(&query, &worded, turn)?;
        let answer = Answer { text: worded.text, composed_by: row.model, citations };
        let (outcome, reason) = self.at_best();
        self.finish_with(&query, (outcome, reason), Some((answer, warnings)), turn)
    }

    /// What the answer cites: a step whose result rests on nothing else is cited itself.
    fn cited(
        &mut self,
        query: &Query,
        worded: &Worded,
        turn: &Turn<'_, Self>,
    ) -> Result<Vec<Citation>, Failure> {
        let mut cited = BTreeSet::new();
        for row in self.found(query, turn)? {
            if worded.cited.contains(row.id.as_str()) {
                let place = if row.tool.is_empty() { "value" } else { &row.tool };
                let (id, source) = (row.id.0.clone(), format!("step {}", row.id));
                cited.insert(Citation { id, source, place: place.to_owned() });
            }
            cited.extend(row.citations);
        }
        Ok(cited.into_iter().collect())
    }

    /// No model has answered: the answer is the one that the plan composes.
    pub(super) fn no_answer(
        &mut self,
        why: String,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let query = self.query(turn)?;
        let why = format!("{why}; the answer is composed from the results");
        self.finish(&query, Outcome::Degraded, why, turn)
    }

    /// The time of the query is over while a model is to answer, and everything else is done.
    pub(in crate::orchestrator) fn is_answering(&self) -> bool {
        self.consulting.wanted == Some(Purpose::Answer)
    }

    pub(in crate::orchestrator) fn answer_late(
        &mut self,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        self.no_answer("no model worded the answer in the time that was left".to_owned(), turn)
    }
}

/// What was taken out of an answer.
fn removed(worded: &Worded) -> Option<String> {
    let Worded { claims, removed, unknown, .. } = worded;
    if *removed == 0 {
        return None;
    }
    let cited = match unknown.as_slice() {
        [] => String::new(),
        ids => format!(" or cite {}, which no step has found", ids.join(", ")),
    };
    Some(format!(
        "removed from the answer: {removed} of {claims} claims, which cite nothing{cited}"
    ))
}

/// Why what a model has said is no answer, if it is none.
fn too_little(worded: &Worded, least: f64) -> Option<String> {
    let Worded { claims, removed, unknown, confidence, .. } = worded;
    if *claims == 0 {
        return Some("the model finds no answer in what the steps have found".to_owned());
    }
    if claims == removed {
        let ids = unknown.join(", ");
        return Some(match unknown.as_slice() {
            [] => "none of the model's claims cites anything".to_owned(),
            _ => {
                format!("all of the answer rests on {ids}, which no step has found, or on nothing")
            }
        });
    }
    (*confidence < least)
        .then(|| format!("not sure enough of an answer: {confidence}, needed {least}"))
}
