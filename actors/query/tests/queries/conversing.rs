//! Questions of conversations: one after the other, with what those before said.

mod begun;
mod bounded;
mod ended;
mod simulated;
mod told;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use perennial_query::admission::Admitted;
use perennial_query::config::{Config, PlannedBy, Questions};
use perennial_query::conversation::{
    CONVERSATIONS, Config as Bounds, Conversation, ConversationMessage, ConversationRow, Question,
    Said, TURNS, TurnRow, TurnStatus, conversation_key,
};
use perennial_query::orchestrator::{Ordered, QueryOrder};
use perennial_query::question::{Planner, read};
use perennial_query::record::{Outcome, QUERIES, Submission};
use perennial_query::schedule::Definitions;
use perennial_query::tool::Identity;
use perennial_runtime::{ManualClock, Timestamp, owner_prefix};
use serde_json::json;

use crate::world::{Node, PATIENCE, Say, plan, says};

const TABLE: &str = r#"
intents:
  - id: state
    keywords: [state]
    patterns: ['state of (?P<name>\w+)']
    steps: [{id: s, tool: say, arguments: {text: "{{ inputs.name }} {{ inputs.period }}"}}]
    answer: "{{ steps.s.result.text }}"
  - id: slow
    keywords: [slow]
    steps: [{id: w, tool: say, arguments: {text: "slow", waits: true}}]
    answer: "It was slow."
  - id: late
    keywords: [late]
    steps: [{id: t, tool: say, arguments: {text: "late {{ inputs.period }}", waits: true}}]
    answer: "It was late {{ inputs.period }}."
  - id: long
    keywords: [long]
    steps: [{id: l, value: "{{ 'x' * 20000 }}"}]
    answer: "{{ steps.l.result }}"
  - id: secret
    keywords: [secret]
    roles: [insider]
    steps: [{id: x, value: 1}]
  - id: route
    keywords: [route]
    patterns: ['from (?P<from_place>\w+)', 'to (?P<to_place>\w+)']
    steps: [{id: r, tool: say, arguments: {text: "{{ inputs.from_place }} {{ inputs.to_place }}"}}]
    answer: "{{ steps.r.result.text }}"
"#;

/// 2026-01-01T00:00:30Z.
const START: Timestamp = Timestamp::from_micros(1_767_225_630_000_000);

fn ann() -> Identity {
    Identity {
        name: "ann".to_owned(),
        role: "guest".to_owned(),
        key: Some(7),
        ..Identity::default()
    }
}

fn bounds(bounds: Bounds) -> Config {
    Config { conversations: bounds, ..Config::default() }
}

/// What makes plans of questions.
fn definitions() -> Definitions {
    let catalogue = Say::catalogue();
    let table = read(TABLE, &catalogue).unwrap().table;
    let planner = Arc::new(Planner { table, roles: Node::roles(), catalogue });
    Definitions { planner, ..Definitions::default() }
}

struct World {
    node: Node,
    clock: ManualClock,
    config: Config,
}

impl World {
    async fn start() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        Self::on(None, ManualClock::at(START), config).await
    }

    async fn on(before: Option<&Node>, clock: ManualClock, config: Config) -> Self {
        let node = Node::scheduled(before, &clock, config.clone(), definitions()).await;
        let world = Self { node, clock, config };
        if before.is_none() {
            let begin = ConversationMessage::Begin { owner: ann(), title: "Talk".to_owned() };
            assert_eq!(world.tell(begin).await, Said::Turn(0));
        }
        world
    }

    /// The node dies, and another one goes on.
    async fn again(self) -> Self {
        Self::on(Some(&self.node), self.clock, self.config).await
    }

    async fn tell(&self, message: ConversationMessage) -> Said {
        let ask = self.node.runtime.ask::<Conversation, Said>("c-1", &message, PATIENCE);
        ask.await.unwrap()
    }

    async fn ask(&self, text: &str) -> Said {
        self.ask_as(text, ann(), None).await
    }

    async fn ask_as(&self, text: &str, identity: Identity, name: Option<&str>) -> Said {
        let name = name.map(str::to_owned);
        self.tell(ConversationMessage::Ask(Question {
            text: text.to_owned(),
            identity,
            name,
            answer_by: None,
        }))
        .await
    }

    fn turns(&self) -> Vec<TurnRow> {
        self.node.runtime.tables().scan(&TURNS, &owner_prefix("c-1"), 1000).unwrap()
    }

    fn row(&self) -> Option<ConversationRow> {
        let key = conversation_key(&ann(), "c-1");
        self.node.runtime.tables().get(&CONVERSATIONS, &key).unwrap()
    }

    async fn ended(&self, number: u64) -> TurnRow {
        let ended = |row: &TurnRow| row.number == number && row.status == TurnStatus::Ended;
        self.node.until("the turn has ended", |_| self.turns().into_iter().find(ended)).await
    }

    /// What is answered to `text`.
    async fn answer(&self, text: &str) -> String {
        let said = self.ask(text).await;
        let Said::Turn(number) = said else { panic!("{said:?}") };
        let row = self.ended(number).await;
        row.answer.unwrap_or_else(|| panic!("{text}: {}", row.reason)).text
    }
}

