//! Those who tell the cells what to do, and remember over all lives of the node what they were promised.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_runtime::{AskError, Receipt, Runtime, SendError, SendOptions, Timestamp};
use perennial_store::{Key, Room};

use super::cell::{APPLIED, Act, Cell, Order, Told, Trouble, cell};
use super::chance::Chance;
use super::outside::Outside;

pub(crate) const CELLS: u8 = 4;

/// One order as its client sees it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) to: String,
    pub(crate) order: Order,
    pub(crate) fate: Fate,
    /// Sent under its key as the message id.
    token: bool,
    asks: bool,
    /// Told under no id, and never known to be taken.
    tells: bool,
    /// Of no use so long after it is sent.
    pub(crate) expires: Option<Duration>,
}

impl Entry {
    pub(crate) fn key(&self) -> String {
        self.order.key(&self.to)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not sent yet, or surely not taken.
    Open,
    /// Sent, with no answer that says whether it was taken.
    Doubtful,
    /// Promised.
    Accepted,
}

/// A client; clones are handles to the same.
#[derive(Clone)]
pub(crate) struct Client(Arc<Mutex<Held>>);

struct Held {
    chance: Chance,
    entries: Vec<Entry>,
    at: usize,
}

fn draw_act(chance: &mut Chance) -> Act {
    let other = chance.below(CELLS.into()) as u8;
    match chance.below(20) {
        0..5 => Act::Transfer { to: other, amount: 1 + chance.below(100) as i64 },
        5..7 => Act::Burst { to: other, count: chance.below(12) as u8 },
        7..11 => {
            let after_ms = chance.pick(&[0, 1, 10, 100, 700, 3_000]);
            let ticks = if chance.one_in(3) { 1 + chance.below(4) as u8 } else { 0 };
            let cancels = chance.one_in(3).then(|| chance.below(2) as u8);
            Act::Remind { name: chance.below(2) as u8, after_ms, ticks, cancels }
        }
        11..13 => Act::Cancel(chance.below(2) as u8),
        13..17 => {
            let lane = if chance.one_in(2) { Some(chance.below(2) as u8) } else { None };
            Act::Perform { lane, count: 1 + chance.below(3) as u8, keep: chance.one_in(3) }
        }
        17 => Act::Nobody,
        _ => Act::Note,
    }
}

fn draw_trouble(chance: &mut Chance) -> Trouble {
    let times = 1 + chance.below(4) as u32;
    match chance.below(30) {
        0 | 1 => Trouble::Retry(times),
        2 => Trouble::Panic(times),
        3 => Trouble::Restart(times),
        4 if chance.one_in(3) => Trouble::Escalate(1),
        5 => Trouble::Reject,
        6 => Trouble::Kill(times + 3),
        _ => Trouble::None,
    }
}

impl Client {
    pub(crate) fn new(number: u64, mut chance: Chance) -> Self {
        let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
        let count = 5 + chance.below(25);
        let mut draw = || {
            let to = cell(chance.below(CELLS.into()) as u8);
            let number_for = numbers.entry(to.clone()).or_default();
            *number_for += 1;
            let (act, trouble) = (draw_act(&mut chance), draw_trouble(&mut chance));
            let kills = matches!(trouble, Trouble::Kill(_));
            let expires = chance.one_in(12).then(|| Duration::from_millis(chance.below(100)));
            let order =
                Order { from: format!("client-{number}"), number: *number_for, act, trouble };
            Entry {
                to,
                order,
                fate: Fate::Open,
                token: !chance.one_in(4),
                asks: chance.one_in(2),
                tells: chance.one_in(5),
                // What ends the process is put aside for one reason.
                expires: expires.filter(|_| !kills),
            }
        };
        let entries = (0..count).map(|_| draw()).collect();
        Self(Arc::new(Mutex::new(Held { chance, entries, at: 0 })))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    pub(crate) fn is_done(&self) -> bool {
        let held = self.lock();
        held.at == held.entries.len()
    }

    /// What to send next. What is doubtful is sent again under its id, or given up.
    fn next(&self) -> Option<Entry> {
        let mut held = self.lock();
        loop {
            let (at, gives_up) = (held.at, held.chance.one_in(5));
            let entry = held.entries.get(at)?.clone();
            let doubtful = entry.fate == Fate::Doubtful;
            if !doubtful || (entry.token && !entry.tells && !gives_up) {
                return Some(entry);
            }
            held.at += 1;
        }
    }

    fn note(&self, fate: Fate) {
        let mut held = self.lock();
        let at = held.at;
        let Some(entry) = held.entries.get_mut(at) else { return };
        entry.fate = fate;
        if fate == Fate::Accepted {
            held.at += 1;
        }
    }

    /// Sends until all is sent or the node takes no more.
    pub(crate) async fn run(self, runtime: Runtime, outside: Outside) {
        while let Some(entry) = self.next() {
            let wait = self.lock().chance.pick(&[0, 0, 0, 1, 5, 30, 200]);
            if wait > 0 {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            let before = entry.fate;
            self.note(Fate::Doubtful);
            let looked = outside.store.last_look();
            let answer = match entry.asks {
                _ if entry.tells => tell(&entry, &runtime, &outside).await,
                true => ask(&entry, &runtime, &outside).await,
                false => send(&entry, &runtime, &outside).await,
            };
            check_room(&entry, &answer, looked, &outside);
            match answer {
                Answer::Taken => {
                    self.note(Fate::Accepted);
                    if self.lock().chance.one_in(6) {
                        again(&entry, &runtime, &outside).await;
                    }
                }
                Answer::Doubtful => {}
                Answer::NotNow => {
                    self.note(before);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Answer::NoRoom => {
                    self.note(before);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Answer::Stopping => {
                    self.note(before);
                    return;
                }
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Answer {
    Taken,
    Doubtful,
    NotNow,
    NoRoom,
    Stopping,
}

fn options(entry: &Entry, outside: &Outside) -> SendOptions {
    let now: Timestamp = perennial_runtime::Clock::now(&outside.clock);
    SendOptions {
        token: entry.token.then(|| entry.key()),
        expires: entry.expires.map(|after| now + after),
    }
}

async fn send(entry: &Entry, runtime: &Runtime, outside: &Outside) -> Answer {
    let told = Told::Order(entry.order.clone());
    match runtime.send_with::<Cell>(&entry.to, &told, options(entry, outside)).await {
        Ok(receipt) => {
            check_receipt(entry, receipt, runtime, outside);
            Answer::Taken
        }
        Err(error) => refused(entry, &error, outside),
    }
}

/// What is told may be lost with the process, and expires for nobody.
async fn tell(entry: &Entry, runtime: &Runtime, outside: &Outside) -> Answer {
    let told = Told::Order(entry.order.clone());
    let patience = Duration::from_millis(1 + outside.below(3_000));
    let told = runtime.tell::<Cell>(&entry.to, &told);
    match tokio::time::timeout(patience, told).await {
        Ok(Ok(())) | Err(_) => Answer::Doubtful,
        Ok(Err(error)) => refused(entry, &error, outside),
    }
}

fn refused(entry: &Entry, error: &SendError, outside: &Outside) -> Answer {
    match error {
        SendError::Overloaded(_) => Answer::NotNow,
        SendError::NoSpace => Answer::NoRoom,
        SendError::Stopping => Answer::Stopping,
        SendError::Unknown => Answer::Doubtful,
        other @ (SendError::Refused(_) | _) => {
            outside.is_wrong(format!("{} was answered by: {other}", entry.key()));
            Answer::Doubtful
        }
    }
}

/// Whether anything new is taken in follows from the last look at the disk, and from nothing else.
fn check_room(entry: &Entry, answer: &Answer, looked: (Room, u64), outside: &Outside) {
    let refused = *answer == Answer::NoRoom;
    let fits = match looked.0 {
        Room::Ample => !refused,
        Room::Low | Room::Full => refused || *answer == Answer::Stopping,
    };
    // Else it may have been asked before the last look, or after it.
    if !fits && looked == outside.store.last_look() {
        outside.is_wrong(format!("{} was answered by {answer:?} at {looked:?}", entry.key()));
    }
    let stored = || outside.is_durable(&Key::row(APPLIED.name(), entry.key().as_bytes()));
    if refused && entry.fate == Fate::Open && stored() {
        outside.is_wrong(format!("{} was refused, and is applied", entry.key()));
    }
}

/// A receipt says that the message is durable: it waits, or it was applied, or it was put aside.
fn check_receipt(entry: &Entry, receipt: Receipt, runtime: &Runtime, outside: &Outside) {
    let key = entry.key();
    let waits = outside.is_durable(&Key::inbox("cell", &entry.to, receipt.id));
    let applied = outside.is_durable(&Key::row(APPLIED.name(), key.as_bytes()));
    let may_be_aside = entry.order.trouble != Trouble::None || entry.expires.is_some();
    if !waits && !applied && !may_be_aside {
        outside.is_wrong(format!("{key} has a receipt and is not durable"));
    }
    let shown = runtime.tables().get(&APPLIED, &key).ok().flatten();
    if shown.is_some() && !outside.is_durable(&Key::row(APPLIED.name(), key.as_bytes())) {
        outside.is_wrong(format!("{key} was shown to a reader and is not durable"));
    }
}

async fn ask(entry: &Entry, runtime: &Runtime, outside: &Outside) -> Answer {
    let (key, told) = (entry.key(), Told::Order(entry.order.clone()));
    let patience = Duration::from_millis(1 + outside.below(3_000));
    let options = options(entry, outside);
    let answer = runtime.ask_with::<Cell, String>(&entry.to, &told, patience, options).await;
    match answer {
        Ok(reply) => {
            if reply != key {
                outside.is_wrong(format!("{key} was answered by {reply}"));
            }
            if !outside.is_durable(&Key::row(APPLIED.name(), key.as_bytes())) {
                outside.is_wrong(format!("{key} was answered and is not durable"));
            }
            Answer::Taken
        }
        Err(AskError::Rejected(why)) => {
            if entry.order.trouble == Trouble::None && entry.expires.is_none() {
                outside.is_wrong(format!("{key} was rejected: {why}"));
            }
            Answer::Taken
        }
        Err(AskError::Send(error)) => refused(entry, &error, outside),
        Err(AskError::TimedOut) => Answer::Doubtful,
        Err(error) => {
            outside.is_wrong(format!("{key} was answered by: {error}"));
            Answer::Doubtful
        }
    }
}

/// Sends what was accepted once more under its id, also twice at once.
async fn again(entry: &Entry, runtime: &Runtime, outside: &Outside) {
    if !entry.token {
        return;
    }
    let told = Told::Order(entry.order.clone());
    let send = || runtime.send_with::<Cell>(&entry.to, &told, options(entry, outside));
    for answer in <[_; 2]>::from(tokio::join!(biased; send(), send())) {
        if answer.is_ok_and(|receipt| !receipt.repeated) {
            outside.is_wrong(format!("{} was accepted twice under one id", entry.key()));
        }
    }
}
