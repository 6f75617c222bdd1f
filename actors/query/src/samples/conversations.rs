//! What is kept of conversations, and what they are told.

use super::*;
use crate::config::AnswerBy;
use crate::conversation::{
    CONVERSATIONS, Conversation, ConversationMessage, ConversationRow, QueryEnd, Question, Said,
    TURNS, TurnId, TurnRow, TurnStatus,
};
use crate::question::Reading;

#[test]
fn the_format_of_the_rows_of_conversations_is_frozen() {
    let row = conversation();
    frozen("query/conversation", CONVERSATIONS.version(), &row);
    let turn = |status| TurnRow {
        number: 2,
        question: "Why?".to_owned(),
        identity: identity(),
        name: Some("once".to_owned()),
        asked_at: at(2),
        status,
        taken: vec!["name Suzuki".to_owned()],
        query: Some("q-1".to_owned()),
        outcome: Some(Outcome::Succeeded),
        reason: "because".to_owned(),
        answer: Some(answered()),
        tools: vec!["http".to_owned()],
    };
    frozen("query/conversation-turn", TURNS.version(), &TurnStatus::ALL.map(turn).to_vec());
}

fn conversation() -> ConversationRow {
    ConversationRow {
        id: "c-1".to_owned(),
        title: "About it".to_owned(),
        owner: identity(),
        created_at: at(1),
        last_at: at(2),
        turns: 3,
        first: 2,
        bytes: 4,
        waiting: 5,
    }
}

fn answered() -> Answer {
    Answer {
        text: "It is so.".to_owned(),
        composed_by: "template".to_owned(),
        citations: vec![citation()],
    }
}

fn question(answer_by: Option<AnswerBy>) -> Question {
    let (text, name) = ("Why?".to_owned(), Some("once".to_owned()));
    Question { text, identity: identity(), name, answer_by }
}

#[test]
fn the_format_of_conversations_is_frozen() {
    let slots = [("name".to_owned(), "Suzuki".to_owned())].into();
    let intents = vec!["player".to_owned()];
    let reading = Reading { question: "How is Suzuki?".to_owned(), intents, slots };
    let state = Conversation::sample(conversation(), reading, question(None));
    frozen("query/conversation-state", Conversation::VERSION, &state);
    let end = QueryEnd {
        query: "q-1".to_owned(),
        outcome: Outcome::Failed,
        reason: "because".to_owned(),
        answer: Some(answered()),
        tools: vec!["http".to_owned()],
    };
    let turn = TurnId { begun_at: at(1), number: 2 };
    let messages = vec![
        ConversationMessage::Begin { owner: identity(), title: "About it".to_owned() },
        ConversationMessage::Ask(question(Some(AnswerBy::Model))),
        ConversationMessage::Ask(question(Some(AnswerBy::Template))),
        ConversationMessage::Delete(identity()),
        ConversationMessage::Admitted { turn, admitted: Admitted::Full { waiting: 9 } },
        ConversationMessage::Ended { turn, end: Box::new(end) },
        ConversationMessage::Again,
        ConversationMessage::Idle,
        ConversationMessage::BeginWith {
            title: "About it".to_owned(),
            question: question(Some(AnswerBy::Model)),
        },
    ];
    frozen("query/conversation-message", Conversation::VERSION, &messages);
    let said = vec![
        Said::Turn(1),
        Said::Full(2),
        Said::Conflict(3),
        Said::Length(4),
        Said::Deleted,
        Said::Unknown,
        Said::Refused("because".to_owned()),
        Said::Forgotten,
    ];
    frozen("query/conversation-said", Conversation::VERSION, &said);
    let watcher = Watcher::Conversation { id: "c-1".to_owned(), turn };
    frozen("query/watcher-conversation", WATCHERS.version(), &watcher);
}

#[test]
fn what_version_1_of_a_conversation_stored_and_was_told_is_read() {
    let state: Conversation = stored("query/conversation-state", 1);
    assert_eq!(Conversation::migrate(1, &payload("query/conversation-state", 1)).unwrap(), state);
    assert!(Conversation::migrate(3, &payload("query/conversation-state", 1)).is_err());
    let old: Vec<ConversationMessage> = stored("query/conversation-message", 1);
    frozen("query/conversation-message", 1, &old);
    assert_eq!(old.len(), 8);
    for message in old {
        let told = encode(&message).unwrap();
        assert_eq!(Conversation::migrate_message(1, &told).unwrap(), message);
    }
    let said: Vec<Said> = stored("query/conversation-said", 1);
    frozen("query/conversation-said", 1, &said);
}
