//! Queries on a node that dies at any moment, on virtual time and from a seed: random plans whose calls
//! change the world, people who change their minds, a store that fails at any call. What is told in the end
//! is held against what the world saw.
//!
//! `SEEDS=10000` plays so many runs; `SEED=7` plays that one again.

mod chance;
mod client;
mod sink;
mod verdict;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use perennial_query::config::Config;
use perennial_query::json::Json;
use perennial_query::orchestrator::QueryOrder;
use perennial_query::plan::{Plan, Step, ToolCall, Work};
use perennial_query::schedule::Definitions;
use perennial_query::tree::tree;
use perennial_query::worker::Bounds;
use perennial_runtime::{Crash, Death, Faults, Options, Runtime, SimulatedStore, Simulation};

use serde_json::json;

use chance::Chance;
use client::Client;
use sink::{Sink, tools};

struct Run {
    simulation: Simulation,
    store: SimulatedStore,
    sink: Sink,
    clients: Vec<Client>,
    chance: Chance,
    config: Config,
    unclean_ends: u32,
}

impl Run {
    fn seeded(seed: u64) -> Self {
        let mut chance = Chance::seeded(seed);
        let simulation = Simulation::seeded(chance.below(u64::MAX));
        let store = SimulatedStore::seeded(chance.below(u64::MAX));
        let looks = Duration::from_millis(chance.pick(&[1, 30, 300]));
        let sink = Sink::new(store.clone(), looks);
        let clients = (0..1 + chance.below(5) as usize)
            .map(|number| Client::new(number, &mut chance))
            .collect();
        let bounds = Bounds { concurrency: 1 + chance.below(4) as usize, queue: 100 };
        let config = Config {
            max_concurrent: 1 + chance.below(3) as usize,
            groups: BTreeMap::from([("deeds".to_owned(), bounds)]),
            timeout: Duration::from_secs(chance.pick(&[60, 24 * 3_600])),
            ..Config::default()
        };
        Self { simulation, store, sink, clients, chance, config, unclean_ends: 0 }
    }

    fn play(&mut self) -> Result<(), String> {
        for _ in 0..self.chance.below(6) {
            let (death, faults) = self.draw();
            let keeps = self.chance.one_in(2);
            let asleep = self.chance.pick(&[0, 10, 1_000, 70_000]);
            self.dies(death, (faults, keeps), Duration::from_millis(asleep))?;
        }
        self.ends()
    }

    /// One life, and the time until the next.
    fn dies(
        &mut self,
        death: Option<Death>,
        (faults, keeps): (Faults, bool),
        asleep: Duration,
    ) -> Result<(), String> {
        self.store.begin(faults, keeps).map_err(|error| error.to_string())?;
        self.live(death)?;
        self.unclean_ends += 1;
        self.simulation.clock().forward(asleep);
        Ok(())
    }

    /// The last life.
    fn ends(&mut self) -> Result<(), String> {
        let longest_sync = Duration::from_millis(2);
        let faults = Faults { longest_sync, ..Faults::default() };
        self.store.begin(faults, true).map_err(|error| error.to_string())?;
        self.last()
    }

    fn draw(&mut self) -> (Option<Death>, Faults) {
        let chance = &mut self.chance;
        let longest = chance.pick(&[5, 50, 500, 5_000]);
        let (after, steps) = (Duration::from_millis(chance.below(longest)), chance.below(300));
        let death = Some(Death { after, steps: steps as u32 });
        let at = 1 + chance.below(60);
        let crash = match chance.below(6) {
            0 => Some(Crash::Get(at)),
            1 => Some(Crash::Before(at)),
            2 => Some(Crash::After(at)),
            3 => Some(Crash::Sync(at)),
            _ => None,
        };
        let longest_sync = Duration::from_millis(chance.pick(&[0, 2, 20]));
        (death, Faults { crash, longest_sync, ..Faults::default() })
    }

    fn options(&mut self) -> Options {
        let mut options = self.simulation.options(Arc::new(self.store.clone()));
        options.unclean_ends = self.unclean_ends;
        options
    }

