//! The Conversation: one per conversation. Has its questions answered one after the other, each understood with
//! what the ones before it said, and keeps the last of them.

mod bounds;
mod message;
mod record;
mod turns;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use perennial_runtime::{Durable, Failure, Kind, Timestamp, Turn, decode};
use serde::{Deserialize, Serialize};

use crate::admission::{ADMISSION, Admission, AdmissionMessage, Admitted};
use crate::audit::{AUDIT, Act, Audit, AuditMessage, Deed};
use crate::config::Questions;
pub use crate::conversation::bounds::*;
pub use crate::conversation::message::*;
pub use crate::conversation::record::*;
pub(crate) use crate::conversation::turns::{UNKNOWN_TOOL, kept};
use crate::metrics;
use crate::question::clarify::LONGEST;
use crate::question::{FollowUp, Planner, Reading, follow_up};
use crate::record::older::known;
use crate::record::{ByModel, Origin, Submission, Watcher};
use crate::tool::Identity;

/// The wait before a query that found no place in the queue is submitted again.
pub const AGAIN: Duration = Duration::from_secs(10);

/// The name of the timer that says that nothing was said for long.
const IDLE_TIMER: &str = "idle";
/// The name of the timer that says that the queue may have room by now.
const AGAIN_TIMER: &str = "again";

/// What Conversations are told.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What makes plans of questions.
    pub planner: Arc<Planner>,
    /// What language models do for them.
    pub questions: Questions,
    /// What bounds each.
    pub bounds: Config,
}

/// The Conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    row: ConversationRow,
    /// What the last turn was understood as.
    reading: Option<Reading>,
    /// Questions that wait, with the numbers of their turns.
    waiting: VecDeque<(u64, Question)>,
    current: Option<Current>,
}

/// A turn whose query is under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Current {
    number: u64,
    question: Question,
    /// What it was understood as, for the turns after it.
    reading: Reading,
}

impl Durable for Conversation {
    const KIND: Kind = Kind::new("conversation");
    /// It can be begun with a question since version 2.
    const VERSION: u16 = 2;
    type Message = ConversationMessage;
    type Settings = Settings;

    fn handle(
        &mut self,
        message: ConversationMessage,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let begins = matches!(
            message,
            ConversationMessage::Begin { .. } | ConversationMessage::BeginWith { .. }
        );
        if self.row.id.is_empty() && !begins {
            // It is forgotten, or never was.
            turn.reply(&Said::Unknown);
            turn.stop();
            return Ok(());
        }
        self.said(message, turn)
    }

    /// What it keeps is the same in version 1.
    fn migrate(version: u16, payload: &[u8]) -> Result<Self, Failure> {
        known(version)?;
        Ok(decode(payload)?)
    }

    /// Version 2 has one more message behind those of version 1.
    fn migrate_message(version: u16, payload: &[u8]) -> Result<ConversationMessage, Failure> {
        known(version)?;
        Ok(decode(payload)?)
    }
}

impl Conversation {
    fn said(
        &mut self,
        message: ConversationMessage,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        match message {
            ConversationMessage::Begin { owner, title } => {
                self.create(owner, title, turn);
                turn.reply(&Said::Turn(self.row.turns));
            }
            ConversationMessage::BeginWith { title, question } => {
                let said = self.begin_with(title, question, turn)?;
                turn.reply(&said);
            }
            ConversationMessage::Ask(question) => {
                let said = self.ask(question, turn)?;
                turn.reply(&said);
            }
            ConversationMessage::Delete(identity) if self.is_of(identity.key) => {
                self.deleted(identity, turn);
                turn.reply(&Said::Deleted);
            }
            ConversationMessage::Delete(_) => turn.reply(&Said::Unknown),
            ConversationMessage::Admitted { turn: TurnId { begun_at, number }, admitted } => {
                if begun_at == self.row.created_at {
                    self.admitted(number, admitted, turn)?;
                }
            }
            ConversationMessage::Ended { turn: TurnId { begun_at, number }, end } => {
                if begun_at == self.row.created_at {
                    self.ended(number, *end, turn)?;
                }
            }
            ConversationMessage::Again => self.go_on(turn)?,
            ConversationMessage::Idle if self.current.is_none() && self.waiting.is_empty() => {
                self.forget(turn);
            }
            ConversationMessage::Idle => self.keep(turn),
        }
        Ok(())
    }

