//! What goes wrong around the turns: panics of observers and of stores, clocks that step, redrives by
//! two people at once, a state nobody can read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use perennial_runtime::{
    AskError, Durable, Failure, Kind, MessageId, Runtime, SendError, SendOptions, Supervisor,
    Timestamp, Turn,
};
use perennial_store::{Backend, Batch, Epoch, Key, Layer, MemoryBackend, StoreError};
use serde::{Deserialize, Serialize};

use crate::world::{
    Account, Behaviour, Deed, NOTES, Node, Outside, PATIENCE, Settings, Told, clock, eventually,
    options, start,
};

/// A store that counts what is asked of it, panics at its commit of this number, and applies the commit
/// of this row without knowing whether it is durable.
#[derive(Debug, Default)]
struct Odd {
    inner: MemoryBackend,
    uncertain: Option<Key>,
    panics_at: u32,
    commits: AtomicU32,
    settles: AtomicU32,
}

impl Layer for Odd {
    fn below(&self) -> &dyn Backend {
        &self.inner
    }

    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        assert!(self.commits.fetch_add(1, Ordering::SeqCst) + 1 != self.panics_at, "told to");
        self.inner.commit(epoch, batch)?;
        match &self.uncertain {
            Some(row) if batch.iter().any(|(key, _)| key == row) => Err(StoreError::Backend {
                attempted: "sync".to_owned(),
                message: "told to fail".to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.settles.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn a_store_that_panics_fails_the_node_and_nobody_waits_for_ever() {
    let clock = clock();
    let backend = Arc::new(Odd { panics_at: 2, ..Odd::default() });
    let node = start(options(backend, &clock), clock, Outside::default()).await;
    node.tell("a", Told::Add(1)).await;
    let (sent, asked) = tokio::time::timeout(PATIENCE, async {
        tokio::join!(
            node.runtime.send::<Account>("a", &Told::Add(1)),
            node.runtime.ask::<Account, i64>("a", &Told::Balance, Duration::from_secs(3600)),
        )
    })
    .await
    .unwrap();
    assert_eq!(sent.unwrap_err(), SendError::Unknown);
    assert_eq!(asked.unwrap_err(), AskError::Send(SendError::Unknown));
    let failed = tokio::time::timeout(PATIENCE, node.runtime.failed()).await.unwrap();
    assert!(failed.to_string().contains("store failed"), "{failed}");
    let ended = tokio::time::timeout(PATIENCE, node.runtime.shutdown()).await.unwrap();
    assert!(ended.is_err(), "a shutdown after a failed commit is not in order");
}

#[tokio::test]
async fn a_token_whose_acceptance_can_be_read_and_is_not_durable_is_unknown_also_the_second_time() {
    let clock = clock();
    let uncertain = Some(Key::receipt("t"));
    let backend = Arc::new(Odd { uncertain, ..Odd::default() });
    let node = start(options(backend, &clock), clock, Outside::default()).await;
    for _ in 0..2 {
        let with = SendOptions { token: Some("t".to_owned()), ..SendOptions::default() };
        let sent = node.runtime.send_with::<Account>("a", &Told::Add(1), with).await;
        assert_eq!(sent.unwrap_err(), SendError::Unknown);
    }
}

#[tokio::test]
async fn an_answer_that_can_be_read_and_is_not_durable_is_unknown_also_the_second_time() {
    let clock = clock();
    // Written by the turn, with the answer.
    let uncertain = Some(Key::state("account", "a"));
    let backend = Arc::new(Odd { uncertain, ..Odd::default() });
    let node = start(options(backend, &clock), clock, Outside::default()).await;
    for _ in 0..2 {
        let with = SendOptions { token: Some("t".to_owned()), ..SendOptions::default() };
        let asked = node.runtime.ask_with::<Account, i64>("a", &Told::Balance, PATIENCE, with);
        assert_eq!(asked.await.unwrap_err(), AskError::Send(SendError::Unknown));
    }
}

#[tokio::test]
async fn what_is_read_for_the_outside_is_settled_first_also_when_it_is_not_there() {
    let clock = clock();
    let backend = Arc::new(Odd::default());
    let node = start(options(backend.clone(), &clock), clock, Outside::default()).await;
    let (tables, letters) = (node.runtime.tables(), node.runtime.dead_letters());
    assert!(tables.get(&NOTES, "k").unwrap().is_none());
    assert!(tables.scan(&NOTES, b"k", 9).unwrap().is_empty());
    assert!(tables.scan_back(&NOTES, b"k", 9).unwrap().is_empty());
    assert!(letters.list(9).unwrap().is_empty());
    assert!(letters.show(MessageId { unit: 1, index: 1 }).unwrap().is_none());
    assert_eq!(backend.settles.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_letter_redriven_by_two_at_once_is_handled_once() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::ChangeAndFail).await;
    let letters = node.runtime.dead_letters();
    let id = eventually("a dead letter", async || letters.list(1).unwrap().pop()).await.id;
    let (first, second) = tokio::join!(letters.redrive(id), letters.redrive(id));
    assert_eq!([first.unwrap(), second.unwrap()].iter().filter(|done| **done).count(), 1);
    node.until("a", |_| letters.list(10).unwrap().len() == 1).await;
    assert_eq!(letters.list(10).unwrap().len(), 1);
}

#[tokio::test]
async fn a_letter_redriven_to_a_kind_nobody_registered_is_a_letter_again() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::SendToNobody).await;
    let letters = node.runtime.dead_letters();
    let id = eventually("a dead letter", async || letters.list(1).unwrap().pop()).await.id;
    assert!(letters.redrive(id).await.unwrap());
    let again = letters.list(10).unwrap();
    assert!(again.len() == 1 && again[0].id != id, "{again:?}");
}

#[tokio::test]
async fn an_effect_that_was_done_before_the_crash_and_expired_meanwhile_is_found_done() {
    let (node, backend) = Node::on_memory().await;
    node.outside.behave(Behaviour::DoesAndHangs);
    let expires = Some(perennial_runtime::Clock::now(&node.clock) + Duration::from_secs(60));
    node.tell("a", Told::Perform(Deed { expires, ..Deed::named("x") })).await;
    eventually("the deed is done", async || (!node.outside.names().await.is_empty()).then_some(()))
        .await;
    node.runtime.shutdown().await.unwrap();
    node.clock.advance(Duration::from_secs(61));
    let node = node.again(&backend).await;
    node.until("a", |account| account.outcomes == ["found x done"]).await;
}

#[tokio::test]
async fn a_kept_failure_is_reconciled_before_it_is_redriven() {
    let (node, backend) = Node::on_memory().await;
    node.outside.behave(Behaviour::DoesAndHangs);
    let deed = Deed { keep: true, attempts: 1, ..Deed::named("x") };
    node.tell("a", Told::Perform(deed.clone())).await;
    node.until("a", |account| account.outcomes == ["found x done"]).await;
    node.outside.behave(Behaviour::FailsForGood);
    node.tell("a", Told::Perform(Deed { name: "y".to_owned(), ..deed })).await;
    node.until("a", |account| account.outcomes.len() == 2).await;
    let asked = node.outside.asked.load(Ordering::SeqCst);
    node.outside.behave(Behaviour::Works);
    let letters = node.runtime.dead_letters();
    assert!(letters.redrive(letters.list(1).unwrap()[0].id).await.unwrap());
    node.until("a", |account| account.outcomes.len() == 3).await;
    assert!(node.outside.asked.load(Ordering::SeqCst) > asked);
    drop(backend);
}

#[tokio::test]
async fn a_last_attempt_that_the_world_shows_undone_failed_and_is_not_unknown() {
    let (node, _) = Node::on_memory().await;
    node.outside.behave(Behaviour::Hangs);
    node.tell("a", Told::Perform(Deed { attempts: 1, ..Deed::named("x") })).await;
    let state = node.until("a", |account| account.outcomes.len() == 1).await;
    assert!(state.outcomes[0].starts_with("failed: no answer"), "{state:?}");
}

/// An account stored by a later version, whose migration this one does not know.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Older;

impl Durable for Older {
    const KIND: Kind = Kind::new("account");
    const VERSION: u16 = 9;
    type Message = Told;
    type Settings = ();
    fn handle(&mut self, _: Told, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        turn.reply(&1);
        Ok(())
    }
    fn migrate_message(_: u16, _: &[u8]) -> Result<Told, Failure> {
        panic!("a defect of the migration")
    }
}

#[tokio::test]
async fn an_actor_whose_state_nobody_can_read_stays_inactive_and_others_go_on() {
    let (node, backend) = Node::on_memory().await;
    node.tell("a", Told::Add(1)).await;
    node.state("a").await;
    node.runtime.shutdown().await.unwrap();
    let tree = Supervisor::new("bank").actors::<Older>(());
    let runtime =
        Runtime::start(options(Arc::new(backend.clone()), &node.clock), tree).await.unwrap();
    runtime.send::<Older>("a", &Told::Add(1)).await.unwrap();
    eventually("it is given up", async || {
        let kinds = runtime.tree().children;
        (kinds[0].children.first()?.state == "given_up").then_some(())
    })
    .await;
    assert_eq!(runtime.ask::<Older, i32>("b", &Told::Balance, PATIENCE).await.unwrap(), 1);
    runtime.shutdown().await.unwrap();
    let node = node.again(&backend).await;
    let told = node.state("a").await;
    assert_eq!(told.balance, 1);
    let letters = node.runtime.dead_letters().list(10).unwrap();
    assert_eq!(letters.len(), 1, "the message of version 9 waited: {letters:?}");
}

#[tokio::test]
async fn a_panicking_migration_of_a_message_ends_in_the_dead_letters() {
    let (node, backend) = Node::on_memory().await;
    node.outside.behave(Behaviour::Hangs);
    // A timer holds a message of version 1 and there is no state of version 1 to read.
    node.tell("a", Told::Remind { name: "t".to_owned(), after_ms: 1000, note: "x".to_owned() })
        .await;
    node.tell("a", Told::Balance).await;
    node.state("a").await;
    node.runtime.shutdown().await.unwrap();
    let epoch = backend.claim().unwrap();
    let mut batch = Batch::new();
    batch.delete(Key::state("account", "a"));
    backend.commit(epoch, &batch).unwrap();
    node.clock.advance(Duration::from_secs(2));
    let tree = Supervisor::new("bank").actors::<Older>(());
    let runtime =
        Runtime::start(options(Arc::new(backend.clone()), &node.clock), tree).await.unwrap();
    let letter =
        eventually("a dead letter", async || runtime.dead_letters().list(1).unwrap().pop()).await;
    assert!(letter.last_error.contains("a defect of the migration"), "{letter:?}");
}

#[tokio::test]
async fn a_timer_survives_a_clock_set_back_and_a_restart_of_its_actor() {
    let clock = clock();
    let mut options = options(Arc::new(MemoryBackend::new()), &clock);
    options.limits.retry_base = Duration::from_secs(1);
    options.limits.retry_cap = Duration::from_secs(1);
    let tree = Supervisor::new("bank").actors::<Account>(Arc::new(Settings::default()));
    let runtime = Runtime::start(options, tree).await.unwrap();
    let remind = Told::Remind { name: "t".to_owned(), after_ms: 1000, note: "x".to_owned() };
    runtime.send::<Account>("a", &remind).await.unwrap();
    // While it waits to try again, the timer falls due; the clock is set back; it restarts.
    runtime.send::<Account>("a", &Told::Fail("busy".to_owned())).await.unwrap();
    runtime.send::<Account>("a", &Told::Restart).await.unwrap();
    let now = perennial_runtime::Clock::now(&clock);
    clock.advance(Duration::from_secs(2));
    tokio::time::sleep(Duration::from_millis(600)).await;
    clock.set(Timestamp::from_micros(now.as_micros() - 60_000_000));
    eventually("the restart", async || {
        let kinds = runtime.tree().children;
        kinds[0].children.first().filter(|actor| actor.restarts > 0).map(drop)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    clock.set(now + Duration::from_secs(10));
    eventually("the timer fires", async || {
        let state: Account = runtime.ask::<Account, _>("a", &Told::State, PATIENCE).await.unwrap();
        (state.told == ["x"]).then_some(())
    })
    .await;
}