    /// One life, to its death.
    fn live(&mut self, death: Option<Death>) -> Result<(), String> {
        let options = self.options();
        let (clients, sink) = (self.clients.clone(), self.sink.clone());
        let tree = tree(self.config.clone(), Arc::default(), tools(&sink), Definitions::default());
        let life = async move {
            let Ok(runtime) = Runtime::start(options, tree).await else { return };
            for client in clients {
                tokio::spawn(client.run(runtime.clone(), sink.clone()));
            }
            runtime.failed().await;
        };
        self.simulation.live(death, life).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The life in which nothing goes wrong any more: everything ends, and is judged.
    fn last(&mut self) -> Result<(), String> {
        let options = self.options();
        let (clients, sink) = (self.clients.clone(), self.sink.clone());
        let tree = tree(self.config.clone(), Arc::default(), tools(&sink), Definitions::default());
        let places = self.config.max_concurrent;
        let calls = self.config.groups["deeds"].concurrency;
        let life = async move {
            let runtime = Runtime::start(options, tree).await.map_err(|error| error.to_string())?;
            let running: Vec<_> = clients
                .iter()
                .map(|client| tokio::spawn(client.clone().run(runtime.clone(), sink.clone())))
                .collect();
            for client in running {
                client.await.map_err(|error| error.to_string())?;
            }
            verdict::until_all_ended(&runtime, &clients, &sink).await?;
            verdict::judge(&runtime.tables(), &clients, &sink)?;
            verdict::places_are_free(&runtime, places, calls).await?;
            runtime.shutdown().await.map_err(|error| error.to_string())
        };
        let ended = self.simulation.live(None, life).map_err(|error| error.to_string())?;
        ended.unwrap_or_else(|| Err("the last life was cut short".to_owned()))
    }
}

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "how a longer run, or one again, is asked for")]
    let asked = std::env::var(name).ok();
    asked.and_then(|number| number.parse().ok())
}

#[test]
fn whatever_dies_and_whatever_is_wanted_nothing_is_done_twice_and_what_is_told_is_true() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(20),
    };
    let mut wrong = Vec::new();
    for seed in seeds {
        let mut run = Run::seeded(seed);
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.play()));
        let played = played.unwrap_or_else(|_| Err("the run panicked".to_owned()));
        if let Err(why) = played {
            let again = "cargo test -p perennial-query --test queries simulated::whatever";
            wrong.push(format!("seed {seed}: {why}\n  again: SEED={seed} {again}"));
        }
        if wrong.len() >= 5 {
            break;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A call is under way when the first process dies. In the second its query is cancelled, while it is looked up
/// what became of the call; it dies as well, at any moment, and the third finds the call.
#[test]
fn a_call_of_a_cancelled_query_is_never_begun_wherever_the_process_dies_and_however_long_it_is_down()
 {
    let arguments = Json(json!({"before": 10_000}));
    let call = ToolCall { tool: "shown".to_owned(), arguments };
    let steps = vec![Step::new("deed", Work::Call(call))];
    let plan = Plan { name: "deed".to_owned(), steps, ..Plan::default() };
    let mut cancelled = 0;
    for (at, asleep) in (0..60).flat_map(|at| [(at, 1), (at, 3_600)]) {
        let mut run = Run::seeded(at);
        run.sink = Sink::new(run.store.clone(), Duration::from_millis(100));
        run.config.timeout = Duration::from_secs(24 * 3_600);
        let cancel = QueryOrder::Cancel { reason: String::new() };
        let orders = VecDeque::from([(Duration::from_millis(500), cancel)]);
        run.clients = vec![Client::with(0, plan.clone(), orders)];
        let death = |millis| Some(Death { after: Duration::from_millis(millis), steps: 0 });
        let faults = Faults { longest_sync: Duration::from_millis(2), ..Faults::default() };
        run.dies(death(400), (faults.clone(), true), Duration::ZERO).unwrap();
        run.clients[0].hurries();
        run.dies(death(at), (faults, true), Duration::from_secs(asleep)).unwrap();
        cancelled += usize::from(run.sink.has_cancelled());
        assert_eq!(run.ends(), Ok(()), "dead after {at} ms, and {asleep} s long");
    }
    assert!(cancelled > 20, "the query was cancelled in time in {cancelled} of the runs only");
}
