//! The actor that is simulated: it does everything an actor can do, and notes what should never happen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use perennial_runtime::{
    Durable, Effect, EffectPolicy, Failure, Finished, Kind, Table, Timestamp, Turn, Undone,
};
use serde::{Deserialize, Serialize};

use super::outside::Outside;
use crate::world::Unregistered;

/// Names, of those who send and of those who receive.
pub(crate) fn cell(number: u8) -> String {
    format!("cell-{number}")
}

/// What one sender tells one cell, numbered by the sender for that cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) from: String,
    pub(crate) number: u32,
    pub(crate) act: Act,
    pub(crate) trouble: Trouble,
}

impl Order {
    pub(crate) fn key(&self, to: &str) -> String {
        format!("{}>{to}#{}", self.from, self.number)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Act {
    Note,
    Transfer {
        to: u8,
        amount: i64,
    },
    Deposit(i64),
    /// Tells another cell this many notes at once.
    Burst {
        to: u8,
        count: u8,
    },
    /// Rings once, or for a number of ticks.
    Remind {
        name: u8,
        after_ms: u32,
        ticks: u8,
        /// A timer that is taken back when this one rings.
        cancels: Option<u8>,
    },
    Cancel(u8),
    Perform {
        lane: Option<u8>,
        count: u8,
        keep: bool,
    },
    /// Tells a kind that is not registered.
    Nobody,
}

/// How the first attempts at an order end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    None,
    Retry(u32),
    Panic(u32),
    Restart(u32),
    Escalate(u32),
    /// Ends the process so many times, over all its lives.
    Kill(u32),
    Reject,
}

impl Trouble {
    /// Whether it never goes well, with so many attempts.
    pub(crate) fn is_final(self, attempts: u32) -> bool {
        match self {
            Self::None | Self::Kill(_) => false,
            Self::Reject => true,
            Self::Retry(times)
            | Self::Panic(times)
            | Self::Restart(times)
            | Self::Escalate(times) => times >= attempts,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    Order(Order),
    Rings { name: String, id: String, due: Timestamp, cancels: Option<u8> },
    Done(Finished<Deed>),
    State,
}

impl From<Finished<Deed>> for Told {
    fn from(finished: Finished<Deed>) -> Self {
        Self::Done(finished)
    }
}

/// Orders that were applied, by key.
pub(crate) const APPLIED: Table<u32> = Table::new("applied", 1);
/// Deeds that were intended, by id.
pub(crate) const INTENDED: Table<u32> = Table::new("intended", 1);
/// How deeds ended, by id.
pub(crate) const OUTCOMES: Table<End> = Table::new("outcomes", 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    Done,
    Failed,
    Expired,
    Unknown,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Armed {
    id: String,
    /// Ticks that are left, for a periodic one.
    ticks: u8,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) balance: i64,
    heard: BTreeMap<String, u32>,
    told: BTreeMap<String, u32>,
    timers: BTreeMap<String, Armed>,
    ongoing: BTreeSet<String>,
    deeds: u32,
    /// What should never happen.
    pub(crate) wrong: Vec<String>,
}

impl Durable for Cell {
    const KIND: Kind = Kind::new("cell");
    type Message = Told;
    type Settings = Outside;

    fn handle(&mut self, told: Told, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match told {
            Told::Order(order) => self.order(order, turn),
            Told::Rings { name, id, due, cancels } => {
                self.ring((&name, &id), due, turn);
                cancels.into_iter().for_each(|name| self.cancel(name, turn));
                Ok(())
            }
            Told::Done(finished) => self.conclude(&finished, turn),
            Told::State => {
                turn.reply(self);
                Ok(())
            }
        }
    }
}

impl Cell {
    /// Nothing is under way that will still change it.
    pub(crate) fn rests(&self) -> bool {
        self.timers.is_empty() && self.ongoing.is_empty()
    }

    fn order(&mut self, order: Order, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let key = order.key(turn.key());
        self.trouble(order.trouble, &key, turn)?;
        if turn.get(&APPLIED, &key)?.is_some() {
            self.wrong.push(format!("{key} was applied twice"));
        }
        turn.put(&APPLIED, &key, &1);
        let last = self.heard.insert(order.from.clone(), order.number).unwrap_or_default();
        let in_order = match order.from.starts_with("cell") {
            // Nothing that a cell tells is refused or given up.
            true => order.number == last + 1,
            false => order.number > last,
        };
        if !in_order {
            self.wrong.push(format!("{key} was applied after #{last}"));
        }
        self.act(order.act, &key, turn);
        turn.reply(&key);
        Ok(())
    }

    /// Changes the state and leaves a trace in every way, then fails: nothing of it may be seen.
    fn trouble(
        &mut self,
        trouble: Trouble,
        key: &str,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let fails = match trouble {
            Trouble::None => false,
            Trouble::Reject => true,
            Trouble::Retry(times)
            | Trouble::Panic(times)
            | Trouble::Restart(times)
            | Trouble::Escalate(times) => turn.attempt() <= times,
            Trouble::Kill(times) => turn.settings().kills(key, times),
        };
        if !fails {
            return Ok(());
        }
        self.balance += 1_000_000;
        self.tell(0, Act::Deposit(1_000_000), turn);
        turn.put(&APPLIED, key, &2);
        turn.perform(&Deed::new("of a failed turn", None, 0, false));
        turn.send_after(Duration::ZERO, "of a failed turn", &Told::State);
        let why = key.to_owned();
        Err(match trouble {
            Trouble::Panic(_) | Trouble::Kill(_) => std::panic::resume_unwind(Box::new(why)),
            Trouble::Restart(_) => Failure::Restart(why),
            Trouble::Escalate(_) => Failure::Escalate(why),
            Trouble::Reject => Failure::Reject(why),
            Trouble::None | Trouble::Retry(_) => Failure::Retry(why),
        })
    }

    fn act(&mut self, act: Act, key: &str, turn: &mut Turn<'_, Self>) {
        match act {
            Act::Note => {}
            Act::Deposit(amount) => self.balance += amount,
            Act::Transfer { to, amount } => {
                self.balance -= amount;
                self.tell(to, Act::Deposit(amount), turn);
            }
            Act::Burst { to, count } => (0..count).for_each(|_| self.tell(to, Act::Note, turn)),
            remind @ Act::Remind { .. } => self.remind(&remind, key, turn),
            Act::Cancel(name) => self.cancel(name, turn),
            Act::Perform { lane, count, keep } => {
                for part in 0..count {
                    let id = format!("{key}.{part}");
                    self.deeds += 1;
                    turn.perform(&Deed::new(&id, lane, self.deeds, keep));
                    turn.put(&INTENDED, &id, &1);
                    self.ongoing.insert(id);
                }
            }
            Act::Nobody => turn.send::<Unregistered>("x", &()),
        }
    }

    fn tell(&mut self, to: u8, act: Act, turn: &mut Turn<'_, Self>) {
        let number = self.told.entry(cell(to)).or_default();
        *number += 1;
        let (from, number) = (turn.key().to_owned(), *number);
        let order = Order { from, number, act, trouble: Trouble::None };
        turn.send::<Self>(cell(to), &Told::Order(order));
    }

    fn remind(&mut self, remind: &Act, key: &str, turn: &mut Turn<'_, Self>) {
        let Act::Remind { name, after_ms, ticks, cancels } = *remind else { return };
        let (name, id) = (timer(name), key.to_owned());
        let after = Duration::from_millis(after_ms.into());
        let due = turn.now() + after;
        let rings = Told::Rings { name: name.clone(), id: id.clone(), due, cancels };
        if ticks == 0 {
            turn.send_after(after, &name, &rings);
        } else {
            turn.send_every(after.max(Duration::from_millis(1)), &name, &rings);
        }
        self.timers.insert(name, Armed { id, ticks });
    }

    fn cancel(&mut self, name: u8, turn: &mut Turn<'_, Self>) {
        turn.cancel(&timer(name));
        self.timers.remove(&timer(name));
    }

    fn ring(&mut self, (name, id): (&str, &str), due: Timestamp, turn: &mut Turn<'_, Self>) {
        if turn.settings().clock.latest() < due {
            self.wrong.push(format!("{id} rang before {due}"));
        }
        match self.timers.get_mut(name).filter(|armed| armed.id == id) {
            None => {
                self.wrong.push(format!("{id} rang once more, or cancelled, or replaced"));
            }
            Some(armed) if armed.ticks > 1 => armed.ticks -= 1,
            Some(armed) => {
                if armed.ticks == 1 {
                    turn.cancel(name);
                }
                self.timers.remove(name);
            }
        }
    }

    fn conclude(
        &mut self,
        finished: &Finished<Deed>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let id = &finished.effect.id;
        if !self.ongoing.remove(id) {
            self.wrong.push(format!("the outcome of {id} came twice, or it was never intended"));
        }
        let end = match &finished.result {
            Ok(()) => End::Done,
            Err(Undone::Failed(_)) => End::Failed,
            Err(Undone::Expired(_)) => End::Expired,
            Err(Undone::Unknown(_)) => End::Unknown,
        };
        turn.put(&OUTCOMES, id, &end);
        Ok(())
    }
}

fn timer(name: u8) -> String {
    format!("timer-{name}")
}

/// Something done to the [`Outside`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deed {
    pub(crate) id: String,
    pub(crate) lane: Option<u8>,
    /// Counts the deeds of its cell.
    pub(crate) number: u32,
    keep: bool,
}

impl Deed {
    fn new(id: &str, lane: Option<u8>, number: u32, keep: bool) -> Self {
        Self { id: id.to_owned(), lane, number, keep }
    }

    /// The cell that intended it.
    pub(crate) fn owner(&self) -> &str {
        self.id.split(['>', '#']).nth(1).unwrap_or_default()
    }
}

impl Effect for Deed {
    const NAME: &'static str = "deed";
    type Owner = Cell;
    type Outcome = ();

    fn lane(&self) -> Option<String> {
        self.lane.map(|lane| lane.to_string())
    }

    fn policy(&self) -> EffectPolicy {
        EffectPolicy {
            // Longer than a suspect is left alone at first.
            timeout: Duration::from_millis(if self.lane == Some(1) { 5_000 } else { 200 }),
            attempts: 4,
            backoff_base: Duration::from_millis(10),
            backoff_cap: Duration::from_millis(100),
            expires: None,
            keep_failures: self.keep,
        }
    }
}
