//! A small world of actors for the tests, and a node of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use perennial_runtime::{
    AskError, Attempt, Durable, Effect, EffectError, EffectPolicy, Failure, Finished, Kind,
    ManualClock, Options, Performer, Reconciliation, Runtime, RuntimeError, SendError, Supervisor,
    Table, Timestamp, Turn, Undone,
};
use perennial_store::{Backend, MemoryBackend};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An account: adds, sends on, fails on demand, keeps a log of what it was told in a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    pub(crate) told: Vec<String>,
    pub(crate) outcomes: Vec<String>,
    /// Counts outcomes in the balance instead of listing them.
    quiet: bool,
    failures: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    Add(i64),
    Note(String),
    /// Moves money, leaving the rest of the way for it to go.
    Transfer {
        amount: i64,
        path: Vec<String>,
    },
    Balance,
    State,
    Fail(String),
    Panic,
    /// Changes the state, then fails.
    ChangeAndFail,
    /// Kills the process the first time, in `settings.lethal`.
    Lethal,
    Restart,
    Escalate,
    Remind {
        name: String,
        after_ms: u64,
        note: String,
    },
    Tick {
        name: String,
        every_ms: u64,
    },
    Cancel(String),
    Perform(Deed),
    PerformAll(Vec<Deed>),
    Done(Finished<Deed>),
    /// Performs as many deeds as this, in turn in lane 0, 1, 2 and in none.
    Deeds(u32),
    Put(String, String),
    /// Makes the state this large.
    Grow(usize),
    /// Makes a row this large.
    PutLarge(usize),
    /// Cancels a timer when this one fires.
    RemindToCancel {
        name: String,
        after_ms: u64,
        cancels: String,
    },
    RemindToFail {
        name: String,
        after_ms: u64,
    },
    /// Performs a deed each time a timer set for a time gone by fires, this often.
    DeedAgain(u32),
    Rows,
    SendToNobody,
    Stop,
}

impl From<Finished<Deed>> for Told {
    fn from(finished: Finished<Deed>) -> Self {
        Self::Done(finished)
    }
}

pub(crate) const NOTES: Table<String> = Table::new("notes", 1);

impl Durable for Account {
    const KIND: Kind = Kind::new("account");
    type Message = Told;
    type Settings = Arc<Settings>;

    fn handle(&mut self, message: Told, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        turn.settings().handled.fetch_add(1, Ordering::SeqCst);
        match message {
            Told::Add(amount) => self.balance += amount,
            Told::Note(note) => self.told.push(note),
            Told::Transfer { amount, mut path } => {
                if path.is_empty() {
                    self.balance += amount;
                } else {
                    let next = path.remove(0);
                    turn.send::<Self>(next, &Told::Transfer { amount, path });
                }
            }
            Told::Balance => turn.reply(&self.balance),
            Told::State => turn.reply(&*self),
            Told::Fail(why) => return Err(Failure::Retry(why)),
            Told::Panic => panic!("told to"),
            Told::ChangeAndFail => {
                self.balance += 1_000_000;
                return Err(Failure::Reject("changed my mind".to_owned()));
            }
            Told::Lethal => (turn.settings().lethal)(),
            Told::Restart => return Err(Failure::Restart("asked to".to_owned())),
            Told::Escalate => return Err(Failure::Escalate("asked to".to_owned())),
            Told::Done(_) if self.quiet => self.balance += 1,
            Told::Done(finished) => self.outcomes.push(match finished.result {
                Ok(outcome) => outcome,
                Err(Undone::Failed(why)) => format!("failed: {why}"),
                Err(Undone::Expired(_)) => "expired".to_owned(),
                Err(Undone::Unknown(_)) => "unknown".to_owned(),
            }),
            Told::Put(key, value) => {
                let before = turn.get(&NOTES, &key)?.unwrap_or_default();
                turn.put(&NOTES, &key, &(before + &value));
            }
            Told::Grow(bytes) => self.told = vec!["x".repeat(bytes)],
            Told::PutLarge(bytes) => turn.put(&NOTES, "large", &"x".repeat(bytes)),
            Told::Rows => {
                let rows = turn.scan(&NOTES, &[], 100)?;
                turn.reply(&rows);
            }
            Told::SendToNobody => turn.send::<Unregistered>("x", &()),
            Told::Stop => turn.stop(),
            told @ (Told::Remind { .. }
            | Told::Tick { .. }
            | Told::Cancel(_)
            | Told::RemindToCancel { .. }
            | Told::RemindToFail { .. }) => set_timer(told, turn),
            told @ (Told::Perform(_) | Told::PerformAll(_) | Told::DeedAgain(_)) => {
                perform(told, turn);
            }
            Told::Deeds(count) => {
                self.quiet = true;
                deeds(count, turn);
            }
        }
        Ok(())
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "called with what it handles")]
fn set_timer(told: Told, turn: &mut Turn<'_, Account>) {
    match told {
        Told::Remind { name, after_ms, note } => {
            turn.send_after(Duration::from_millis(after_ms), &name, &Told::Note(note));
        }
        Told::Tick { name, every_ms } => {
            turn.send_every(Duration::from_millis(every_ms), &name, &Told::Note(name.clone()));
        }
        Told::Cancel(name) => turn.cancel(&name),
        Told::RemindToCancel { name, after_ms, cancels } => {
            turn.send_after(Duration::from_millis(after_ms), &name, &Told::Cancel(cancels));
        }
        Told::RemindToFail { name, after_ms } => {
            let fail = Told::Fail("not now".to_owned());
            turn.send_after(Duration::from_millis(after_ms), &name, &fail);
        }
        other => panic!("{other:?} sets no timer"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "called with what it handles")]
fn perform(told: Told, turn: &mut Turn<'_, Account>) {
    match told {
        Told::Perform(deed) => drop(turn.perform(&deed)),
        Told::PerformAll(deeds) => deeds.iter().for_each(|deed| drop(turn.perform(deed))),
        Told::DeedAgain(left) => {
            turn.perform(&Deed::named(&left.to_string()));
            if left > 1 {
                turn.send_at(Timestamp::from_micros(1), "again", &Told::DeedAgain(left - 1));
            }
        }
        other => panic!("{other:?} performs nothing"),
    }
}

fn deeds(count: u32, turn: &mut Turn<'_, Account>) {
    for n in 0..count {
        let lane = (n % 4 < 3).then(|| (n % 4).to_string());
        // However long the world does not answer, they are tried again.
        turn.perform(&Deed { lane, attempts: u32::MAX, ..Deed::named(&n.to_string()) });
    }
}

/// A kind that no node registers.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Unregistered;

impl Durable for Unregistered {
    const KIND: Kind = Kind::new("unregistered");
    type Message = ();
    type Settings = ();
    fn handle(&mut self, (): (), _: &mut Turn<'_, Self>) -> Result<(), Failure> {
        Ok(())
    }
}

pub(crate) struct Settings {
    /// Calls of `handle`, also those that failed.
    pub(crate) handled: AtomicU32,
    pub(crate) lethal: Box<dyn Fn() + Send + Sync>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { handled: AtomicU32::new(0), lethal: Box::new(|| {}) }
    }
}

