//! Sensors: position and messages in one commit, started again when they fail or fall silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use perennial_runtime::{Runtime, SendError, Sensor, SensorContext, SensorError, Supervisor};
use perennial_store::MemoryBackend;

use crate::world::{Account, PATIENCE, Settings, Told, clock, eventually, options};

/// Counts upward; each run of it ends after a few numbers, in a way of its own.
struct Counter {
    runs: Arc<AtomicU32>,
    last: u64,
}

impl Sensor for Counter {
    const NAME: &'static str = "counter";
    type Position = u64;

    fn stall_after(&self) -> Duration {
        Duration::from_millis(50)
    }

    async fn run(&self, context: SensorContext<u64>) -> Result<(), SensorError> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        let first = *context.position() + 1;
        for number in first..(first + 3).min(self.last + 1) {
            let told = Told::Note(number.to_string());
            context.emit().send::<Account>("a", &told).position(&number).commit().await?;
        }
        match run {
            0 => Err("the world went away".into()),
            1 => panic!("told to"),
            2 => std::future::pending().await,
            _ => loop {
                context.alive();
                tokio::select! {
                    () = context.stopping() => return Ok(()),
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
            },
        }
    }
}

#[tokio::test]
async fn a_sensor_goes_on_from_its_position_after_an_error_a_panic_and_a_stall() {
    let clock = clock();
    let runs = Arc::new(AtomicU32::new(0));
    let tree = Supervisor::new("bank")
        .actors::<Account>(Arc::new(Settings::default()))
        .sensor(Counter { runs: runs.clone(), last: 12 });
    let options = options(Arc::new(MemoryBackend::new()), &clock);
    let runtime = Runtime::start(options, tree).await.unwrap();
    let expected: Vec<String> = (1..=12).map(|n| n.to_string()).collect();
    eventually("all numbers arrived once, in order", async || {
        let state: Account = runtime.ask::<Account, _>("a", &Told::State, PATIENCE).await.unwrap();
        (state.told == expected).then_some(())
    })
    .await;
    let sensor = runtime.tree().children.into_iter().find(|child| child.key == "counter").unwrap();
    // On a busy machine it may be found stalled once more.
    assert!(sensor.restarts >= 3, "{sensor:?}");
    runtime.shutdown().await.unwrap();
}

/// Emits what is too large between two messages, then a position that is too large.
struct Careless {
    refused: tokio::sync::mpsc::UnboundedSender<SendError>,
}

impl Sensor for Careless {
    const NAME: &'static str = "careless";
    type Position = String;

    async fn run(&self, context: SensorContext<String>) -> Result<(), SensorError> {
        if context.position().is_empty() {
            let large = |mib: usize| Told::Note("x".repeat(mib * 1024 * 1024));
            let emit = context.emit().send::<Account>("a", &Told::Add(1));
            let emit = emit.send::<Account>("a", &large(2)).send::<Account>("a", &large(9));
            let emit = emit.send::<Account>("k".repeat(5_000), &Told::Add(1));
            let emit = emit.send::<Account>("a", &Told::Add(2));
            emit.position(&"done".to_owned()).commit().await?;
            let far = "x".repeat(9 * 1024 * 1024);
            let refused = context.emit().position(&far).commit().await;
            self.refused.send(refused.unwrap_err())?;
        }
        context.stopping().await;
        Ok(())
    }
}

#[tokio::test]
async fn what_a_sensor_emits_too_large_is_a_dead_letter_and_the_rest_is_accepted() {
    let clock = clock();
    let (refused, mut refusals) = tokio::sync::mpsc::unbounded_channel();
    let tree = Supervisor::new("bank")
        .actors::<Account>(Arc::new(Settings::default()))
        .sensor(Careless { refused });
    let options = options(Arc::new(MemoryBackend::new()), &clock);
    let runtime = Runtime::start(options, tree).await.unwrap();
    let refused = refusals.recv().await.unwrap().to_string();
    assert!(refused.contains("position") && refused.contains("limit of 4194304"), "{refused}");
    let state: Account = runtime.ask::<Account, _>("a", &Told::State, PATIENCE).await.unwrap();
    assert_eq!((state.balance, state.told.len()), (3, 0));
    let letters = runtime.dead_letters().list(9).unwrap();
    let reasons: Vec<_> = letters.iter().rev().map(|letter| letter.reason.as_str()).collect();
    let over = |bytes: usize| format!("careless: {bytes} bytes are over the limit of 1048576");
    let payload = |mib: usize| perennial_store::encode(&Told::Note("x".repeat(mib << 20)));
    let expected = [
        over(payload(2).unwrap().len()),
        over(payload(9).unwrap().len()),
        "careless: a key is over the limit of 255 bytes".to_owned(),
    ];
    assert_eq!(reasons, expected);
    assert!(letters[2].payload_bytes > 2 << 20 && letters[1].payload_bytes == 0, "{letters:?}");
    assert_eq!(runtime.tree().children[1].restarts, 0);
}
