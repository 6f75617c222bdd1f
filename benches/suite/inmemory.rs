//! Turns that change nothing durable, and questions, beside plain ractor, kameo, actix and a tokio
//! channel.
//!
//! `cargo bench -p perennial-bench --bench inmemory`. `ROUNDS` (default 5) of `MESSAGES` (default
//! 200,000) in turns. What is told is thrown over the wall, by all of them; Perennial's mailbox is
//! bounded and its senders wait for room, the others' are not. "sent" is `Runtime::send`: acknowledged when
//! its turn is over and everything before it is durable, 1,024 of them under way.

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
use perennial_bench::table::{Rounds, expect, expect_most, print, setting};
use perennial_runtime::{Limits, Reference, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Questions in one round.
const ASKS: usize = 5_000;

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

async fn asked<D: AsyncFn()>(lines: &mut Lines, who: &'static str, ask: D) {
    let began = Instant::now();
    for _ in 0..ASKS {
        ask().await;
    }
    add(lines, ASK, who, began.elapsed().as_secs_f64() * 1e6 / ASKS as f64);
}

async fn channel(messages: usize, lines: &mut Lines) {
    const WHO: &str = "tokio channel";
    let (sender, mut receiver) = mpsc::unbounded_channel::<Option<oneshot::Sender<u64>>>();
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(message) = receiver.recv().await {
            match message {
                None => count += 1,
                Some(reply) => reply.send(count).unwrap(),
            }
        }
    });
    let teller = sender.clone();
    let ask = async || {
        let (reply, answer) = oneshot::channel();
        sender.send(Some(reply)).unwrap();
        answer.await.unwrap();
    };
    throw(lines, WHO, messages, move || teller.send(None).unwrap(), &ask).await;
    asked(lines, WHO, &ask).await;
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
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { quota: 1_000_000, ..Limits::default() };
    let runtime = counter::start(dir.path(), limits).await;
    let ask = async || {
        let patience = Duration::from_secs(60);
        runtime.ask::<Counter, u64>("one", &Told::Ask, patience).await.unwrap();
    };
    ask().await;
    let actor = runtime.actor::<Counter>("one");
    for (what, senders) in [(ONE, 1), (MANY, 100)] {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..senders {
            tasks.spawn(tell_all(actor.clone(), messages / senders));
        }
        tasks.join_all().await;
        ask().await;
        add(lines, what, WHO, messages as f64 / began.elapsed().as_secs_f64());
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..senders {
            tasks.spawn(send_all(runtime.clone(), messages / 10 / senders));
        }
        tasks.join_all().await;
        let sent = (messages / 10) as f64;
        add(lines, what, SENT, sent / began.elapsed().as_secs_f64());
    }
    asked(lines, WHO, async || {
        actor.ask::<u64>(&Told::Ask, Duration::from_secs(60)).await.unwrap();
    })
    .await;
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
}
