//! The world around the simulated node: what was done to it, and how badly it answers. It outlives every
//! process, and shows truly what was done when it is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_runtime::{
    Attempt, Disk, EffectError, Performer, Reconciliation, SimulatedClock, SimulatedStore,
};
use perennial_store::Key;

use super::cell::{Deed, INTENDED};
use super::chance::Chance;

#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) clock: SimulatedClock,
    pub(crate) store: SimulatedStore,
    held: Arc<Mutex<Held>>,
}

struct Held {
    chance: Chance,
    /// Times each deed was done.
    done: BTreeMap<String, u32>,
    /// The last deed of each cell in each lane.
    last: BTreeMap<(String, u8), u32>,
    /// Times an order or a deed ended the process.
    killed: BTreeMap<String, u32>,
    /// Nothing ends the process any more.
    harmless: bool,
    /// Orders put aside because they ended the process.
    blamed: usize,
    wrong: Vec<String>,
}

impl Outside {
    pub(crate) fn new(clock: SimulatedClock, store: SimulatedStore, chance: Chance) -> Self {
        let held = Held {
            chance,
            done: BTreeMap::new(),
            last: BTreeMap::new(),
            killed: BTreeMap::new(),
            harmless: false,
            blamed: 0,
            wrong: Vec::new(),
        };
        let held = Arc::new(Mutex::new(held));
        Self { clock, store, held }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_wrong(&self, what: String) {
        self.lock().wrong.push(what);
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        self.lock().wrong.clone()
    }

    pub(crate) fn done(&self) -> BTreeMap<String, u32> {
        self.lock().done.clone()
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.lock().chance.below(bound)
    }

    /// From now on nothing ends the process.
    pub(crate) fn calms_down(&self) {
        self.lock().harmless = true;
    }

    /// Ends the process, if it has not done so `times` before; what runs goes on and is not heard of.
    pub(crate) fn kills(&self, what: &str, times: u32) -> bool {
        let mut held = self.lock();
        let so_far = held.killed.get(what).copied().unwrap_or_default();
        if held.harmless || so_far >= times {
            return false;
        }
        held.killed.insert(what.to_owned(), so_far + 1);
        self.store.die();
        true
    }

    pub(crate) fn are_blamed(&self, orders: usize) {
        self.lock().blamed += orders;
    }

    pub(crate) fn blamed(&self) -> usize {
        self.lock().blamed
    }

    pub(crate) fn has_killed(&self, what: &str) -> bool {
        self.lock().killed.contains_key(what)
    }

    /// Whether a loss of power at this moment would leave the row.
    pub(crate) fn is_durable(&self, key: &Key) -> bool {
        self.store.durable(key).is_ok_and(|row| row.is_some())
    }

    fn is_done(&self, deed: &Deed) {
        let intended = self.is_durable(&Key::row(INTENDED.name(), deed.id.as_bytes()));
        let mut held = self.lock();
        let times = held.done.entry(deed.id.clone()).or_default();
        *times += 1;
        if *times > 1 {
            held.wrong.push(format!("{} was done twice", deed.id));
        }
        if !intended {
            held.wrong.push(format!("{} was done and its intent is not durable", deed.id));
        }
        if let Some(lane) = deed.lane {
            let last = held.last.insert((deed.owner().to_owned(), lane), deed.number);
            if last.is_some_and(|last| last >= deed.number) {
                held.wrong.push(format!("{} was done out of its lane's order", deed.id));
            }
        }
    }

    async fn takes_time(&self) {
        let millis = self.below(40);
        if millis > 10 {
            tokio::time::sleep(Duration::from_millis(millis - 10)).await;
        }
    }
}

impl Performer<Deed> for Outside {
    async fn perform(&self, deed: &Deed, _attempt: &Attempt) -> Result<(), EffectError> {
        self.takes_time().await;
        let way = self.below(16);
        if self.store.has_died() {
            return std::future::pending().await;
        }
        if way < 10 {
            self.is_done(deed);
        }
        if self.below(40) == 0 && self.kills(&deed.id, u32::MAX) {
            return std::future::pending().await;
        }
        match way {
            0 => std::future::pending().await,
            1 => Err(EffectError::Unknown("the answer was lost".to_owned())),
            2 => std::panic::resume_unwind(Box::new("after it was done")),
            3 => {
                self.takes_time().await;
                Ok(())
            }
            4..10 => Ok(()),
            10 => std::future::pending().await,
            11 => Err(EffectError::permanent("never")),
            12 => std::panic::resume_unwind(Box::new("before it was done")),
            13 => {
                let retry_after = Some(Duration::from_millis(self.below(300)));
                Err(EffectError::Transient { message: "busy".to_owned(), retry_after })
            }
            _ => Err(EffectError::transient("not now")),
        }
    }

    async fn reconcile(&self, deed: &Deed, _attempt: &Attempt) -> Reconciliation<()> {
        self.takes_time().await;
        match self.below(12) {
            0 => std::future::pending().await,
            1 => Reconciliation::Unreachable("not now".to_owned()),
            2 => Reconciliation::Unknown("nothing shows it".to_owned()),
            _ if self.lock().done.contains_key(&deed.id) => Reconciliation::Done(()),
            _ => Reconciliation::NotDone,
        }
    }
}
