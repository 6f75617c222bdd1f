//! The Adviser: one per node. Has language models asked about incidents on behalf of the Analyzers, within a
//! budget, and says what came of it. What a model says is an opinion: rules and gates decide.

pub mod advice;
pub mod answer;
pub mod ask;
pub mod config;
mod message;
pub mod prompt;

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_runtime::{Durable, Failure, Finished, Kind, Timestamp, Turn};
use serde::{Deserialize, Serialize};

use crate::adviser::advice::{Advice, Obstacle};
use crate::adviser::ask::{AskModel, Reply};
use crate::alert::{ALERT, Alert, AlertMessage, Entry};
use crate::analyzer::{Analyzer, AnalyzerMessage};
use crate::breaker::{Breaker, Pauses};

pub use config::Config;
pub use message::*;

/// Questions under way at a time.
const AT_ONCE: usize = 4;
/// Bytes of text that are about one token.
const TOKEN_BYTES: u64 = 4;
/// What the budget is about.
const HOUR: Duration = Duration::from_secs(3600);
/// Questions of an hour that are counted one by one; more are counted with the latest of them.
const MOST_COUNTED: usize = 512;
/// A question that could not be begun for so long, the time for its answer not counted, is not asked any more.
const STALE: Duration = Duration::from_secs(60);
/// A model that has not answered so often is left alone for a while.
const PAUSES: Pauses =
    Pauses { threshold: 3, first: Duration::from_secs(60), longest: Duration::from_secs(15 * 60) };

/// The Adviser.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Adviser {
    /// The questions under way, by the keys of their effects, and the tokens set aside for each.
    asking: BTreeMap<String, u64>,
    /// The tokens of the last hour, oldest first.
    spent: Vec<(Timestamp, u64)>,
    breaker: Breaker,
}

impl Durable for Adviser {
    const KIND: Kind = Kind::new("adviser");
    type Message = AdviserMessage;
    type Settings = Config;

    fn handle(
        &mut self,
        message: AdviserMessage,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        match message {
            AdviserMessage::Consult(question) => self.consult(question, turn),
            AdviserMessage::Answered(finished) => self.answered(finished, turn),
        }
        Ok(())
    }
}

impl Adviser {
    fn consult(&mut self, question: Question, turn: &mut Turn<'_, Self>) {
        let need = question.bytes() as u64 / TOKEN_BYTES + u64::from(turn.settings().max_tokens);
        match self.obstacle(need, turn) {
            Some((by, why)) => tell(&question, Advice::NotAsked { by, why }, turn),
            None => self.ask(question, need, turn),
        }
    }

    /// What keeps a question of so many tokens from being asked now, and when that is over.
    fn obstacle(&mut self, need: u64, turn: &Turn<'_, Self>) -> Option<(Obstacle, String)> {
        let (now, bound) = (turn.now(), turn.settings().tokens_per_hour);
        self.spent.retain(|(at, _)| now.since(*at) < HOUR);
        if self.asking.len() >= AT_ONCE {
            let why = format!("{AT_ONCE} questions are under way already");
            return Some((Obstacle::Busy, why));
        }
        let spent = self.spent.iter().map(|(_, tokens)| *tokens);
        let taken = spent.chain(self.asking.values().copied()).fold(0, u64::saturating_add);
        if bound > 0 && taken.saturating_add(need) > bound {
            let why = format!(
                "{taken} of the hour's {bound} tokens are spent or set aside, and this takes up to {need} \
                 (analyzer.model.tokens_per_hour)"
            );
            return Some((Obstacle::BudgetSpent, why));
        }
        self.breaker.enter(now, &PAUSES).err().map(|wait| {
            let (threshold, wait) = (PAUSES.threshold, wait.as_secs());
            let why =
                format!("no model answered {threshold} times in a row; the next try in {wait} s");
            (Obstacle::BreakerOpen, why)
        })
    }

    fn ask(&mut self, question: Question, need: u64, turn: &mut Turn<'_, Self>) {
        let Config { mode, max_tokens, timeout, .. } = turn.settings();
        let (incident, at) = (question.incident.clone(), turn.now());
        let entry = Entry::Consulted {
            mode: mode.clone(),
            question_hash: question.hash(),
            bytes: question.bytes() as u64,
            evidence: question.ids.len() as u64,
            tokens: need,
        };
        turn.send::<Alert>(ALERT, &AlertMessage::Record { incident, at, entry });
        let effect = AskModel {
            question,
            mode: mode.clone(),
            max_tokens: *max_tokens,
            timeout: *timeout,
            expires: at + STALE,
        };
        let key = turn.perform(&effect);
        self.asking.insert(key.as_str().to_owned(), need);
    }

    fn answered(&mut self, finished: Finished<AskModel>, turn: &mut Turn<'_, Self>) {
        let now = turn.now();
        let Finished { effect, key, result, .. } = finished;
        // Where nobody tells, it may have been read and written.
        let need = self.asking.remove(key.as_str()).unwrap_or_default();
        let (tokens, advice) = match result {
            Ok(Reply::Answered(answer)) => {
                self.breaker.succeeded();
                let advice = answer::read(&answer, &effect.question);
                (answer.tokens, advice.map_or_else(Advice::Refused, Advice::Given))
            }
            Ok(Reply::Silent(why)) => {
                self.breaker.failed(now, &PAUSES);
                (need, Advice::Unanswered(why))
            }
            Err(undone) => {
                self.breaker.failed(now, &PAUSES);
                (need, Advice::Unanswered(undone.to_string()))
            }
        };
        self.spend(now, tokens);
        tell(&effect.question, advice, turn);
    }

    fn spend(&mut self, now: Timestamp, tokens: u64) {
        let full = self.spent.len() >= MOST_COUNTED;
        let last = self.spent.pop_if(|_| full).map_or(0, |(_, tokens)| tokens);
        self.spent.push((now, last.saturating_add(tokens)));
    }
}

/// Tells the Analyzer that wanted to know.
fn tell(question: &Question, advice: Advice, turn: &mut Turn<'_, Adviser>) {
    let (incident, basis) = (question.incident.clone(), question.basis.clone());
    let message = AnalyzerMessage::Advised { incident, basis, advice };
    turn.send::<Analyzer>(question.container.0.clone(), &message);
}

#[cfg(test)]
mod tests;
