//! Sensors: position and messages in one commit, started again when they fail or fall silent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use perennial_runtime::{
    Clock, Runtime, SendError, Sensor, SensorContext, SensorError, Supervisor, Timestamp,
};
use perennial_store::MemoryBackend;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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
        // Longer than a busy machine keeps it waiting: it may be restarted five times.
        Duration::from_secs(1)
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
    refused: UnboundedSender<SendError>,
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
    let (refused, mut refusals) = unbounded_channel();
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

/// What becomes of the emission of a run: none if the run was ended before it was told.
type Outcome = Option<Result<(), SendError>>;

#[derive(Debug)]
enum Report {
    Held(usize),
    Over(usize, Outcome),
}

/// Tells the time, and holds a run that emits: past all that is looked at before, and on its thread, so
/// that it cannot be ended there.
#[derive(Clone, Debug)]
struct Gate {
    reports: UnboundedSender<Report>,
    lets: Arc<Mutex<HashMap<usize, mpsc::Receiver<()>>>>,
    emitting: Arc<Mutex<HashMap<tokio::task::Id, usize>>>,
    held: Arc<AtomicU32>,
}

impl Clock for Gate {
    fn now(&self) -> Timestamp {
        let task = tokio::task::try_id();
        let run = task.and_then(|task| self.emitting.lock().unwrap().remove(&task));
        if let Some(run) = run {
            let letting = self.lets.lock().unwrap().remove(&run).unwrap();
            self.held.fetch_add(1, Ordering::SeqCst);
            self.reports.send(Report::Held(run)).unwrap();
            // It has an end when the test is over.
            let _let = tokio::task::block_in_place(|| letting.recv());
        }
        clock().now()
    }
}

/// Emits the one event that there is. Its first run is found stalled after a while, later ones are not.
#[derive(Clone)]
struct Late {
    gate: Gate,
    runs: Arc<AtomicU32>,
    stalls_after: Duration,
}

struct Emitting {
    run: usize,
    outcome: Outcome,
    reports: UnboundedSender<Report>,
}

impl Drop for Emitting {
    fn drop(&mut self) {
        // Nobody listens when the test is over.
        let _over = self.reports.send(Report::Over(self.run, self.outcome.take()));
    }
}

impl Sensor for Late {
    const NAME: &'static str = "late";
    type Position = u64;

    fn stall_after(&self) -> Duration {
        let first = self.runs.load(Ordering::SeqCst) <= 1;
        if first { self.stalls_after } else { Duration::from_secs(3600) }
    }

    async fn run(&self, context: SensorContext<u64>) -> Result<(), SensorError> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) as usize;
        assert_eq!(*context.position(), 0, "run {run}");
        let mut emitting = Emitting { run, outcome: None, reports: self.gate.reports.clone() };
        self.gate.emitting.lock().unwrap().insert(tokio::task::id(), run);
        let emit = context.emit().send::<Account>("a", &Told::Note("event".to_owned()));
        emitting.outcome = Some(emit.position(&1).commit().await);
        drop(emitting);
        context.stopping().await;
        Ok(())
    }
}

/// Does not start, once the first run of [`Late`] is held.
struct Unable(Gate);

impl Sensor for Unable {
    const NAME: &'static str = "unable";
    type Position = ();

    fn stall_after(&self) -> Duration {
        while self.0.held.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        panic!("told to");
    }

    async fn run(&self, _: SensorContext<()>) -> Result<(), SensorError> {
        std::future::pending().await
    }
}

/// Two runs of a sensor that are under way at the same time, on one store.
struct Twice {
    backend: MemoryBackend,
    sensor: Late,
    reports: UnboundedReceiver<Report>,
    lets: [mpsc::Sender<()>; 2],
}

impl Twice {
    fn new(stalls_after: Duration) -> Self {
        let (sender, reports) = unbounded_channel();
        let ((first, held), (second, held_too)) = (mpsc::channel(), mpsc::channel());
        let gate = Gate {
            reports: sender,
            lets: Arc::new(Mutex::new(HashMap::from([(0, held), (1, held_too)]))),
            emitting: Arc::default(),
            held: Arc::default(),
        };
        let sensor = Late { gate, runs: Arc::default(), stalls_after };
        Self { backend: MemoryBackend::new(), sensor, reports, lets: [first, second] }
    }

    fn tree(&self) -> Supervisor {
        Supervisor::new("bank").actors::<Account>(Arc::default()).sensor(self.sensor.clone())
    }

    async fn start(&self, tree: Supervisor) -> Option<Runtime> {
        let mut options = options(Arc::new(self.backend.clone()), &clock());
        options.clock = Arc::new(self.sensor.gate.clone());
        Runtime::start(options, tree).await.ok()
    }

    async fn report(&mut self) -> Report {
        tokio::time::timeout(PATIENCE, self.reports.recv()).await.unwrap().unwrap()
    }

    async fn until_held(&mut self, run: usize) {
        let report = self.report().await;
        assert!(matches!(report, Report::Held(held) if held == run), "{report:?}");
    }

    /// Lets both emit, `first` before the other: what they are told.
    async fn let_both(mut self, first: usize) -> [Outcome; 2] {
        let mut outcomes = [None, None];
        for run in [first, 1 - first] {
            self.lets[run].send(()).unwrap();
            match self.report().await {
                Report::Over(over, outcome) if over == run => outcomes[run] = outcome,
                report @ (Report::Over(..) | Report::Held(_)) => panic!("{report:?}"),
            }
        }
        outcomes
    }
}

async fn events(runtime: &Runtime) -> Vec<String> {
    let told = runtime.ask::<Account, Account>("a", &Told::State, PATIENCE).await;
    told.unwrap().told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_stalled_run_of_a_sensor_still_emits_is_refused_once_the_next_run_has_begun() {
    for first in [0, 1] {
        let mut twice = Twice::new(Duration::from_millis(200));
        let runtime = twice.start(twice.tree()).await.unwrap();
        twice.until_held(0).await;
        // It is found stalled, and the next run has read the same position.
        twice.until_held(1).await;
        let outcomes = twice.let_both(first).await;
        assert_eq!(events(&runtime).await, ["event"], "run {first} first: {outcomes:?}");
        assert!(matches!(outcomes, [Some(Err(SendError::Refused(_))), Some(Ok(()))]));
        runtime.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_sensor_still_emits_after_its_node_has_ended_is_not_accepted() {
    for (first, starts) in [(0, true), (1, true), (0, false), (1, false)] {
        let mut twice = Twice::new(Duration::from_secs(3600));
        let gate = twice.sensor.gate.clone();
        if starts {
            let runtime = twice.start(twice.tree()).await.unwrap();
            twice.until_held(0).await;
            runtime.shutdown().await.unwrap();
        } else {
            assert!(twice.start(twice.tree().sensor(Unable(gate))).await.is_none());
            twice.until_held(0).await;
        }
        let runtime = twice.start(twice.tree()).await.unwrap();
        twice.until_held(1).await;
        let outcomes = twice.let_both(first).await;
        assert_eq!(events(&runtime).await, ["event"], "run {first} first: {outcomes:?}");
        assert!(matches!(outcomes, [Some(Err(_)), Some(Ok(()))]), "{outcomes:?}");
        runtime.shutdown().await.unwrap();
    }
}