/// The lane of deeds for which an answer is awaited almost for ever.
pub(crate) const PATIENT: &str = "patient";

/// Something done to the [`Outside`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deed {
    pub(crate) name: String,
    pub(crate) lane: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) keep: bool,
}

impl Deed {
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), lane: None, attempts: 3, expires: None, keep: false }
    }
}

impl Effect for Deed {
    const NAME: &'static str = "deed";
    type Owner = Account;
    type Outcome = String;

    fn lane(&self) -> Option<String> {
        self.lane.clone()
    }

    fn policy(&self) -> EffectPolicy {
        EffectPolicy {
            timeout: match self.lane.as_deref() {
                Some(PATIENT) => Duration::from_secs(3600),
                Some(_) | None => Duration::from_millis(500),
            },
            attempts: self.attempts,
            backoff_base: Duration::from_millis(1),
            backoff_cap: Duration::from_millis(5),
            expires: self.expires,
            keep_failures: self.keep,
        }
    }
}

/// The world outside the node: what was done to it, under which key, and how it answers.
#[derive(Clone, Default)]
pub(crate) struct Outside {
    pub(crate) done: Arc<Mutex<Vec<(String, String)>>>,
    pub(crate) behaviour: Arc<std::sync::Mutex<Behaviour>>,
    pub(crate) asked: Arc<AtomicU32>,
    /// How often a deed was begun.
    pub(crate) begun: Arc<AtomicU32>,
    keys: Arc<std::sync::Mutex<BTreeSet<String>>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Behaviour {
    #[default]
    Works,
    /// Fails this often, then works.
    Fails(u32),
    FailsForGood,
    /// Does it and never answers.
    DoesAndHangs,
    /// Never answers and does nothing.
    Hangs,
    /// The same for deeds of this lane; does the others.
    HangsIn(String),
    /// Has deeds of this lane come back in an hour; does the others.
    PutsOff(String),
    /// Never says whether a deed of this lane was done; does the others.
    HidesWhatWasDoneIn(String),
    Panics,
    /// Kills the process at the deed of this name, and does the others.
    KillsAt(String),
    /// Does it and answers with this many bytes.
    AnswersAtLength(usize),
}

impl Outside {
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) async fn note(&self, done: (String, String)) {
        self.keys.lock().unwrap().insert(done.1.clone());
        self.done.lock().await.push(done);
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        self.done.lock().await.iter().map(|(name, _)| name.clone()).collect()
    }
}

