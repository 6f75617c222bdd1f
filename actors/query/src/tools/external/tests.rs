use std::time::Duration;

use perennial_runtime::{ManualClock, Timestamp};
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::plan::ErrorKind;
use crate::tool::Identity;

const NOW: Duration = Duration::ZERO;

struct Bench {
    clock: ManualClock,
    broker: Arc<Broker>,
}

fn pool(changes_world: bool) -> Config {
    let tool = Offer { name: "double".to_owned(), changes_world, ..Offer::default() };
    let pool = Pool { name: "math".to_owned(), tools: vec![tool], ..Pool::default() };
    Config { pools: vec![pool] }
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::at(Timestamp::from_micros(1_000_000_000));
        let broker = Broker::new(&pool(false).pools, Arc::new(clock.clone()));
        Self { clock, broker: Arc::new(broker) }
    }

    fn call(&self, changes_world: bool) -> JoinHandle<Result<ToolAnswer, ToolError>> {
        let toolbox = add(Toolbox::default(), &pool(changes_world), &self.broker).unwrap();
        let tool = Arc::clone(toolbox.get("double").unwrap());
        let call = Call {
            tool: "double".to_owned(),
            arguments: json!({"n": 2}).into(),
            identity: Identity::default(),
            key: "k".to_owned(),
            label: "q/s".to_owned(),
            attempt: 1,
            deadline: Timestamp::MAX,
            timeout: Duration::from_secs(15),
        };
        tokio::spawn(async move { tool.call(&call).await })
    }

    async fn lend(&self, worker: &str) -> Lending {
        let patience = Duration::from_secs(20);
        self.broker.lend("math", worker, patience).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_worker_gets_a_job_and_what_it_gives_back_is_the_answer() {
    let bench = Bench::new();
    let call = bench.call(false);
    let job = bench.lend("a").await;
    assert_eq!(job.call.arguments.0, json!({"n": 2}));
    let answer = answer_of(Some(json!(4)), None).unwrap();
    assert_eq!(bench.broker.give_back("math", job.id, job.lease, answer), Ok(()));
    assert_eq!(call.await.unwrap().unwrap().value.0, json!(4));
}

#[tokio::test]
async fn a_worker_that_waits_gets_a_job_as_soon_as_there_is_one() {
    let bench = Bench::new();
    let broker = Arc::clone(&bench.broker);
    let patience = Duration::from_secs(20);
    let waits = tokio::spawn(async move { broker.lend("math", "a", patience).await });
    tokio::task::yield_now().await;
    let _call = bench.call(false);
    assert!(waits.await.unwrap().unwrap().is_some());
    assert_eq!(bench.broker.lend("math", "a", NOW).await.map(|job| job.is_some()), Ok(false));
    assert!(bench.broker.lend("none", "a", NOW).await.is_err());
}

#[tokio::test]
async fn the_job_of_a_silent_worker_goes_to_another_and_what_the_first_one_did_counts_for_nothing()
{
    let bench = Bench::new();
    let call = bench.call(false);
    let first = bench.lend("a").await;
    bench.clock.advance(Duration::from_secs(31));
    let second = bench.lend("b").await;
    assert_eq!((second.id, second.lease > first.lease), (first.id, true));
    let late = answer_of(Some(json!("late")), None).unwrap();
    assert_eq!(bench.broker.give_back("math", first.id, first.lease, late), Err(Gone));
    assert_eq!(bench.broker.renew("math", first.id, first.lease), Err(Gone));
    let answer = answer_of(Some(json!(4)), None).unwrap();
    assert_eq!(bench.broker.give_back("math", second.id, second.lease, answer), Ok(()));
    assert_eq!(call.await.unwrap().unwrap().value.0, json!(4));
}

#[tokio::test]
async fn what_a_worker_of_an_earlier_process_gives_back_is_taken_for_no_other_job() {
    let bench = Bench::new();
    let _call = bench.call(false);
    let before = bench.lend("a").await;
    bench.clock.advance(Duration::from_millis(1));
    let next = Bench {
        broker: Arc::new(Broker::new(&pool(false).pools, Arc::new(bench.clock.clone()))),
        clock: bench.clock.clone(),
    };
    let _call = next.call(false);
    next.lend("b").await;
    let late = answer_of(Some(json!("late")), None).unwrap();
    assert_eq!(next.broker.give_back("math", before.id, before.lease, late), Err(Gone));
}

#[tokio::test]
async fn a_worker_that_says_it_is_alive_keeps_its_job() {
    let bench = Bench::new();
    let _call = bench.call(false);
    let job = bench.lend("a").await;
    bench.clock.advance(Duration::from_secs(20));
    let until = bench.broker.renew("math", job.id, job.lease).unwrap();
    assert_eq!(until, Timestamp::from_micros(1_050_000_000));
    assert_eq!(bench.broker.standing()[0].lent, ["a"]);
}

#[tokio::test]
async fn what_changes_the_world_is_not_done_by_a_second_worker() {
    let bench = Bench::new();
    let call = bench.call(true);
    bench.lend("a").await;
    bench.clock.advance(Duration::from_secs(31));
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unknown);
    assert!(error.message.contains("`a`"), "{error}");
}

