//! The rows of a conversation: what is changed in its turns, which of them are kept, and what a model is told of
//! them.

use perennial_runtime::{Failure, Turn};

use super::record::citation_bytes;
use super::{
    CONVERSATIONS, Conversation, ConversationMessage, EMPTY_TTL, IDLE_TIMER, QueryEnd, TURNS,
    TurnRow, TurnStatus, conversation_key,
};
use crate::metrics;
use crate::question::Planner;
use crate::record::Exchange;
use crate::tool::Identity;

/// Of an answer as much is kept in its turn, in bytes; the query has all of it.
const ANSWER_BYTES: usize = 16 * 1024;
/// The same of what it rests on.
const CITATION_BYTES: usize = 8 * 1024;
/// The same of why a query ended so.
const REASON_BYTES: usize = 4 * 1024;
/// As many names of tools are kept. A plan has hardly more.
const TOOLS: usize = 100;
/// Stands for tools that are not known: nobody may call it, so that no model is told the answer.
pub(crate) const UNKNOWN_TOOL: &str = "";

impl Conversation {
    /// Writes the row, wakes who waits for it, and puts the end off by which it is forgotten.
    pub(super) fn keep(&mut self, turn: &mut Turn<'_, Self>) {
        self.row.waiting = self.waiting.len() as u64;
        let key = conversation_key(&self.row.owner, &self.row.id);
        turn.put(&CONVERSATIONS, &key, &self.row);
        turn.measure(metrics::RUNG, &[], metrics::bell(turn.key()) as f64);
        let ttl = turn.settings().bounds.ttl;
        let ttl = if self.row.turns == 0 { ttl.min(EMPTY_TTL) } else { ttl };
        turn.send_after(ttl, IDLE_TIMER, &ConversationMessage::Idle);
    }

    /// Deletes everything that there is of it, and wakes who waits for it. Its queries are kept as long as any, and end by themselves.
    pub(super) fn forget(&mut self, turn: &mut Turn<'_, Self>) {
        for number in self.row.first..=self.row.turns {
            turn.delete(&TURNS, &(self.row.id.as_str(), number));
        }
        let key = conversation_key(&self.row.owner, &self.row.id);
        turn.delete(&CONVERSATIONS, &key);
        turn.measure(metrics::RUNG, &[], metrics::bell(turn.key()) as f64);
        turn.stop();
    }

