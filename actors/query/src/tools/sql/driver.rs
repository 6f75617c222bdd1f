//! Drives one process: asks it, hands its answers on, and ends it when it hangs.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use perennial_runtime::instant;
use perennial_sql_protocol::{Answer, Ask, FromWorker, Refusal, RefusalKind, ToWorker, send};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::process::{Frames, LastWords, last_words};
use crate::plan::ErrorKind;
use crate::tool::ToolError;

/// A query that nobody waits for any more is let go of so soon, or the process is ended.
const LETTING_GO: Duration = Duration::from_secs(5);
/// It is asked so often whether it still listens.
const PING: Duration = Duration::from_secs(10);
/// It listens even while it works; one that has not for so long is ended.
const SILENCE: Duration = Duration::from_secs(60);
/// It takes what is said to it so soon.
const TAKING: Duration = Duration::from_secs(10);

/// Where an answer goes.
type Waiting = oneshot::Sender<Result<Answer, ToolError>>;

/// What calls want.
#[derive(Debug)]
pub(super) enum Order {
    /// An answer.
    Ask(Ask, Waiting),
    /// None any more.
    Abandon(u64),
}

/// One process, and who waits for it.
pub(super) struct Driver {
    child: Child,
    input: ChildStdin,
    frames: Frames,
    words: LastWords,
    waiting: HashMap<u64, Waiting>,
    /// Queries to be let go of, and by when.
    abandoned: BTreeMap<u64, Instant>,
    /// When it was last heard.
    heard: Instant,
    pinged: Instant,
}

impl Driver {
    pub(super) fn new(child: Child, input: ChildStdin, frames: Frames, words: LastWords) -> Self {
        let now = instant();
        let (waiting, abandoned) = (HashMap::new(), BTreeMap::new());
        Self { child, input, frames, words, waiting, abandoned, heard: now, pinged: now }
    }

    /// Goes on until the process ends or has to be, and tells those who wait for it.
    pub(super) async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        let why = loop {
            let next = self.next_look();
            let step = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.follow(order).await,
                    // Nobody can ask any more: the node ends.
                    None => Err("the node ends".to_owned()),
                },
                frame = self.frames.recv() => match frame {
                    Some(frame) => {
                        self.hear(frame);
                        Ok(())
                    }
                    None => Err("it ended".to_owned()),
                },
                () = sleep_until(next) => self.look().await,
            };
            if let Err(why) = step {
                break why;
            }
        };
        // What comes from here on is for the next process.
        orders.close();
        let asked = std::iter::from_fn(|| orders.try_recv().ok()).filter_map(|order| match order {
            Order::Ask(_, waiting) => Some(waiting),
            Order::Abandon(_) => None,
        });
        let asked: Vec<Waiting> = asked.collect();
        let why = self.end(why).await;
        for waiting in self.waiting.into_values().chain(asked) {
            // Who has gone meanwhile needs no answer.
            waiting.send(Err(lost(&why))).unwrap_or_default();
        }
    }

    async fn follow(&mut self, order: Order) -> Result<(), String> {
        match order {
            Order::Ask(ask, waiting) => {
                self.waiting.insert(ask.id, waiting);
                self.say(ToWorker::Ask(ask)).await
            }
            Order::Abandon(id) => {
                self.waiting.remove(&id);
                self.abandoned.insert(id, instant() + LETTING_GO);
                self.say(ToWorker::Cancel { id }).await
            }
        }
    }

    async fn say(&mut self, what: ToWorker) -> Result<(), String> {
        match timeout(TAKING, send(&mut self.input, &what)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("it could not be told: {error}")),
            Err(_) => Err(format!("it took nothing for {TAKING:?}")),
        }
    }

    fn hear(&mut self, frame: FromWorker) {
        self.heard = instant();
        let (id, answer) = match frame {
            FromWorker::Answered { id, answer } => (id, Ok(answer)),
            FromWorker::Refused { id, refusal } => (id, Err(refused(refusal))),
            FromWorker::Cancelled { id } => {
                self.abandoned.remove(&id);
                return;
            }
            FromWorker::Pong | FromWorker::Ready => return,
        };
        if let Some(waiting) = self.waiting.remove(&id) {
            // Who has gone meanwhile needs no answer.
            waiting.send(answer).unwrap_or_default();
        }
    }

    /// When it is to be looked after next.
    fn next_look(&self) -> Instant {
        let letting_go = self.abandoned.values().min().copied();
        letting_go.unwrap_or(self.pinged + PING).min(self.pinged + PING)
    }

    async fn look(&mut self) -> Result<(), String> {
        let now = instant();
        if self.abandoned.values().any(|until| *until <= now) {
            let why = format!("it did not let go of a query within {LETTING_GO:?}, and was ended");
            return Err(why);
        }
        if now.saturating_duration_since(self.heard) > SILENCE {
            return Err(format!("it was silent for {SILENCE:?}, and was ended"));
        }
        if now.saturating_duration_since(self.pinged) >= PING {
            self.pinged = now;
            return self.say(ToWorker::Ping).await;
        }
        Ok(())
    }

    /// Ends the process, and returns why it ended and what it said.
    async fn end(&mut self, why: String) -> String {
        let group = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            // Fails where it has ended by itself.
            kill_process_group(group, Signal::KILL).ok();
        }
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let why = format!("{why} ({status}){}", last_words(&mut self.words).await);
        tracing::warn!("the process for SQL is gone: {why}");
        why
    }
}

/// What is said where the process is gone: it passes, for another one is started.
pub(super) fn lost(why: &str) -> ToolError {
    let why = format!("the process for SQL gave no answer: {why}");
    ToolError::new(ErrorKind::Unavailable, why)
}

fn refused(refusal: Refusal) -> ToolError {
    let kind = match refusal.kind {
        RefusalKind::Invalid => ErrorKind::Invalid,
        RefusalKind::Denied => ErrorKind::Denied,
        // Another time it would need as much.
        RefusalKind::Failed | RefusalKind::Memory => ErrorKind::Failed,
    };
    ToolError::new(kind, refusal.message)
}
