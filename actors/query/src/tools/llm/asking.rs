//! One call: which model is asked, what is done when one does not answer, and what all of it cost.

use std::time::Duration;

use perennial_runtime::instant;
use perennial_secret::REDACTED;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::config::Model;
use super::ledger::estimate;
use super::protocol::{Completion, Request, Stop};
use super::setback::{Setback, line};
use super::wish::Wish;
use super::{Models, client};
use crate::plan::ErrorKind;
use crate::schema;
use crate::tool::{Call, ToolAnswer, ToolError};

/// Requests for one call, whatever they are made for.
pub(super) const ATTEMPTS: u32 = 3;
/// The longest wait before a server is asked again that did not ask for one.
const BACKOFF_CAP: u64 = 8;
/// Chance makes a wait longer by up to this, in milliseconds.
const JITTER: u64 = 250;
/// A key of fewer bytes is no secret, and may be part of any word.
const SHORTEST_KEY: usize = 8;

/// A call that is being answered.
pub(super) struct Asking<'a> {
    models: &'a Models,
    call: &'a Call,
    wish: Wish,
    /// The query, for the budget.
    query: &'a str,
    until: Instant,
    attempts: u32,
    setbacks: Vec<(&'a str, Setback)>,
    corrected: bool,
    input: u64,
    output: u64,
    cost: f64,
    warnings: Vec<String>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(models: &'a Models, call: &'a Call, wish: Wish) -> Self {
        let query = call.label.rsplit_once('/').map_or(call.label.as_str(), |(query, _)| query);
        // A little earlier than whoever calls would break off, so that the error can say more.
        let margin = (call.timeout / 10).min(Duration::from_millis(250));
        Self {
            models,
            call,
            wish,
            query,
            until: instant() + (call.timeout - margin),
            attempts: 0,
            setbacks: Vec::new(),
            corrected: false,
            input: 0,
            output: 0,
            cost: 0.0,
            warnings: Vec::new(),
        }
    }

    /// Asks until a model has answered or nothing more may be tried.
    pub(super) async fn answer(mut self) -> Result<ToolAnswer, ToolError> {
        let order = self.models.in_order(&self.wish.models).await;
        let mut at = 0;
        loop {
            let Some(model) = order.get(at).copied() else { return Err(self.given_up()) };
            match self.ask(model).await? {
                Ok(completion) => match self.fit(&completion.text) {
                    Ok(json) => return Ok(self.answered(model, completion, json)),
                    Err(misfit) => self.correct(model, &completion.text, &misfit)?,
                },
                Err(setback) => {
                    let again = self.pause(&setback, at + 1 == order.len());
                    self.setbacks.push((&model.name, setback));
                    match again {
                        Next::Model => at += 1,
                        Next::Wait(wait) => sleep(wait).await,
                        Next::Nothing => return Err(self.given_up()),
                    }
                }
            }
        }
    }

    /// One request to `model`, within the budget and at the pace of its server.
    async fn ask(&mut self, model: &Model) -> Result<Result<Completion, Setback>, ToolError> {
        let now = self.models.clock.now();
        let left = self.models.ledger().left(&self.models.config.budget, self.query, now);
        let left = left.map_err(|why| self.refused(&why))?;
        match self.models.place(model, self.until) {
            Ok(wait) => sleep(wait).await,
            Err(wait) => {
                let rate = model.requests_per_second;
                let why = format!("may be asked only {rate} times a second");
                let setback = Setback::new(ErrorKind::Overloaded, why);
                return Ok(Err(Setback { retry_after: Some(wait), ..setback }));
            }
        }
        self.attempts += 1;
        let request = self.request(model, left);
        let input = estimate(self.wish.bytes());
        let charged = model.cost(input, 0);
        self.models.ledger().charge(self.query, input, charged, now);
        let asked = client::ask(&self.models.client, model, &request, (self.until, now)).await;
        self.models.ledger().refund(self.query, input, charged);
        let asked = scrubbed(asked, model);
        match &asked {
            Ok(completion) => {
                if completion.input.is_none() || completion.output.is_none() {
                    let why =
                        format!("`{}` did not tell its tokens; they are estimated", model.name);
                    self.warnings.push(why);
                }
                let output = completion.output.unwrap_or_else(|| estimate(completion.text.len()));
                self.spend(model, completion.input.unwrap_or(input), output);
            }
            Err(Setback { written: Some(text), .. }) => {
                self.spend(model, input, estimate(text.len()));
            }
            Err(Setback { written: None, .. }) => {}
        }
        self.models.note(model, asked.as_ref().err());
        Ok(asked)
    }

    fn request(&self, model: &Model, left: u64) -> Request {
        let most = self.wish.max_tokens.unwrap_or(model.max_tokens).min(model.max_tokens);
        Request {
            model: model.model.clone(),
            system: self.wish.system.clone(),
            messages: self.wish.messages.clone(),
            max_tokens: most.min(u32::try_from(left).unwrap_or(u32::MAX)),
            temperature: self.wish.temperature.or(model.temperature),
            stream: model.stream,
        }
    }

    fn spend(&mut self, model: &Model, input: u64, output: u64) {
        let cost = model.cost(input, output);
        let tokens = input.saturating_add(output);
        self.models.ledger().charge(self.query, tokens, cost, self.models.clock.now());
        self.input = self.input.saturating_add(input);
        self.output = self.output.saturating_add(output);
        self.cost += cost;
    }

    /// The JSON that the answer is, if it has to be some.
    fn fit(&self, text: &str) -> Result<Option<Value>, String> {
        let Some(schema) = &self.wish.schema else { return Ok(None) };
        let json: Value = serde_json::from_str(text.trim())
            .map_err(|error| format!("it is not one JSON value: {error}"))?;
        match schema::misfit(schema, &json) {
            None => Ok(Some(json)),
            Some(misfit) => Err(misfit),
        }
    }

    /// Has an answer that does not fit corrected, once.
    fn correct(&mut self, model: &Model, text: &str, misfit: &str) -> Result<(), ToolError> {
        if self.corrected || self.attempts >= ATTEMPTS {
            let (name, said) = (&model.name, line(text));
            return Err(ToolError::failed(format!(
                "`{name}` gave no JSON that fits the schema: {misfit}; it said: {said}"
            )));
        }
        self.corrected = true;
        self.wish.correct(text, misfit);
        Ok(())
    }

    /// What is done about `setback`.
    fn pause(&self, setback: &Setback, is_last: bool) -> Next {
        let now = instant();
        if self.attempts >= ATTEMPTS || now >= self.until {
            return Next::Nothing;
        }
        if !is_last {
            return Next::Model;
        }
        let seconds = (1 << self.attempts.saturating_sub(1).min(31)).min(BACKOFF_CAP);
        let own = Duration::from_secs(seconds) + jitter(&self.call.key, self.attempts);
        let wait = setback.retry_after.unwrap_or(own);
        let in_time = now.checked_add(wait).is_some_and(|at| at < self.until);
        if setback.kind.passes() && in_time { Next::Wait(wait) } else { Next::Nothing }
    }

    fn answered(
        mut self,
        model: &Model,
        completion: Completion,
        json: Option<Value>,
    ) -> ToolAnswer {
        let name = model.name.as_str();
        match completion.stopped {
            Some(Stop::TooLong) => {
                self.warnings
                    .push(format!("`{name}` was cut short at the most tokens it may write"));
            }
            Some(Stop::Other(why)) => self.warnings.push(format!("`{name}` stopped: {why}")),
            Some(Stop::Done) | None => {}
        }
        let wanted = self.wish.models.first().filter(|wanted| *wanted != name);
        if let Some(wanted) = wanted {
            let state = self.models.state(wanted);
            let told = self.setbacks.iter().find(|(failed, _)| failed == wanted);
            let why = told.map_or(state.reason.as_str(), |(_, setback)| &setback.message);
            self.warnings.push(format!("`{name}` answered in place of `{wanted}`, which {why}"));
        }
        let value = json!({
            "text": completion.text,
            "json": json,
            "model": name,
            "provider": model.provider.as_str(),
            "mode": self.wish.mode,
            "tokens": {"input": self.input, "output": self.output},
            "cost": self.cost,
            "fallback_from": wanted,
            "attempts": self.attempts,
        });
        ToolAnswer { warnings: self.warnings, ..ToolAnswer::from(value) }
    }

    /// Nothing is left to spend.
    fn refused(&self, why: &str) -> ToolError {
        let before = self.told();
        let and = if before.is_empty() { "" } else { "; before that, " };
        ToolError::new(ErrorKind::Denied, format!("no model is asked: {why}{and}{before}"))
    }

    /// No model has answered: the kind of error is the last that may pass, for then another attempt may do.
    fn given_up(&self) -> ToolError {
        let mut latest = self.setbacks.iter().rev().map(|(_, setback)| setback);
        let last = latest.clone().next();
        let telling = latest.find(|setback| setback.kind.passes()).or(last);
        let kind = telling.map_or(ErrorKind::Failed, |setback| setback.kind);
        let (times, told) = (self.attempts, self.told());
        let message = format!("no model answered, asked {times} times: {told}");
        let retry_after = telling.and_then(|setback| setback.retry_after);
        ToolError { retry_after, ..ToolError::new(kind, message) }
    }

    fn told(&self) -> String {
        told_once(
            self.setbacks.iter().map(|(name, setback)| format!("`{name}` {}", setback.message)),
        )
    }
}

