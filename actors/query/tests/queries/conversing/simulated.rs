//! A conversation on a node that dies between any two steps of a turn, on virtual time.

use std::sync::Mutex;

use perennial_query::tree::tree;
use perennial_runtime::{Crash, Faults, Options, Runtime, SimulatedStore, Simulation};

use super::*;
use crate::world::Outside;

/// What is asked, and the first line of what is answered.
const TALK: [(&str, &str); 3] =
    [("state of web", "web None"), ("and db?", "db None"), ("what about cache?", "cache None")];
/// Longer than any life takes in which nothing goes wrong.
const LONG: Duration = Duration::from_secs(600);

struct Talk {
    simulation: Simulation,
    store: SimulatedStore,
    outside: Arc<Outside>,
    /// How many questions are known to be taken in.
    asked: Arc<Mutex<usize>>,
    lives: u32,
}

impl Talk {
    fn seeded(seed: u64) -> Self {
        let (simulation, store) = (Simulation::seeded(seed), SimulatedStore::seeded(seed));
        let (outside, asked) = (Outside::new(), Arc::default());
        Self { simulation, store, outside, asked, lives: 0 }
    }

    /// One life, to its death, or until everything is answered; whether it was.
    fn live(&mut self, crash: Option<Crash>, keeps: bool) -> bool {
        let faults = Faults { crash, longest_sync: Duration::from_millis(2), ..Faults::default() };
        self.store.begin(faults, keeps).unwrap();
        let mut options: Options = self.simulation.options(Arc::new(self.store.clone()));
        options.unclean_ends = self.lives;
        self.lives += 1;
        let tools = Node::tools(&self.outside);
        let tree = tree(Config::default(), Node::roles(), tools, definitions());
        let asked = Arc::clone(&self.asked);
        let life = async move {
            let Ok(runtime) = Runtime::start(options, tree).await else { return false };
            tokio::select! {
                () = talk(runtime.clone(), asked) => {}
                _ = runtime.failed() => return false,
            }
            runtime.shutdown().await.is_ok()
        };
        self.simulation.live(None, life).unwrap().unwrap()
    }

    /// What is wrong in the end.
    fn judge(&mut self) -> Result<(), String> {
        self.store.begin(Faults::default(), true).unwrap();
        let mut options: Options = self.simulation.options(Arc::new(self.store.clone()));
        options.unclean_ends = self.lives;
        let tools = Node::tools(&self.outside);
        let tree = tree(Config::default(), Node::roles(), tools, definitions());
        let life = async move {
            let runtime = Runtime::start(options, tree).await.unwrap();
            let tables = runtime.tables();
            let turns = tables.scan(&TURNS, &owner_prefix("c-1"), 100).unwrap();
            let told: Vec<(String, String)> = turns
                .iter()
                .map(|turn| {
                    let text = turn.answer.as_ref().map_or("", |answer| &answer.text);
                    (turn.question.clone(), text.lines().next().unwrap_or_default().to_owned())
                })
                .collect();
            let wanted = TALK.map(|(question, answer)| (question.to_owned(), answer.to_owned()));
            let queries = tables.scan(&QUERIES, b"", 100).unwrap();
            if told != wanted || queries.len() != TALK.len() {
                return Err(format!("{} queries, and {told:?}", queries.len()));
            }
            Ok(())
        };
        self.simulation.live(None, life).unwrap().unwrap()
    }
}

/// Asks everything, each until it is known to be taken in, and waits until everything is answered.
async fn talk(runtime: Runtime, asked: Arc<Mutex<usize>>) {
    let patience = Duration::from_secs(2);
    loop {
        let number = *asked.lock().unwrap();
        let begin = ConversationMessage::Begin { owner: ann(), title: String::new() };
        let Some((text, _)) = TALK.get(number) else { break };
        let (text, name) = ((*text).to_owned(), Some(format!("name {number}")));
        let question = Question { text, identity: ann(), name, answer_by: None };
        // Both are known to be taken in only by their answers: who got none says them again.
        for message in [begin, ConversationMessage::Ask(question)] {
            let said = runtime.ask::<Conversation, Said>("c-1", &message, patience).await;
            if let (ConversationMessage::Ask(_), Ok(Said::Turn(turn))) = (&message, said) {
                assert_eq!(turn, number as u64 + 1);
                *asked.lock().unwrap() = number + 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let turns = || runtime.tables().scan(&TURNS, &owner_prefix("c-1"), 100);
    let answered = tokio::time::timeout(LONG, async {
        while !turns().is_ok_and(|all| {
            all.len() == TALK.len() && all.iter().all(|turn| turn.status == TurnStatus::Ended)
        }) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    answered.await.expect("every turn is answered");
}

/// The crash of each kind at each place, as long as there is such a place.
fn dies_everywhere(kind: fn(u64) -> Crash) -> u64 {
    for at in 1..1_000 {
        for keeps in [true, false] {
            let mut talk = Talk::seeded(at);
            let whole = talk.live(Some(kind(at)), keeps);
            if !whole {
                assert!(talk.live(None, keeps), "{:?}: the second life was cut short", kind(at));
            }
            assert_eq!(
                talk.judge(),
                Ok(()),
                "{:?}, keeping what was not synced: {keeps}",
                kind(at)
            );
            if whole && keeps {
                return at;
            }
        }
    }
    panic!("a talk has no end")
}

#[test]
fn no_turn_is_lost_and_none_is_answered_twice_wherever_a_node_dies_d10() {
    for kind in [Crash::Before, Crash::After, Crash::Sync] {
        let places = dies_everywhere(kind);
        assert!(places > 5, "it died at {places} places only");
    }
}

#[test]
fn no_turn_is_lost_in_however_many_lives() {
    for seed in 0..20 {
        let mut talk = Talk::seeded(seed);
        let crash = |life: u64| match (seed + life) % 4 {
            0 => Crash::Get(1 + (seed * 7 + life * 3) % 40),
            1 => Crash::Before(1 + (seed * 5 + life) % 12),
            2 => Crash::After(1 + (seed * 3 + life) % 12),
            _ => Crash::Sync(1 + (seed + life) % 12),
        };
        let whole = (0..6).any(|life| talk.live(Some(crash(life)), (seed + life) % 2 == 0));
        assert!(whole || talk.live(None, true), "seed {seed}");
        assert_eq!(talk.judge(), Ok(()), "seed {seed}");
    }
}
