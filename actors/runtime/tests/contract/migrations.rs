//! What an older version stored is read by a migration; what a newer one stored is refused by name.

use std::sync::Arc;

use perennial_runtime::{
    Attempt, Durable, Effect, EffectError, Failure, Finished, Kind, ManualClock, Performer,
    Runtime, RuntimeError, Sensor, SensorContext, SensorError, Supervisor, Turn,
};
use perennial_store::{Backend, FaultPlan, FaultyBackend, Key, MemoryBackend, decode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::world::{PATIENCE, clock, eventually, options};

#[derive(Clone, Default, Serialize, Deserialize)]
struct Press;

#[derive(Serialize, Deserialize)]
enum Order {
    Old(String),
    New(String),
    Printed,
}

impl Durable for Press {
    const KIND: Kind = Kind::new("press");
    type Message = Order;
    type Settings = ();
    fn handle(&mut self, order: Order, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match order {
            Order::Old(text) => drop(turn.perform(&PrintOld { text })),
            Order::New(text) => drop(turn.perform(&Print { text, copies: 7 })),
            Order::Printed => {}
        }
        Ok(())
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct PrintOld {
    text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Print {
    text: String,
    copies: u32,
}

impl Effect for PrintOld {
    const NAME: &'static str = "print";
    type Owner = Press;
    type Outcome = ();
}

impl Effect for Print {
    const NAME: &'static str = "print";
    const VERSION: u16 = 2;
    type Owner = Press;
    type Outcome = ();
    fn migrate(version: u16, payload: &[u8]) -> Result<Self, Failure> {
        assert_eq!(version, 1);
        let old: PrintOld = decode(payload)?;
        Ok(Self { text: old.text, copies: 1 })
    }
}

impl From<Finished<PrintOld>> for Order {
    fn from(_: Finished<PrintOld>) -> Self {
        Self::Printed
    }
}

impl From<Finished<Print>> for Order {
    fn from(_: Finished<Print>) -> Self {
        Self::Printed
    }
}

/// Tells what it prints; without anybody to tell it never ends.
struct Printer<E>(Option<UnboundedSender<E>>);

impl<E: Effect<Owner = Press, Outcome = ()>> Performer<E> for Printer<E> {
    async fn perform(&self, print: &E, _: &Attempt) -> Result<(), EffectError> {
        match &self.0 {
            Some(told) => told.send(print.clone()).map_err(EffectError::permanent),
            None => std::future::pending().await,
        }
    }
}

async fn start(
    backend: &MemoryBackend,
    clock: &ManualClock,
    tree: Supervisor,
) -> Result<Runtime, RuntimeError> {
    Runtime::start(options(Arc::new(backend.clone()), clock), tree).await
}

fn press() -> Supervisor {
    Supervisor::new("works").actors::<Press>(())
}

/// Accepted is not handled: waits until the effect is in the store, as this version wrote it.
async fn until_ordered(backend: &MemoryBackend) {
    let effects = Key::effects();
    eventually("the effect is stored", async || {
        let rows = backend.scan(&effects.start..&effects.end, 1).unwrap();
        (!rows.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_effect_of_an_older_version_is_migrated_and_performed() {
    let (backend, clock) = (MemoryBackend::new(), clock());
    let old = press().performer::<PrintOld, _>(Printer(None));
    let runtime = start(&backend, &clock, old).await.unwrap();
    runtime.send::<Press>("a", &Order::Old("hello".to_owned())).await.unwrap();
    until_ordered(&backend).await;
    runtime.shutdown().await.unwrap();
    let (told, mut printed) = unbounded_channel();
    let new = press().performer::<Print, _>(Printer(Some(told)));
    let runtime = start(&backend, &clock, new).await.unwrap();
    let expected = Print { text: "hello".to_owned(), copies: 1 };
    assert_eq!(received(&mut printed).await, expected);
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_effect_of_a_newer_version_is_a_dead_letter_that_names_its_row() {
    let (backend, clock) = (MemoryBackend::new(), clock());
    let new = press().performer::<Print, _>(Printer(None));
    let runtime = start(&backend, &clock, new).await.unwrap();
    runtime.send::<Press>("a", &Order::New("hello".to_owned())).await.unwrap();
    until_ordered(&backend).await;
    runtime.shutdown().await.unwrap();
    let (told, _printed) = unbounded_channel();
    let old = press().performer::<PrintOld, _>(Printer(Some(told)));
    let runtime = start(&backend, &clock, old).await.unwrap();
    let letter =
        eventually("a dead letter", async || runtime.dead_letters().list(1).unwrap().pop()).await;
    assert_eq!(letter.reason, "undecodable");
    let why = &letter.last_error;
    assert!(why.starts_with("effect ") && why.contains("version 2 by a newer program"), "{why}");
    runtime.shutdown().await.unwrap();
}

async fn received<T>(from: &mut UnboundedReceiver<T>) -> T {
    tokio::time::timeout(PATIENCE, from.recv()).await.unwrap().unwrap()
}

/// Tells its position and moves it.
struct Gauge<const VERSION: u16>(UnboundedSender<String>);

impl Sensor for Gauge<1> {
    const NAME: &'static str = "gauge";
    type Position = u64;
    async fn run(&self, context: SensorContext<u64>) -> Result<(), SensorError> {
        context.emit().position(&7_u64).commit().await?;
        self.0.send(context.position().to_string())?;
        context.stopping().await;
        Ok(())
    }
}

impl Sensor for Gauge<2> {
    const NAME: &'static str = "gauge";
    const VERSION: u16 = 2;
    type Position = String;
    async fn run(&self, context: SensorContext<String>) -> Result<(), SensorError> {
        context.emit().position(&"eight".to_owned()).commit().await?;
        self.0.send(context.position().clone())?;
        context.stopping().await;
        Ok(())
    }
    fn migrate(version: u16, payload: &[u8]) -> Result<String, Failure> {
        Ok(format!("{} of version {version}", decode::<u64>(payload)?))
    }
}

#[tokio::test]
async fn a_position_of_an_older_version_is_migrated_and_one_of_a_newer_version_is_refused() {
    let (backend, clock) = (MemoryBackend::new(), clock());
    let (told, mut positions) = unbounded_channel();
    for expected in ["0", "7"] {
        let old = Supervisor::new("house").sensor(Gauge::<1>(told.clone()));
        let runtime = start(&backend, &clock, old).await.unwrap();
        assert_eq!(received(&mut positions).await, expected);
        runtime.shutdown().await.unwrap();
    }
    for expected in ["7 of version 1", "eight"] {
        let new = Supervisor::new("house").sensor(Gauge::<2>(told.clone()));
        let runtime = start(&backend, &clock, new).await.unwrap();
        assert_eq!(received(&mut positions).await, expected);
        runtime.shutdown().await.unwrap();
    }
    let store = Arc::new(FaultyBackend::new(backend.clone(), FaultPlan::none()));
    let shared: Arc<dyn Backend> = store.clone();
    let old = Supervisor::new("house").sensor(Gauge::<1>(told));
    let refused = Runtime::start(options(shared, &clock), old).await.unwrap_err().to_string();
    assert!(refused.contains("position gauge") && refused.contains("newer"), "{refused}");
    eventually("a start that failed leaves nothing behind that holds the store", async || {
        (Arc::strong_count(&store) == 1).then_some(())
    })
    .await;
}
