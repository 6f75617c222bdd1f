//! Turns that change nothing durable, and questions, beside plain ractor, kameo, actix and a tokio
//! channel.
//!
//! `cargo bench -p perennial-bench --bench inmemory`. `ROUNDS` (default 5) of `MESSAGES` (default
//! 200,000) in turns. What is told is thrown over the wall, by all of them; Perennial's mailbox is
//! bounded and its senders wait for room, the others' are not. "sent" is `Runtime::send`: acknowledged when
//! its turn is over and everything before it is durable, 1,024 of them under way. A question is asked
//! from a thread of its own, and from a task beside the actor. "first" is what it takes to start an actor
//! and have its first answer, asked from a task; with Perennial its state is looked up in the store. Of
//! those the median within a round counts.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, prints, and reads the clock"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use actix::Actor as _;
use futures::StreamExt;
use kameo::actor::Spawn as _;
use perennial_bench::counter::{self, Counter, Told};
use perennial_bench::table::{Rounds, expect, expect_most, percentile, print, setting};
use perennial_runtime::{Limits, Reference, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Questions in one round.
const ASKS: usize = 5_000;
/// Actors that are started in one round.
const FIRSTS: usize = 1_000;

/// By what is measured, then by whom.
type Lines = BTreeMap<(&'static str, &'static str), Rounds>;

fn main() {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let messages = setting("MESSAGES", 200_000);
    let mut lines = Lines::new();
    for round in 1..=setting("ROUNDS", 5) {
        threads.block_on(async {
            channel(messages, &mut lines).await;
            ractor_plain(messages, &mut lines).await;
            kameo_plain(messages, &mut lines).await;
            perennial(messages, &mut lines).await;
        });
        actix::System::new().block_on(actix_plain(messages, &mut lines));
        println!("round {round} done");
    }
    report(&lines);
}

const ONE: &str = "1 sender, messages/s";
const MANY: &str = "100 senders, messages/s";
/// Whose messages are acknowledged.
const SENT: &str = "Perennial, sent";
const ASK: &str = "ask, microseconds";
const BESIDE: &str = "ask from a task, microseconds";
const FIRST: &str = "first answer, microseconds";

fn add(lines: &mut Lines, what: &'static str, who: &'static str, value: f64) {
    lines.entry((what, who)).or_default().push(value);
}

/// Has each of 1 and 100 tasks run `send` for its share, and waits for `done`.
async fn throw<S, D>(lines: &mut Lines, who: &'static str, messages: usize, send: S, done: D)
where
    S: Fn() + Clone + Send + 'static,
    D: AsyncFn(),
{
    for (what, senders) in [(ONE, 1), (MANY, 100)] {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..senders {
            let send = send.clone();
            tasks.spawn(async move {
                for sent in 0..messages / senders {
                    send();
                    if sent % 256 == 255 {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        tasks.join_all().await;
        done().await;
        add(lines, what, who, messages as f64 / began.elapsed().as_secs_f64());
    }
}

/// Has a task do `act` so many times, one after the other.
async fn repeated<F, T>(lines: &mut Lines, (what, who): (&'static str, &'static str), act: F)
where
    F: Fn(usize) -> T + Send + 'static,
    T: Future<Output = ()> + Send,
{
    let count = if what == FIRST { FIRSTS } else { ASKS };
    let took = tokio::spawn(async move {
        let mut took = Vec::with_capacity(count);
        for number in 0..count {
            let began = Instant::now();
            act(number).await;
            took.push(began.elapsed());
        }
        took
    });
    add(lines, what, who, typical(took.await.unwrap()));
}

/// Microseconds that half of them took at most: one of them may have lost the processor for long.
fn typical(took: Vec<Duration>) -> f64 {
    let mut took: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1e6).collect();
    took.sort_by(f64::total_cmp);
    percentile(&took, 50.0)
}

async fn asked<D: AsyncFn()>(lines: &mut Lines, who: &'static str, ask: D) {
    let mut took = Vec::with_capacity(ASKS);
    for _ in 0..ASKS {
        let began = Instant::now();
        ask().await;
        took.push(began.elapsed());
    }
    add(lines, ASK, who, typical(took));
}

async fn channel(messages: usize, lines: &mut Lines) {
    const WHO: &str = "tokio channel";
    let sender = counting();
    let teller = sender.clone();
    let ask = async || ask_channel(&sender).await;
    throw(lines, WHO, messages, move || teller.send(None).unwrap(), &ask).await;
    asked(lines, WHO, &ask).await;
    let beside = sender.clone();
    let ask = move |_| {
        let sender = beside.clone();
        async move { ask_channel(&sender).await }
    };
    repeated(lines, (BESIDE, WHO), ask).await;
    repeated(lines, (FIRST, WHO), async |_| ask_channel(&counting()).await).await;
}

type Question = Option<oneshot::Sender<u64>>;

fn counting() -> mpsc::UnboundedSender<Question> {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Question>();
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(message) = receiver.recv().await {
            match message {
                None => count += 1,
                Some(reply) => reply.send(count).unwrap(),
            }
        }
    });
    sender
}

async fn ask_channel(sender: &mpsc::UnboundedSender<Question>) {
    let (reply, answer) = oneshot::channel();
    sender.send(Some(reply)).unwrap();
    answer.await.unwrap();
}

struct Plain;

enum PlainMessage {
    Tell,
    Ask(ractor::RpcReplyPort<u64>),
}

impl ractor::Actor for Plain {
    type Msg = PlainMessage;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ractor::ActorRef<PlainMessage>,
        (): (),
    ) -> Result<u64, ractor::ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ractor::ActorRef<PlainMessage>,
        message: PlainMessage,
        count: &mut u64,
    ) -> Result<(), ractor::ActorProcessingErr> {
        match message {
            PlainMessage::Tell => *count += 1,
            PlainMessage::Ask(reply) => reply.send(*count)?,
        }
        Ok(())
    }
}

async fn ractor_plain(messages: usize, lines: &mut Lines) {
    const WHO: &str = "ractor";
    let (actor, _) = ractor::Actor::spawn(None, Plain, ()).await.unwrap();
    let teller = actor.clone();
    let ask = async || {
        actor.call(PlainMessage::Ask, None).await.unwrap().unwrap();
    };
    throw(lines, WHO, messages, move || teller.cast(PlainMessage::Tell).unwrap(), &ask).await;
    asked(lines, WHO, &ask).await;
    let beside = actor.clone();
    let ask = move |_| {
        let actor = beside.clone();
        async move {
            actor.call(PlainMessage::Ask, None).await.unwrap().unwrap();
        }
    };
    repeated(lines, (BESIDE, WHO), ask).await;
    let first = async |_| {
        let (actor, _) = ractor::Actor::spawn(None, Plain, ()).await.unwrap();
        actor.call(PlainMessage::Ask, None).await.unwrap().unwrap();
        actor.stop(None);
    };
    repeated(lines, (FIRST, WHO), first).await;
    actor.stop(None);
}

struct Kameo(u64);

impl kameo::Actor for Kameo {
    type Args = Self;
    type Error = kameo::error::Infallible;

    async fn on_start(own: Self, _: kameo::actor::ActorRef<Self>) -> Result<Self, Self::Error> {
        Ok(own)
    }
}

struct KameoTell;
struct KameoAsk;

impl kameo::message::Message<KameoTell> for Kameo {
    type Reply = ();
    async fn handle(&mut self, _: KameoTell, _: &mut kameo::message::Context<Self, ()>) {
        self.0 += 1;
    }
}

impl kameo::message::Message<KameoAsk> for Kameo {
    type Reply = u64;
    async fn handle(&mut self, _: KameoAsk, _: &mut kameo::message::Context<Self, u64>) -> u64 {
        self.0
    }
}

async fn kameo_plain(messages: usize, lines: &mut Lines) {
    const WHO: &str = "kameo";
    let actor = Kameo::spawn_with_mailbox(Kameo(0), kameo::mailbox::unbounded());
    let teller = actor.clone();
    let ask = async || {
        actor.ask(KameoAsk).await.unwrap();
    };
    throw(lines, WHO, messages, move || teller.tell(KameoTell).try_send().unwrap(), &ask).await;
    asked(lines, WHO, &ask).await;
    let beside = actor.clone();
    let ask = move |_| {
        let actor = beside.clone();
        async move {
            actor.ask(KameoAsk).await.unwrap();
        }
    };
    repeated(lines, (BESIDE, WHO), ask).await;
    let first = async |_| {
        let actor = Kameo::spawn_with_mailbox(Kameo(0), kameo::mailbox::unbounded());
        actor.ask(KameoAsk).await.unwrap();
        actor.kill();
    };
    repeated(lines, (FIRST, WHO), first).await;
    actor.kill();
}

struct Actix(u64);

impl actix::Actor for Actix {
    type Context = actix::Context<Self>;
}

struct ActixTell;
struct ActixAsk;

impl actix::Message for ActixTell {
    type Result = ();
}

impl actix::Message for ActixAsk {
    type Result = u64;
}

impl actix::Handler<ActixTell> for Actix {
    type Result = ();
    fn handle(&mut self, _: ActixTell, _: &mut actix::Context<Self>) {
        self.0 += 1;
    }
}

impl actix::Handler<ActixAsk> for Actix {
    type Result = u64;
    fn handle(&mut self, _: ActixAsk, _: &mut actix::Context<Self>) -> u64 {
        self.0
    }
}

/// Its senders run on the thread of its actor.
async fn actix_plain(messages: usize, lines: &mut Lines) {
    const WHO: &str = "actix";
    let actor = Actix(0).start();
    let ask = async || {
        actor.send(ActixAsk).await.unwrap();
    };
    for (what, senders) in [(ONE, 1), (MANY, 100)] {
        let began = Instant::now();
        let tasks = (0..senders).map(|_| {
            let actor = actor.clone();
            actix::spawn(async move {
                for sent in 0..messages / senders {
                    actor.do_send(ActixTell);
                    if sent % 256 == 255 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        ask().await;
        add(lines, what, WHO, messages as f64 / began.elapsed().as_secs_f64());
    }
    asked(lines, WHO, ask).await;
}

async fn perennial(messages: usize, lines: &mut Lines) {
    const WHO: &str = "Perennial";
    const PATIENCE: Duration = Duration::from_secs(60);
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { quota: 1_000_000, ..Limits::default() };
    let runtime = counter::start(dir.path(), limits).await;
    let actor = runtime.actor::<Counter>("one");
    let ask = async || {
        actor.ask::<u64>(&Told::Ask, PATIENCE).await.unwrap();
    };
    ask().await;
    for (what, senders) in [(ONE, 1), (MANY, 100)] {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..senders {
            tasks.spawn(tell_all(actor.clone(), messages / senders));
        }
        tasks.join_all().await;
        ask().await;
        add(lines, what, WHO, messages as f64 / began.elapsed().as_secs_f64());
    }
    asked(lines, WHO, &ask).await;
    let beside = actor.clone();
    let ask = move |_| {
        let actor = beside.clone();
        async move {
            actor.ask::<u64>(&Told::Ask, PATIENCE).await.unwrap();
        }
    };
    repeated(lines, (BESIDE, WHO), ask).await;
    let others = runtime.clone();
    let first = move |number: usize| {
        let actor = others.actor::<Counter>(format!("another {number}"));
        async move {
            actor.ask::<u64>(&Told::Ask, PATIENCE).await.unwrap();
        }
    };
    repeated(lines, (FIRST, WHO), first).await;
    // Last: the store is still busy with it for a while.
    for (what, senders) in [(ONE, 1), (MANY, 100)] {
        let messages = messages / 10;
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..senders {
            tasks.spawn(send_all(runtime.clone(), messages / senders));
        }
        tasks.join_all().await;
        add(lines, what, SENT, messages as f64 / began.elapsed().as_secs_f64());
    }
    runtime.shutdown().await.unwrap();
}

async fn tell_all(actor: Reference<Counter>, messages: usize) {
    for told in 0..messages {
        actor.tell(&Told::Look).await.unwrap();
        if told % 256 == 255 {
            tokio::task::yield_now().await;
        }
    }
}

async fn send_all(runtime: Runtime, messages: usize) {
    let send = |_| {
        let runtime = runtime.clone();
        async move { runtime.send::<Counter>("one", &Told::Look).await.unwrap() }
    };
    futures::stream::iter((0..messages).map(send))
        .buffer_unordered(1024)
        .for_each(async |_| ())
        .await;
}

fn report(lines: &Lines) {
    let rows = lines.iter().map(|((what, who), rounds)| {
        let ratio = rounds.median() / lines[&(*what, "ractor")].median();
        vec![(*what).to_owned(), (*who).to_owned(), rounds.cell(), format!("{ratio:.2}")]
    });
    print(&["what", "who", "median (spread)", "of ractor"], &rows.collect::<Vec<_>>());
    let ratio = |what| lines[&(what, "Perennial")].median() / lines[&(what, "ractor")].median();
    expect("1 sender, of plain ractor", ratio(ONE), 2.0);
    expect("100 senders, of plain ractor", ratio(MANY), 2.0);
    expect_most("ask, of plain ractor", ratio(ASK), 1.5);
    expect_most("ask from a task, of plain ractor", ratio(BESIDE), 1.5);
}