#[tokio::test]
async fn a_pool_without_workers_says_so_and_a_call_that_is_dropped_leaves_no_job() {
    let bench = Bench::new();
    let call = bench.call(false);
    bench.clock.advance(Duration::from_secs(91));
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("no worker of the pool `math`"), "{error}");
    // Somebody comes, so that the next job waits.
    assert!(bench.broker.lend("math", "a", NOW).await.unwrap().is_none());
    let call = bench.call(false);
    let job = bench.lend("a").await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let answer = answer_of(Some(json!(4)), None).unwrap();
    assert_eq!(bench.broker.give_back("math", job.id, job.lease, answer), Err(Gone));
}

#[test]
fn a_pool_is_refused_with_everything_that_is_wrong_with_it() {
    let mut config = pool(false);
    config.pools.push(Pool { lease: NOW, ..config.pools[0].clone() });
    config.pools.push(Pool { name: "a b".to_owned(), ..Pool::default() });
    let problems = config.problems();
    assert_eq!(problems.len(), 5, "{problems:#?}");
}

#[test]
fn a_tool_is_refused_that_has_no_time_or_two_parameters_of_one_name() {
    let mut config = pool(false);
    let taken = |name: &str| Taken {
        name: name.to_owned(),
        r#type: crate::plan::ValueType::Any,
        description: String::new(),
        required: false,
    };
    config.pools[0].tools[0].timeout = NOW;
    config.pools[0].tools[0].parameters = vec![taken("n"), taken("n"), taken("a b")];
    let problems = config.problems();
    assert_eq!(
        problems,
        [
            "pools[0].tools[0].timeout must be longer than nothing",
            "pools[0].tools[0].parameters[1].name `n` is there twice",
            "pools[0].tools[0].parameters[2].name `a b` must be a letter, then letters, digits, \
             underscores",
        ]
    );
}

#[tokio::test]
async fn nobody_was_seen_before_a_worker_came() {
    let bench = Bench::new();
    assert_eq!(bench.broker.standing()[0].seen, None);
    assert!(bench.broker.lend("math", "a", NOW).await.unwrap().is_none());
    assert_eq!(bench.broker.standing()[0].seen, Some(Timestamp::from_micros(1_000_000_000)));
}

#[test]
fn a_toolbox_knows_of_a_name_that_two_tools_have() {
    let bench = Bench::new();
    let once = add(Toolbox::default(), &pool(false), &bench.broker).unwrap();
    assert_eq!(once.twice().count(), 0);
    let twice = add(once, &pool(true), &bench.broker).unwrap();
    assert_eq!(twice.twice().collect::<Vec<_>>(), ["double"]);
}