    /// It is from now on, unless it was before.
    fn create(&mut self, owner: Identity, title: String, turn: &mut Turn<'_, Self>) {
        if !self.row.id.is_empty() {
            return;
        }
        let (id, now) = (turn.key().to_owned(), turn.now());
        let (created_at, last_at) = (now, now);
        self.row = ConversationRow { id, title, owner, created_at, last_at, ..self.row.clone() };
        self.row.first = 1;
        self.keep(turn);
    }

    fn begin_with(
        &mut self,
        title: String,
        question: Question,
        turn: &mut Turn<'_, Self>,
    ) -> Result<Said, Failure> {
        if self.row.id.is_empty() {
            if let Some(said) = unfit(&question) {
                turn.stop();
                return Ok(said);
            }
            if let Err(why) = self.read(&question, turn.now(), turn) {
                turn.count(metrics::TURNS, &[("result", "refused")]);
                turn.stop();
                return Ok(Said::Refused(why));
            }
            self.create(question.identity.clone(), title, turn);
        } else if self.row.turns > 0
            && self.is_of(question.identity.key)
            && let Some(name) = &question.name
            && self.named(name, turn)?.is_none()
        {
            // Asked once more it would be answered twice under one name.
            return Ok(Said::Forgotten);
        }
        self.ask(question, turn)
    }

    /// It is not needed any more. Its title goes with it, so the audit does not have that.
    fn deleted(&mut self, by: Identity, turn: &mut Turn<'_, Self>) {
        let object = self.row.id.clone();
        let result = Ok("deleted".to_owned());
        let deed = Deed { act: Act::ConversationDeleted, object, name: String::new(), by, result };
        turn.send::<Audit>(AUDIT, &AuditMessage::Keep(deed));
        self.forget(turn);
    }

    /// API keys are never given out twice; what has none is whoever holds the node's token.
    fn is_of(&self, key: Option<u64>) -> bool {
        self.row.owner.key == key
    }

    fn ask(&mut self, question: Question, turn: &mut Turn<'_, Self>) -> Result<Said, Failure> {
        if !self.is_of(question.identity.key) {
            return Ok(Said::Unknown);
        }
        if let Some(said) = unfit(&question) {
            return Ok(said);
        }
        if let Some(name) = &question.name
            && let Some(before) = self.named(name, turn)?
        {
            let same = before.question == question.text;
            return Ok(if same {
                Said::Turn(before.number)
            } else {
                Said::Conflict(before.number)
            });
        }
        if self.waiting.len() >= turn.settings().bounds.queue {
            return Ok(Said::Full(self.waiting.len() as u64));
        }
        self.row.turns += 1;
        self.row.last_at = turn.now();
        let number = self.row.turns;
        let row = TurnRow {
            number,
            question: question.text.clone(),
            identity: question.identity.clone(),
            name: question.name.clone(),
            asked_at: turn.now(),
            ..TurnRow::default()
        };
        self.add(&row, turn);
        self.waiting.push_back((number, question));
        self.go_on(turn)?;
        Ok(Said::Turn(number))
    }

    /// Begins the next turn, unless one is under way. One that cannot be begun has ended.
    fn go_on(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        while self.current.is_none() {
            let Some((number, question)) = self.waiting.pop_front() else { break };
            self.begin(number, question, turn)?;
        }
        self.trim(turn)?;
        self.keep(turn);
        Ok(())
    }

