//! Who may have killed an earlier run of the process, and which of them counts for what.
//!
//! An attempt that was counted ahead counts if the run that counted it died while it was at it. What a run
//! was at when it died is found by the next one, which may die of something else before it comes to the
//! suspect. So it is remembered until a run ends in order, or has lived through its careful time.

use perennial_store::{Epoch, MessageId, decode, encode};
use serde::{Deserialize, Serialize};

use crate::address::Address;

/// What is noted as the error of an attempt that is counted before it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead(&'static str);

impl Ahead {
    pub(crate) const HANDLED: Self = Self("the process ended while it was handled");
    pub(crate) const PERFORMED: Self = Self("the process ended while it was performed");

    /// The note of the process that owns `epoch`.
    pub(crate) fn note(self, epoch: Epoch) -> String {
        self.note_of(epoch.as_u64())
    }

    fn note_of(self, run: u64) -> String {
        format!("{} (run {run})", self.0)
    }

    /// Whether an attempt that is found with this error counts, of what was running when the runs of
    /// `deaths` died. One counted ahead does if the one that counted is among them. Else that one died of
    /// something else, before the attempt or after it.
    pub(crate) fn counts(self, error: &str, deaths: &[u64]) -> bool {
        !error.starts_with(self.0) || deaths.iter().any(|run| error == self.note_of(*run))
    }
}

/// Actors and effects that are remembered: those that two runs can leave, and more than a few threads do.
const ACTORS: usize = 128;
const EFFECTS: usize = 512;

/// What earlier runs were at when they died, and which run that was; the latest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Suspects {
    actors: Vec<(Address, u64)>,
    effects: Vec<(MessageId, u64)>,
}

impl Suspects {
    /// Adds what was under way when `run` died.
    pub(crate) fn add(&mut self, (actors, run): (Vec<Address>, u64), effects: Vec<MessageId>) {
        self.actors.splice(0..0, actors.into_iter().map(|actor| (actor, run)));
        self.effects.splice(0..0, effects.into_iter().map(|effect| (effect, run)));
        self.actors.truncate(ACTORS);
        self.effects.truncate(EFFECTS);
    }

    pub(crate) fn actors(&self) -> impl Iterator<Item = &Address> {
        self.actors.iter().map(|(actor, _)| actor)
    }

    /// Each with the run that died while it was performed.
    pub(crate) fn effects(&self) -> impl Iterator<Item = &(MessageId, u64)> {
        self.effects.iter()
    }

    /// The runs that died while this actor was running.
    pub(crate) fn deaths_of(&self, actor: &Address) -> Vec<u64> {
        let of_it = self.actors.iter().filter(|(other, _)| other == actor);
        of_it.map(|(_, run)| *run).collect()
    }
}

/// Bytes for a memory: two lengths of keys for each actor, and some for each effect, fit well.
pub(crate) const MEMORY: usize = 128 * 1024;

/// What is remembered from run to run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// The run that remembers.
    pub(crate) run: u64,
    pub(crate) suspects: Suspects,
}

impl Memory {
    /// What is known when nothing is remembered.
    pub(crate) fn before(run: Epoch) -> Self {
        Self { run: run.as_u64().saturating_sub(1), suspects: Suspects::default() }
    }

    /// Its length, and it. Nothing when it cannot be encoded or does not fit: then it is forgotten.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let encoded = encode(self).unwrap_or_default();
        match u32::try_from(encoded.len()) {
            Ok(length) if encoded.len() <= MEMORY - 4 => {
                [&length.to_be_bytes(), &*encoded].concat()
            }
            Ok(_) | Err(_) => vec![0; 4],
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let encoded = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        decode(encoded).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_counted_ahead_counts_only_if_the_process_that_counted_died_at_it() {
        let note = Ahead::HANDLED.note(Epoch::from_raw(6));
        assert!(Ahead::HANDLED.counts(&note, &[6]));
        assert!(Ahead::HANDLED.counts(&note, &[9, 6, 4]), "others have died since");
        assert!(!Ahead::HANDLED.counts(&note, &[]), "it was not running");
        assert!(!Ahead::HANDLED.counts(&note, &[7, 5]), "it died at it, and had not counted");
        assert!(Ahead::HANDLED.counts("no route to host", &[]), "it was made");
    }

    #[test]
    fn the_most_that_is_remembered_fits() {
        let key = "k".repeat(508);
        let actors = (0..200).map(|_| Address::new("", key.clone())).collect();
        let effects = (0..1_000).map(|_| MessageId { unit: u64::MAX, index: u32::MAX }).collect();
        let mut suspects = Suspects::default();
        suspects.add((actors, u64::MAX), effects);
        let memory = Memory { run: u64::MAX, suspects };
        assert_eq!(Memory::from_bytes(&memory.to_bytes()), Some(memory));
        assert_eq!(Memory::from_bytes(&[0; 64]), None);
    }
}