    /// The turn that was given `name`, if it is kept.
    pub(super) fn named(
        &self,
        name: &str,
        turn: &Turn<'_, Self>,
    ) -> Result<Option<TurnRow>, Failure> {
        for number in self.row.first..=self.row.turns {
            let row = turn.get(&TURNS, &(self.row.id.as_str(), number))?;
            if let Some(row) = row.filter(|row| row.name.as_deref() == Some(name)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Writes a turn that there was not.
    pub(super) fn add(&mut self, row: &TurnRow, turn: &mut Turn<'_, Self>) {
        self.row.bytes += row.bytes();
        turn.put(&TURNS, &(self.row.id.as_str(), row.number), row);
    }

    /// Changes the row of a turn, if it is kept.
    pub(super) fn change(
        &mut self,
        number: u64,
        turn: &mut Turn<'_, Self>,
        change: impl FnOnce(&mut TurnRow),
    ) -> Result<(), Failure> {
        let key = (self.row.id.as_str(), number);
        let Some(mut row) = turn.get(&TURNS, &key)? else { return Ok(()) };
        let before = row.bytes();
        change(&mut row);
        self.row.bytes = self.row.bytes.saturating_sub(before) + row.bytes();
        turn.put(&TURNS, &key, &row);
        Ok(())
    }

    /// Forgets the oldest turns that have ended while there are too many of them.
    pub(super) fn trim(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let (turns, bytes) = (turn.settings().bounds.turns as u64, turn.settings().bounds.bytes);
        // The last one is what the next one follows.
        while self.row.first < self.row.turns {
            let kept = self.row.turns + 1 - self.row.first;
            if kept <= turns && self.row.bytes <= bytes {
                break;
            }
            let key = (self.row.id.as_str(), self.row.first);
            let Some(oldest) = turn.get(&TURNS, &key)? else { break };
            if oldest.status != TurnStatus::Ended {
                break;
            }
            turn.delete(&TURNS, &key);
            self.row.bytes = self.row.bytes.saturating_sub(oldest.bytes());
            self.row.first += 1;
        }
        Ok(())
    }

    /// What a model is told that is to plan or to answer the turn `number` for `identity`, the oldest first: the
    /// last turns before it, each with its share of the bytes.
    pub(super) fn earlier(
        &self,
        number: u64,
        identity: &Identity,
        turn: &Turn<'_, Self>,
    ) -> Result<Vec<Exchange>, Failure> {
        let (planner, bounds) = (&turn.settings().planner, &turn.settings().bounds);
        let first = number.saturating_sub(bounds.model_turns as u64).max(self.row.first);
        let share = bounds.model_bytes / bounds.model_turns.max(1);
        let mut earlier = Vec::new();
        for number in first..number {
            let Some(row) = turn.get(&TURNS, &(self.row.id.as_str(), number))? else { continue };
            let seen = sees(planner, identity, &row);
            let answer = row.answer.filter(|_| seen).map_or_else(String::new, |said| said.text);
            let question = cut(row.question, share);
            let answer = cut(answer, share - question.len());
            earlier.push(Exchange { question, answer });
        }
        earlier.retain(|said| !said.question.is_empty());
        Ok(earlier)
    }
}

/// Whether `identity` would be given the answer of a turn if they asked for it now: it was given to somebody of
/// their role and teams, and they may still call every tool that it was made with.
fn sees(planner: &Planner, identity: &Identity, row: &TurnRow) -> bool {
    let asked = &row.identity;
    let may = |tool: &String| {
        let spec = planner.catalogue.get(tool);
        spec.is_some_and(|spec| planner.roles.check(identity, spec).is_ok())
    };
    (&asked.role, &asked.teams) == (&identity.role, &identity.teams) && row.tools.iter().all(may)
}

/// As much of the end of a query as its turn keeps.
pub(crate) fn kept(mut end: QueryEnd) -> QueryEnd {
    end.reason = cut(end.reason, REASON_BYTES);
    if let Some(answer) = &mut end.answer {
        answer.text = cut(std::mem::take(&mut answer.text), ANSWER_BYTES);
        let mut left = CITATION_BYTES;
        let fits = answer.citations.iter().take_while(|citation| {
            let bytes = citation_bytes(citation);
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        });
        let fits = fits.count();
        answer.citations.truncate(fits);
    }
    if end.tools.len() > TOOLS {
        end.tools = vec![UNKNOWN_TOOL.to_owned()];
    }
    end
}

/// `text`, if it is no longer than `most` bytes, or its beginning, which says that it is no more.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = text.floor_char_boundary(most.saturating_sub('…'.len_utf8()));
        text.truncate(end);
        if most >= '…'.len_utf8() {
            text.push('…');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use perennial_runtime::{Observation, Play};

    use super::*;
    use crate::conversation::Settings;
    use crate::record::{Answer, Outcome};
    use crate::roles::Roles;
    use crate::tool::{Catalogue, Citation, ToolSpec};

    fn end(text: String, citations: Vec<Citation>) -> QueryEnd {
        QueryEnd {
            query: "q-1".to_owned(),
            outcome: Outcome::Succeeded,
            reason: "because ".repeat(1_000),
            answer: Some(Answer { text, composed_by: "template".to_owned(), citations }),
            tools: Vec::new(),
        }
    }

    #[test]
    fn of_what_is_long_a_turn_keeps_the_beginning_and_says_so() {
        let citation = |number: usize| Citation {
            id: format!("{number:04}"),
            source: "s".repeat(1_000),
            place: String::new(),
        };
        let kept = kept(end("ü".repeat(20_000), (0..50).map(citation).collect()));
        let answer = kept.answer.clone().unwrap();
        assert!(answer.text.len() <= ANSWER_BYTES && answer.text.ends_with("ü…"));
        assert_eq!(answer.citations.len(), 8);
        assert!(kept.reason.len() <= REASON_BYTES && kept.reason.ends_with('…'));
        let short = end("It is so.".to_owned(), vec![citation(1)]);
        let QueryEnd { answer, .. } = super::kept(short.clone());
        assert_eq!(answer, short.answer);
    }

    #[test]
    fn an_answer_is_seen_by_who_would_be_given_it_now() {
        let spec = ToolSpec { permission: Some("secrets".to_owned()), ..ToolSpec::new("look", "") };
        let catalogue = Arc::new(Catalogue([("look".to_owned(), spec)].into()));
        let roles = |all: &[&str]| {
            let all = all.iter().map(|name| (*name).to_owned()).collect();
            Arc::new(Roles([("staff".to_owned(), all)].into()))
        };
        let before = Planner {
            roles: roles(&["secrets"]),
            catalogue: Arc::clone(&catalogue),
            ..Planner::default()
        };
        let identity = Identity { role: "staff".to_owned(), key: Some(1), ..Identity::default() };
        let tools = vec!["look".to_owned()];
        let row = TurnRow { identity: identity.clone(), tools, ..TurnRow::default() };
        assert!(sees(&before, &identity, &row));
        let now = Planner { roles: roles(&[]), catalogue, ..Planner::default() };
        assert!(!sees(&now, &identity, &row), "their role may no longer call it");
        let gone = Planner { catalogue: Arc::default(), ..before.clone() };
        assert!(!sees(&gone, &identity, &row), "nobody knows any more who may call it");
        let teams = vec!["blues".to_owned()];
        for other in [
            Identity { role: "coach".to_owned(), ..identity.clone() },
            Identity { teams, ..identity },
        ] {
            assert!(!sees(&before, &other, &row));
        }
    }

    #[test]
    fn who_waits_for_a_conversation_is_woken_when_it_is_deleted() {
        let mut play = Play::<Conversation>::new("c-1", Settings::default());
        let owner = Identity::default();
        let begin = ConversationMessage::Begin { owner: owner.clone(), title: String::new() };
        play.handle(begin).unwrap();
        let deleted = play.handle(ConversationMessage::Delete(owner)).unwrap();
        assert!(deleted.stops());
        let rung = |seen: &&Observation| seen.metric == metrics::RUNG;
        let bell = deleted.observations().iter().find(rung).unwrap();
        assert_eq!(bell.value as usize, metrics::bell("c-1"));
    }

    #[test]
    fn text_is_cut_between_characters_however_little_is_left() {
        for most in 0..8 {
            let cut = cut("日本語".to_owned(), most);
            assert!(cut.len() <= most, "{most}: {cut}");
        }
        assert_eq!(cut("日本語".to_owned(), 9), "日本語");
        assert_eq!(cut("日本語".to_owned(), 6), "日…");
    }
}