impl Performer<Deed> for Outside {
    async fn perform(&self, deed: &Deed, attempt: &Attempt) -> Result<String, EffectError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let behaviour = self.behaviour.lock().unwrap().clone();
        let done = (deed.name.clone(), attempt.key.to_string());
        match behaviour {
            Behaviour::KillsAt(name) if name == deed.name => std::process::abort(),
            Behaviour::HangsIn(lane) if Some(&lane) == deed.lane.as_ref() => {
                std::future::pending().await
            }
            Behaviour::PutsOff(lane) if Some(&lane) == deed.lane.as_ref() => {
                let retry_after = Some(Duration::from_secs(3600));
                Err(EffectError::Transient { message: "not now".to_owned(), retry_after })
            }
            Behaviour::Works
            | Behaviour::PutsOff(_)
            | Behaviour::KillsAt(_)
            | Behaviour::HangsIn(_)
            | Behaviour::HidesWhatWasDoneIn(_) => {
                self.note(done).await;
                Ok(format!("did {}", deed.name))
            }
            Behaviour::Fails(0) => {
                self.behave(Behaviour::Works);
                Err(EffectError::transient("the last time"))
            }
            Behaviour::Fails(left) => {
                self.behave(Behaviour::Fails(left - 1));
                Err(EffectError::transient("not yet"))
            }
            Behaviour::AnswersAtLength(bytes) => {
                self.note(done).await;
                Ok("x".repeat(bytes))
            }
            Behaviour::FailsForGood => Err(EffectError::permanent("never")),
            Behaviour::DoesAndHangs => {
                self.note(done).await;
                std::future::pending().await
            }
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::Panics => {
                self.behave(Behaviour::Works);
                panic!("told to")
            }
        }
    }

    async fn reconcile(&self, deed: &Deed, attempt: &Attempt) -> Reconciliation<String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let behaviour = self.behaviour.lock().unwrap().clone();
        if matches!(behaviour, Behaviour::HidesWhatWasDoneIn(lane) if Some(&lane) == deed.lane.as_ref())
        {
            return std::future::pending().await;
        }
        if self.keys.lock().unwrap().contains(attempt.key.as_str()) {
            Reconciliation::Done(format!("found {} done", deed.name))
        } else {
            Reconciliation::NotDone
        }
    }
}

/// A node of accounts.
pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    pub(crate) outside: Outside,
    pub(crate) clock: ManualClock,
    pub(crate) settings: Arc<Settings>,
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_micros(1_000_000_000_000))
}

pub(crate) fn options(backend: Arc<dyn Backend>, clock: &ManualClock) -> Options {
    let mut options = Options::new(backend, Arc::new(clock.clone()));
    options.limits.retry_base = Duration::from_millis(1);
    options.limits.retry_cap = Duration::from_millis(5);
    options.limits.effect_grace = Duration::ZERO;
    options
}

pub(crate) async fn start(options: Options, clock: ManualClock, outside: Outside) -> Node {
    let settings = Arc::new(Settings::default());
    start_with(options, clock, outside, settings).await
}

pub(crate) async fn start_with(
    options: Options,
    clock: ManualClock,
    outside: Outside,
    settings: Arc<Settings>,
) -> Node {
    try_start(options, clock, outside, settings).await.unwrap()
}

/// The same on a store that may fail while the node starts.
pub(crate) async fn try_start(
    options: Options,
    clock: ManualClock,
    outside: Outside,
    settings: Arc<Settings>,
) -> Result<Node, RuntimeError> {
    let tree = Supervisor::new("bank")
        .actors::<Account>(settings.clone())
        .performer::<Deed, _>(outside.clone());
    let runtime = Runtime::start(options, tree).await?;
    Ok(Node { runtime, outside, clock, settings })
}

impl Node {
    pub(crate) async fn on_memory() -> (Self, MemoryBackend) {
        let backend = MemoryBackend::new();
        let clock = clock();
        let options = options(Arc::new(backend.clone()), &clock);
        (start(options, clock, Outside::default()).await, backend)
    }

    /// The same world on the same image, started again.
    pub(crate) async fn again(&self, backend: &MemoryBackend) -> Self {
        let options = options(Arc::new(backend.clone()), &self.clock);
        start(options, self.clock.clone(), self.outside.clone()).await
    }

    pub(crate) async fn tell(&self, key: &str, told: Told) {
        self.runtime.send::<Account>(key, &told).await.unwrap();
    }

    pub(crate) async fn state(&self, key: &str) -> Account {
        loop {
            match self.runtime.ask::<Account, Account>(key, &Told::State, PATIENCE).await {
                // The mailbox is full for the moment.
                Err(AskError::Send(SendError::Overloaded(_))) => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                answer => return answer.unwrap(),
            }
        }
    }

    /// Waits until the account is as wished.
    pub(crate) async fn until(&self, key: &str, wished: impl Fn(&Account) -> bool) -> Account {
        let deadline = perennial_runtime::instant() + PATIENCE;
        loop {
            let state = self.state(key).await;
            if wished(&state) {
                return state;
            }
            assert!(perennial_runtime::instant() < deadline, "{key} is {state:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Waits until `probe` gives something.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = perennial_runtime::instant() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(perennial_runtime::instant() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
