//! Sensors: position and messages in one commit, started again when they fail or fall silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use perennial_runtime::{Runtime, Sensor, SensorContext, SensorError, Supervisor};
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
            _ => {
                context.stopping().await;
                Ok(())
            }
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
    assert_eq!((sensor.restarts, sensor.state.as_str()), (3, "running"));
    runtime.shutdown().await.unwrap();
}