    fn begin(
        &mut self,
        number: u64,
        question: Question,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        // However long it waited: what it says of a day, it says of the day on which it was asked.
        let row = turn.get(&TURNS, &(self.row.id.as_str(), number))?;
        let asked_at = row.map_or_else(|| turn.now(), |row| row.asked_at);
        let read = self.read(&question, asked_at, turn);
        let (FollowUp { planned, reading, taken }, by_model) = match read {
            Ok(read) => read,
            Err(why) => {
                turn.count(metrics::TURNS, &[("result", "refused")]);
                return self.change(number, turn, |row| {
                    row.status = TurnStatus::Ended;
                    row.reason = why;
                });
            }
        };
        // What no model is asked for needs not be stored.
        let earlier = if by_model.plan || by_model.answer {
            self.earlier(number, &question.identity, turn)?
        } else {
            Vec::new()
        };
        let submission = Submission {
            identity: question.identity.clone(),
            origin: Origin::Question(question.text.clone()),
            by_model: ByModel { earlier, ..by_model },
            ..planned.submission()
        };
        let id = TurnId { begun_at: self.row.created_at, number };
        let watcher = Watcher::Conversation { id: self.row.id.clone(), turn: id };
        let message = AdmissionMessage::SubmitFor { submission: Box::new(submission), watcher };
        turn.send::<Admission>(ADMISSION, &message);
        self.current = Some(Current { number, question, reading });
        self.change(number, turn, |row| {
            row.status = TurnStatus::Running;
            row.taken = taken;
        })
    }

    /// What a question that is asked at this time is understood as after those before it, and what models do for it.
    fn read(
        &self,
        question: &Question,
        asked_at: Timestamp,
        turn: &Turn<'_, Self>,
    ) -> Result<(FollowUp, ByModel), String> {
        let Settings { planner, questions, .. } = turn.settings();
        let (earlier, identity) = (self.reading.as_ref(), &question.identity);
        let read = follow_up(planner, &question.text, earlier, identity, asked_at);
        let read = read.map_err(|error| error.to_string())?;
        let asked = (question.text.as_str(), &read.planned);
        let by_model = questions.by_model(asked, question.answer_by)?;
        Ok((read, by_model))
    }

    fn admitted(
        &mut self,
        number: u64,
        admitted: Admitted,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        match admitted {
            Admitted::Accepted { id, .. } | Admitted::Shared { id } => {
                turn.count(metrics::TURNS, &[("result", "begun")]);
                self.change(number, turn, |row| row.query = Some(id))?;
                self.keep(turn);
            }
            Admitted::Full { .. } | Admitted::KeyFull { .. } => {
                let current = self.current.take_if(|current| current.number == number);
                let Some(Current { question, .. }) = current else { return Ok(()) };
                self.waiting.push_front((number, question));
                turn.send_after(AGAIN, AGAIN_TIMER, &ConversationMessage::Again);
                self.change(number, turn, |row| row.status = TurnStatus::Waiting)?;
                self.keep(turn);
            }
        }
        Ok(())
    }

    /// A query that is begun again ends again.
    fn ended(
        &mut self,
        number: u64,
        end: QueryEnd,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let QueryEnd { query, outcome, reason, answer, tools } = end;
        turn.count(metrics::TURNS, &[("result", outcome.as_str())]);
        self.change(number, turn, |row| {
            row.status = TurnStatus::Ended;
            (row.query, row.outcome) = (Some(query), Some(outcome));
            (row.reason, row.answer, row.tools) = (reason, answer, tools);
        })?;
        if let Some(current) = self.current.take_if(|current| current.number == number) {
            self.reading = Some(current.reading.ended(outcome));
        }
        self.go_on(turn)
    }
}

/// Why nothing can be a turn that is so short or so long.
fn unfit(question: &Question) -> Option<Said> {
    let length = question.text.chars().count();
    (!(1..=LONGEST).contains(&length)).then_some(Said::Length(length as u64))
}

#[cfg(test)]
impl Conversation {
    /// One that has everything that one can have.
    pub(crate) fn sample(row: ConversationRow, reading: Reading, question: Question) -> Self {
        let current = Current { number: 1, question: question.clone(), reading: reading.clone() };
        let waiting = [(2, question)].into();
        Self { row, reading: Some(reading), waiting, current: Some(current) }
    }
}
