//! What waits in memory only: messages that are told, and questions under no message id. Handled at most
//! once, in order with what is sent, never dropped in silence, and no answer before what it shows is durable.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use perennial_runtime::{AskError, Reference, SendError};
use perennial_store::{
    Backend, Batch, Call, Epoch, FaultPlan, FaultyBackend, Key, MemoryBackend, Space, StoreError,
};

use crate::world::{
    Account, Node, Outside, PATIENCE, Settings, Told, Unregistered, clock, eventually, options,
    start, start_with,
};

fn account(node: &Node, key: &str) -> Reference<Account> {
    node.runtime.actor::<Account>(key)
}

fn notes(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// A node whose failing messages hold up what is behind them until it ends.
async fn held_up(window: usize) -> (Node, MemoryBackend) {
    let (image, clock) = (MemoryBackend::new(), clock());
    let mut options = options(Arc::new(image.clone()), &clock);
    options.limits.window = window;
    options.limits.retry_base = Duration::from_secs(3600);
    options.limits.retry_cap = options.limits.retry_base;
    let node = start(options, clock, Outside::default()).await;
    node.tell("a", Told::Fail("holds the rest up".to_owned())).await;
    eventually("it failed once", async || handled(&node, 1)).await;
    (node, image)
}

fn handled(node: &Node, at_least: u32) -> Option<()> {
    (node.settings.handled.load(Ordering::SeqCst) >= at_least).then_some(())
}

#[tokio::test]
async fn what_is_told_is_handled_and_what_it_changes_is_committed() {
    let (node, image) = Node::on_memory().await;
    let actor = account(&node, "a");
    for _ in 0..100 {
        actor.tell(&Told::Add(1)).await.unwrap();
        node.runtime.tell::<Account>("b", &Told::Add(2)).await.unwrap();
    }
    let balance: i64 = actor.ask(&Told::Balance, PATIENCE).await.unwrap();
    assert_eq!(balance, 100);
    assert_eq!(node.state("b").await.balance, 200);
    // An answer shows what is durable: no orderly end is needed to find it again.
    let node = node.again(&image).await;
    assert_eq!(node.state("a").await.balance, 100);
    assert_eq!(node.state("b").await.balance, 200);
}

#[tokio::test]
async fn turns_that_change_nothing_commit_nothing() {
    let clock = clock();
    let backend = Arc::new(FaultyBackend::new(MemoryBackend::new(), FaultPlan::none()));
    let node = start(options(backend.clone(), &clock), clock, Outside::default()).await;
    let actor = account(&node, "a");
    assert_eq!(actor.ask::<i64>(&Told::Balance, PATIENCE).await.unwrap(), 0);
    assert_eq!(backend.calls(Call::Commit), 0, "not even for an actor that is new");
    node.tell("a", Told::Add(5)).await;
    assert_eq!(node.state("a").await.balance, 5);
    let commits = backend.calls(Call::Commit);
    for _ in 0..50 {
        actor.tell(&Told::Balance).await.unwrap();
        assert_eq!(actor.ask::<i64>(&Told::Balance, PATIENCE).await.unwrap(), 5);
    }
    assert_eq!(backend.calls(Call::Commit), commits);
    let turns = node.runtime.tree().children[0].children[0].turns;
    assert_eq!(turns, 103, "they are counted all the same");
}

/// A store whose commits can be read at once, wait until they are let go, and then fail.
#[derive(Debug, Default)]
struct Doomed {
    inner: MemoryBackend,
    let_go: Mutex<bool>,
    changed: Condvar,
}

impl Doomed {
    fn let_go(&self) {
        *self.let_go.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

impl Backend for Doomed {
    fn claim(&self) -> Result<Epoch, StoreError> {
        self.inner.claim()
    }
    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        self.inner.commit(epoch, batch)?;
        let held = self.let_go.lock().unwrap();
        drop(self.changed.wait_while(held, |let_go| !*let_go).unwrap());
        let (attempted, message) = ("sync".to_owned(), "told to fail".to_owned());
        Err(StoreError::Backend { attempted, message })
    }
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }
    fn scan(
        &self,
        range: std::ops::Range<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.inner.scan(range, limit)
    }
    fn scan_back(
        &self,
        range: std::ops::Range<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.inner.scan_back(range, limit)
    }
    fn settle(&self) -> Result<(), StoreError> {
        self.inner.settle()
    }
    fn space(&self) -> Result<Space, StoreError> {
        self.inner.space()
    }
    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

/// What a question is answered whose turn ran after `first` and before the commit of that failed.
async fn asked_in_vain(first: Told, (key, question): (&str, Told)) -> AskError {
    let (clock, backend) = (clock(), Arc::new(Doomed::default()));
    let node = start(options(backend.clone(), &clock), clock, Outside::default()).await;
    account(&node, "a").tell(&first).await.unwrap();
    let state = Key::state("account", "a");
    eventually("its turn can be read", async || backend.get(state.as_ref()).unwrap()).await;
    let actor = account(&node, key);
    let asked = tokio::spawn(async move { actor.ask::<Vec<String>>(&question, PATIENCE).await });
    eventually("both turns ran", async || handled(&node, 2)).await;
    tokio::task::yield_now().await;
    assert!(!asked.is_finished(), "nothing leaves before it is durable");
    backend.let_go();
    let answer = asked.await.unwrap().unwrap_err();
    let refused = account(&node, key).ask::<i64>(&Told::Balance, PATIENCE).await;
    assert!(refused.is_err(), "a failed node does not answer: {refused:?}");
    answer
}

#[tokio::test]
async fn an_answer_that_shows_what_is_not_durable_waits_for_it() {
    let answer = asked_in_vain(Told::Add(1), ("a", Told::State)).await;
    assert_eq!(answer, AskError::Send(SendError::Unknown));
}

#[tokio::test]
async fn an_answer_that_shows_another_actors_row_waits_until_that_is_durable() {
    let put = Told::Put("key".to_owned(), "value".to_owned());
    let answer = asked_in_vain(put, ("b", Told::Rows)).await;
    assert_eq!(answer, AskError::Send(SendError::Unknown));
}

/// Tells, sends and asks in turns.
async fn say(node: &Node, actor: &Reference<Account>, from: usize, notes: &[String]) {
    for (n, note) in notes.iter().enumerate().skip(from) {
        let told = Told::Note(note.clone());
        match n % 3 {
            0 => node.tell("a", told).await,
            1 => actor.tell(&told).await.unwrap(),
            _ => {
                // Notes give no answer; whether it is awaited changes nothing in the order.
                let asked = actor.ask::<()>(&told, Duration::from_millis(u64::from(n % 2 == 0)));
                let _none = asked.await;
            }
        }
    }
}

#[tokio::test]
async fn what_one_sender_tells_sends_and_asks_arrives_in_order_over_backlogs_and_restarts() {
    for window in [2, 1024] {
        let (image, clock) = (MemoryBackend::new(), clock());
        let mut options = options(Arc::new(image), &clock);
        options.limits.window = window;
        options.limits.slice = 3;
        let node = start(options, clock, Outside::default()).await;
        let actor = account(&node, "a");
        let notes = notes(120);
        for held_up_by in [Told::Fail("poison".to_owned()), Told::Restart, Told::Panic] {
            actor.tell(&held_up_by).await.unwrap();
            say(&node, &actor, 0, &notes).await;
        }
        let state = node.until("a", |account| account.told.len() >= 360).await;
        assert_eq!(state.told, [&notes[..], &notes[..], &notes[..]].concat(), "{window}");
        assert_eq!(node.runtime.dead_letters().list(10).unwrap().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_refuses_what_cannot_wait_and_lets_the_rest_wait_for_room() {
    let clock = clock();
    let mut options = options(Arc::new(MemoryBackend::new()), &clock);
    options.limits.window = 3;
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    // Its turn lasts until it is let go on.
    let lethal = Box::new(move || goes_on.lock().unwrap().recv().unwrap());
    let settings = Arc::new(Settings { lethal, ..Settings::default() });
    let node = start_with(options, clock, Outside::default(), settings).await;
    let actor = account(&node, "a");
    actor.tell(&Told::Lethal).await.unwrap();
    eventually("its turn has begun", async || handled(&node, 1)).await;
    for n in 0..3 {
        actor.try_tell(&Told::Note(n.to_string())).unwrap();
    }
    let full = actor.try_tell(&Told::Note("one too many".to_owned())).unwrap_err();
    assert_eq!(full, SendError::Overloaded("account/a".to_owned()));
    let waiting: Vec<_> = (3..20)
        .map(|n| {
            let actor = actor.clone();
            tokio::spawn(async move { actor.tell(&Told::Note(n.to_string())).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(waiting.iter().all(|waits| !waits.is_finished()));
    go_on.send(()).unwrap();
    for waits in waiting {
        waits.await.unwrap().unwrap();
    }
    assert_eq!(node.state("a").await.told.len(), 20);
}

#[tokio::test]
async fn those_who_wait_for_room_are_told_when_the_node_ends() {
    let (node, image) = held_up(1).await;
    let actor = account(&node, "a");
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let actor = actor.clone();
            tokio::spawn(async move { actor.tell(&Told::Add(1)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    node.runtime.shutdown().await.unwrap();
    for waits in waiting {
        assert_eq!(waits.await.unwrap(), Err(SendError::Stopping));
    }
    assert_eq!(actor.try_tell(&Told::Add(1)), Err(SendError::Stopping));
    assert_eq!(node.again(&image).await.state("a").await.balance, 0);
}

#[tokio::test]
async fn what_was_told_and_not_handled_is_kept_by_an_orderly_end_and_who_asked_is_told() {
    let (node, image) = held_up(1024).await;
    let actor = account(&node, "a");
    let notes = notes(30);
    for (n, note) in notes.iter().enumerate() {
        let told = Told::Note(note.clone());
        match n % 2 {
            0 => actor.tell(&told).await.unwrap(),
            _ => node.tell("a", told).await,
        }
    }
    let asked = tokio::spawn(async move { actor.ask::<i64>(&Told::Balance, PATIENCE).await });
    eventually("all of them wait", async || {
        (node.runtime.tree().mailbox_depth == 32).then_some(())
    })
    .await;
    node.runtime.shutdown().await.unwrap();
    let stopping = AskError::Send(SendError::Stopping);
    assert_eq!(asked.await.unwrap(), Err(stopping));
    let node = node.again(&image).await;
    let state = node.until("a", |account| account.told.len() == 30).await;
    assert_eq!(state.told, notes);
}

#[tokio::test]
async fn a_told_message_that_fails_is_tried_again_and_then_a_dead_letter_that_can_be_sent_again() {
    let (node, image) = Node::on_memory().await;
    let actor = account(&node, "a");
    actor.tell(&Told::Fail("always".to_owned())).await.unwrap();
    let asked = actor.ask::<i64>(&Told::ChangeAndFail, PATIENCE).await.unwrap_err();
    assert_eq!(asked, AskError::Rejected("changed my mind".to_owned()));
    let mut letters = node.runtime.dead_letters().list(10).unwrap();
    letters.sort_by_key(|letter| letter.attempts);
    let said: Vec<_> =
        letters.iter().map(|letter| (letter.attempts, letter.last_error.as_str())).collect();
    assert_eq!(said, [(1, "changed my mind"), (5, "always")]);
    assert_eq!(node.settings.handled.load(Ordering::SeqCst), 6);
    assert!(node.runtime.dead_letters().redrive(letters[1].id).await.unwrap());
    eventually("it failed as often again", async || handled(&node, 11)).await;
    assert_eq!(node.state("a").await.balance, 0);
    node.runtime.shutdown().await.unwrap();
    let attempts = Key::attempts_of("account", "a");
    assert!(image.scan(&attempts.start..&attempts.end, 1).unwrap().is_empty());
}

#[tokio::test]
async fn after_an_unclean_end_what_is_told_is_durable_before_it_is_handled() {
    let clock = clock();
    let backend = Arc::new(FaultyBackend::new(MemoryBackend::new(), FaultPlan::none()));
    let mut options = options(backend.clone(), &clock);
    options.unclean_ends = 1;
    let node = start(options, clock, Outside::default()).await;
    let actor = account(&node, "a");
    let refused = actor.try_tell(&Told::Balance).unwrap_err();
    assert_eq!(refused, SendError::Overloaded("account/a".to_owned()));
    actor.tell(&Told::Balance).await.unwrap();
    assert!(backend.calls(Call::Commit) > 0, "one that kills the process must be found out");
    assert_eq!(actor.ask::<i64>(&Told::Balance, PATIENCE).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_told_to_nobody_or_too_large_is_not_dropped_in_silence() {
    let (node, _) = Node::on_memory().await;
    node.runtime.tell::<Unregistered>("x", &()).await.unwrap();
    let letters = node.runtime.dead_letters().list(10).unwrap();
    assert_eq!(letters[0].reason, "no actor of kind unregistered is registered");
    let huge = Told::Note("x".repeat(2 * 1024 * 1024));
    let refused = account(&node, "a").tell(&huge).await.unwrap_err();
    assert!(matches!(refused, SendError::Refused(_)), "{refused}");
    let large = "x".repeat(100_000);
    account(&node, "a").tell(&Told::Note(large.clone())).await.unwrap();
    assert_eq!(node.state("a").await.told, [large]);
}

#[tokio::test]
async fn an_actor_is_let_go_while_it_is_referred_to_and_comes_back_when_it_is_told_something() {
    let clock = clock();
    let mut options = options(Arc::new(MemoryBackend::new()), &clock);
    options.limits.idle = Duration::from_millis(10);
    let node = start(options, clock, Outside::default()).await;
    let actor = account(&node, "a");
    actor.tell(&Told::Add(5)).await.unwrap();
    for _ in 0..2 {
        eventually("it left memory", async || {
            let actors = node.runtime.tree().children.remove(0).children;
            (actors.len() == 1 && actors[0].state == "passive").then_some(())
        })
        .await;
        assert_eq!(actor.ask::<i64>(&Told::Balance, PATIENCE).await.unwrap(), 5);
    }
    drop(actor);
    eventually("nothing is left of it", async || {
        node.runtime.tree().children[0].children.is_empty().then_some(())
    })
    .await;
}
