//! Conversations that are begun with their first question, and those in which nothing is ever asked.

use super::*;

impl World {
    /// Begins `c-2` with a question.
    async fn begin_with(&self, text: &str, identity: Identity, name: Option<&str>) -> Said {
        let (text, name) = (text.to_owned(), name.map(str::to_owned));
        let question = Question { text, identity, name, answer_by: None };
        let message = ConversationMessage::BeginWith { title: "Talk".to_owned(), question };
        self.node.runtime.ask::<Conversation, Said>("c-2", &message, PATIENCE).await.unwrap()
    }

    fn begun(&self) -> Option<ConversationRow> {
        let key = conversation_key(&ann(), "c-2");
        self.node.runtime.tables().get(&CONVERSATIONS, &key).unwrap()
    }

    fn turns_of_begun(&self) -> Vec<TurnRow> {
        self.node.runtime.tables().scan(&TURNS, &owner_prefix("c-2"), 1000).unwrap()
    }

    async fn all_ended(&self, turns: usize) {
        let ended = || {
            let rows = self.turns_of_begun();
            let all = rows.iter().all(|row| row.status == TurnStatus::Ended);
            (all && rows.len() == turns).then_some(())
        };
        self.node.until("its turns have ended", |_| ended()).await;
    }
}

#[tokio::test]
async fn of_a_conversation_that_is_begun_with_what_cannot_be_asked_nothing_is_left() {
    let world = World::start().await;
    let said = world.begin_with("secret", ann(), None).await;
    let Said::Refused(why) = said else { panic!("{said:?}") };
    assert!(why.contains("nothing of the question may be done"), "{why}");
    assert_eq!(world.begin_with("", ann(), None).await, Said::Length(0));
    assert_eq!((world.begun(), world.turns_of_begun()), (None, Vec::new()));
    assert_eq!(world.begin_with("state of web", ann(), None).await, Said::Turn(1));
    world.all_ended(1).await;
    let row = world.begun().unwrap();
    assert_eq!((row.title.as_str(), row.owner, row.turns), ("Talk", ann(), 1));
}

#[tokio::test]
async fn a_conversation_that_is_begun_with_one_question_twice_is_one_with_one_turn() {
    let world = World::with(bounds(Bounds { turns: 1, ..Bounds::default() })).await;
    for _ in 0..2 {
        assert_eq!(world.begin_with("state of web", ann(), Some("n")).await, Said::Turn(1));
    }
    world.all_ended(1).await;
    let other = world.begin_with("state of db", ann(), Some("n")).await;
    assert_eq!(other, Said::Conflict(1));
    let bob = Identity { key: Some(8), ..ann() };
    assert_eq!(world.begin_with("state of web", bob, Some("n")).await, Said::Unknown);
    assert_eq!(world.begin_with("state of db", ann(), None).await, Said::Turn(2));
    world.all_ended(1).await;
    let again = world.begin_with("state of web", ann(), Some("n")).await;
    assert_eq!(again, Said::Forgotten, "its turn is not kept, and nothing is asked again");
    assert_eq!(world.node.outside.said(), ["web None", "db None"]);
}

#[tokio::test]
async fn a_conversation_in_which_nothing_was_ever_asked_is_forgotten_after_a_day() {
    let world = World::start().await;
    assert_eq!(world.begin_with("state of web", ann(), None).await, Said::Turn(1));
    world.all_ended(1).await;
    world.clock.advance(Duration::from_secs(23 * 3600));
    assert!(world.row().is_some());
    world.clock.advance(Duration::from_secs(3600));
    world.node.until("it is forgotten", |_| world.row().is_none().then_some(())).await;
    assert!(world.begun().is_some(), "something was asked in this one");
}