/// Each of these once, and how often if that is not all.
fn told_once(all: impl Iterator<Item = String>) -> String {
    let mut told: Vec<(String, u32)> = Vec::new();
    for one in all {
        match told.iter_mut().find(|(before, _)| *before == one) {
            Some((_, times)) => *times += 1,
            None => told.push((one, 1)),
        }
    }
    let each = told.into_iter().map(|(one, times)| match times {
        1 => one,
        times => format!("{one} ({times} times)"),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// What comes after a model that did not answer.
enum Next {
    /// The next model.
    Model,
    /// The same one, after this long.
    Wait(Duration),
    /// Nothing more is tried.
    Nothing,
}

/// Spread over calls, and the same whenever the same call is made again.
fn jitter(key: &str, attempt: u32) -> Duration {
    let hash = Sha256::new().chain_update(key).chain_update(attempt.to_be_bytes()).finalize();
    Duration::from_millis(u64::from(hash[0]) * JITTER / 255)
}

/// Without the key, which a server may repeat.
fn scrubbed(asked: Result<Completion, Setback>, model: &Model) -> Result<Completion, Setback> {
    let key = model.key.expose();
    if key.len() < SHORTEST_KEY {
        return asked;
    }
    let clean = |text: String| text.replace(key, REDACTED);
    asked
        .map(|completion| Completion { text: clean(completion.text), ..completion })
        .map_err(|setback| Setback { message: clean(setback.message), ..setback })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_the_same_way_again_is_told_once() {
        let told = |all: &[&str]| told_once(all.iter().map(|one| (*one).to_owned()));
        assert_eq!(told(&["a is down", "a is down", "a is down"]), "a is down (3 times)");
        assert_eq!(
            told(&["a is down", "b is down", "a is down"]),
            "a is down (2 times); b is down"
        );
        assert_eq!(told(&[]), "");
    }
}
