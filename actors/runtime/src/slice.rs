//! Runs the turns of one slice on an actor's state: synchronous and without effects of its own.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use perennial_store::{Key, MAX_VALUE_BYTES, StoreError, Tag, Timestamp, decode, encode, seal};

use crate::address::Address;
use crate::durable::{Durable, Failure};
use crate::message::{Envelope, Origin};
use crate::table::{Overlay, RowView, scan_merged};
use crate::turn::{Occasion, Ops, Turn};

/// One applied turn.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) envelope: Envelope,
    pub(crate) ops: Ops,
}

/// What a slice did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) applied: Vec<Applied>,
    /// The message that stopped the slice.
    pub(crate) failed: Option<(Envelope, Failure)>,
    /// What was not reached.
    pub(crate) rest: Vec<Envelope>,
    /// The state as it is to be stored; none when no turn was applied.
    pub(crate) sealed: Option<Vec<u8>>,
}

/// Rows as earlier turns of the slice left them.
struct SliceView<'a> {
    base: &'a dyn RowView,
    overlay: &'a Overlay,
}

impl RowView for SliceView<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        match self.overlay.get(key) {
            Some(pending) => Ok(pending.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, range: Range<Key>, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        scan_merged(self.overlay, range, limit, |range, limit| self.base.scan(range, limit))
    }
}

/// The actor whose slice it is, apart from its state.
pub(crate) struct Host<'a, A: Durable> {
    pub(crate) address: &'a Address,
    pub(crate) settings: &'a A::Settings,
    pub(crate) rows: &'a dyn RowView,
    pub(crate) now: Timestamp,
}

impl<A: Durable> Host<'_, A> {
    /// Applies `envelopes` in order, up to the first failure or stop. On return `state` is as after
    /// the last applied turn.
    pub(crate) fn run(&self, state: &mut A, envelopes: Vec<Envelope>) -> Outcome {
        let before = state.clone();
        let mut overlay = Overlay::new();
        let mut applied: Vec<Applied> = Vec::with_capacity(envelopes.len());
        let mut envelopes = envelopes.into_iter();
        let mut failed = None;
        for envelope in envelopes.by_ref() {
            if is_changed(&applied, &envelope) {
                continue;
            }
            match self.turn(state, &overlay, &envelope) {
                Ok(ops) => {
                    overlay
                        .extend(ops.rows.iter().map(|(key, value)| (key.clone(), value.clone())));
                    let stops = ops.stop;
                    applied.push(Applied { envelope, ops });
                    if stops {
                        break;
                    }
                }
                Err(failure) => {
                    // The failed turn may have changed the state half-way. Turns are pure, so running
                    // the earlier ones again on the copy gives the state as before it.
                    *state = self.again(&before, &applied);
                    failed = Some((envelope, failure));
                    break;
                }
            }
        }
        let mut outcome = Outcome { applied, failed, rest: envelopes.collect(), sealed: None };
        self.seal(&before, state, &mut outcome);
        outcome
    }

    /// Encodes the state. One that cannot be stored fails the turn that made it so: the turns before
    /// it stay applied, those after it were not reached.
    fn seal(&self, before: &A, state: &mut A, outcome: &mut Outcome) {
        if outcome.applied.is_empty() {
            return;
        }
        let why = match self.sealed(state) {
            Ok(sealed) => return outcome.sealed = Some(sealed),
            // It is deleted, not stored.
            Err(_) if outcome.applied.last().is_some_and(|turn| turn.ops.stop) => return,
            Err(why) => why,
        };
        let fits =
            |count: &usize| self.sealed(&self.again(before, &outcome.applied[..*count])).is_ok();
        let kept = (0..outcome.applied.len()).rev().find(fits).unwrap_or_default();
        *state = self.again(before, &outcome.applied[..kept]);
        let mut undone = outcome.applied.split_off(kept).into_iter().map(|turn| turn.envelope);
        let culprit = undone.next();
        let mut rest: Vec<Envelope> = undone.collect();
        rest.extend(outcome.failed.take().map(|(envelope, _)| envelope));
        rest.append(&mut outcome.rest);
        outcome.rest = rest;
        outcome.failed = culprit.map(|envelope| (envelope, Failure::Reject(why)));
        if kept > 0 {
            outcome.sealed = self.sealed(state).ok();
        }
    }

    fn sealed(&self, state: &A) -> Result<Vec<u8>, String> {
        let key = Key::state(self.address.kind(), self.address.key());
        let encoded = encode(state).map_err(|error| format!("the state: {error}"))?;
        let sealed = seal(&key, Tag::State, A::VERSION, &encoded);
        let bytes = sealed.len();
        if bytes > MAX_VALUE_BYTES {
            return Err(format!(
                "the state would be {bytes} bytes, over the limit of {MAX_VALUE_BYTES}"
            ));
        }
        Ok(sealed)
    }

    fn again(&self, before: &A, applied: &[Applied]) -> A {
        let mut state = before.clone();
        let mut overlay = Overlay::new();
        for turn in applied {
            // It succeeded with the same inputs a moment ago. Were it impure and failed now, its
            // change of state would be lost and its messages sent: that is the actor's defect.
            if let Ok(ops) = self.turn(&mut state, &overlay, &turn.envelope) {
                overlay.extend(ops.rows);
            }
        }
        state
    }

    fn turn(&self, state: &mut A, overlay: &Overlay, envelope: &Envelope) -> Result<Ops, Failure> {
        let message = &envelope.message;
        if message.expires.is_some_and(|expires| expires < self.now) {
            return Err(Failure::Reject("expired".to_owned()));
        }
        let occasion = Occasion {
            address: self.address.clone(),
            id: envelope.origin.id(),
            source: envelope.origin.source(),
            now: self.now,
            attempt: envelope.attempts + 1,
            trace: message.trace,
        };
        let view = SliceView { base: self.rows, overlay };
        let turn = Turn::new(&occasion, self.settings, &view);
        let run = || {
            let body: A::Message = if message.version == A::VERSION {
                decode(&message.payload).map_err(|error| Failure::Reject(error.to_string()))?
            } else {
                A::migrate_message(message.version, &message.payload)?
            };
            turn.run(state, body)
        };
        catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|panic| Err(Failure::Retry(format!("panicked: {}", text(&*panic)))))
    }
}

/// Whether it is a timer that an earlier turn of the slice cancelled or set anew.
fn is_changed(applied: &[Applied], envelope: &Envelope) -> bool {
    let Origin::Timer { name, .. } = &envelope.origin else { return false };
    applied.iter().any(|turn| turn.ops.timers.contains_key(name))
}

/// What a panic said.
pub(crate) fn text(panic: &(dyn Any + Send)) -> &str {
    let said = panic.downcast_ref::<&str>().copied();
    said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