#[tokio::test]
async fn a_turn_is_answered_with_what_the_ones_before_said() {
    let world = World::start().await;
    assert_eq!(world.answer("state of web yesterday").await, "web 2025-12-31");
    let taken = "\n\nTaken from the earlier question: what is asked, period 2025-12-31.";
    assert_eq!(world.answer("and db?").await, format!("db 2025-12-31{taken}"));
    let taken = "\n\nTaken from the earlier question: what is asked, name db.";
    assert_eq!(world.answer("and today?").await, format!("db 2026-01-01{taken}"));
    let turns = world.turns();
    assert_eq!(turns[1].taken, ["what is asked", "period 2025-12-31"]);
    assert_eq!(turns[2].outcome, Some(Outcome::Succeeded));
    let query = world.node.row(turns[1].query.as_deref().unwrap()).unwrap();
    assert_eq!((query.identity, query.origin.as_str()), (ann(), "question"));
}

#[tokio::test]
async fn what_a_turn_asks_back_the_next_one_answers() {
    let world = World::start().await;
    let asked_back = world.answer("tell me of yesterday").await;
    assert!(asked_back.starts_with("No answer to this is known here."), "{asked_back}");
    assert_eq!(world.turns()[0].outcome, Some(Outcome::Clarification));
    let answer = world.answer("the state of web").await;
    assert!(answer.starts_with("web 2025-12-31\n"), "{answer}");
}

#[tokio::test]
async fn a_conversation_is_there_for_its_owner_alone() {
    let world = World::start().await;
    let bob = Identity { name: "ann".to_owned(), key: Some(8), ..ann() };
    assert_eq!(world.ask_as("state of web", bob.clone(), None).await, Said::Unknown);
    assert_eq!(world.tell(ConversationMessage::Delete(bob.clone())).await, Said::Unknown);
    let key = conversation_key(&bob, "c-1");
    assert_eq!(world.node.runtime.tables().get(&CONVERSATIONS, &key).unwrap(), None);
    assert_eq!(world.row().unwrap().title, "Talk");
}

#[tokio::test]
async fn a_question_that_is_given_again_under_its_name_is_the_same_turn() {
    let world = World::start().await;
    assert_eq!(world.ask_as("state of web", ann(), Some("n")).await, Said::Turn(1));
    assert_eq!(world.ask_as("state of web", ann(), Some("n")).await, Said::Turn(1));
    assert_eq!(world.ask_as("state of db", ann(), Some("n")).await, Said::Conflict(1));
    assert_eq!(world.ask_as("state of db", ann(), Some("m")).await, Said::Turn(2));
}

#[tokio::test]
async fn questions_that_are_asked_at_the_same_time_are_turns_one_after_the_other() {
    let world = World::start().await;
    let questions: Vec<String> = (0..9).map(|number| format!("state of w{number}")).collect();
    let said = join_all(questions.iter().map(|question| world.ask(question))).await;
    let turn = |said| if let Said::Turn(number) = said { number } else { panic!("{said:?}") };
    let mut numbers: Vec<u64> = said.into_iter().map(turn).collect();
    world.ended(9).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=9).collect::<Vec<u64>>());
    let turns = world.turns();
    let order: Vec<String> = turns
        .iter()
        .map(|turn| format!("{} None", turn.question.trim_start_matches("state of ")))
        .collect();
    assert_eq!(world.node.outside.said(), order);
    for (turn, text) in turns.iter().zip(order) {
        assert_eq!(turn.answer.as_ref().unwrap().text, text);
    }
}

#[tokio::test]
async fn what_could_stand_for_several_things_is_asked_back_before_any_tool_is_called() {
    let world = World::start().await;
    assert_eq!(world.answer("route from home to work").await, "home work");
    let asked_back = world.answer("what about school?").await;
    let why = "It is not clear what \"school\" is, of these: from_place, to_place.";
    assert!(asked_back.starts_with(why), "{asked_back}");
    assert_eq!(world.turns()[1].outcome, Some(Outcome::Clarification));
    let asked_back = world.answer("and yesterday?").await;
    assert!(asked_back.contains("about no particular time"), "{asked_back}");
    assert_eq!(world.node.outside.said(), ["home work"]);
    let answer = world.answer("to school").await;
    assert!(answer.starts_with("home school\n"), "{answer}");
}
