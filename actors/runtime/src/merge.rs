//! Makes one batch of the units that wait. A message that is sent and consumed within it is not even
//! encoded.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use perennial_store::{Batch, CodecError, Key, MessageId, Tag};

use crate::address::Address;
use crate::committer::{After, Consumed, Unit};
use crate::message::{StoredMessage, seal_envelope};

/// A message that was put into an inbox. It becomes a row if it still waits when its batch is made.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) to: Address,
    pub(crate) id: MessageId,
    pub(crate) message: Arc<StoredMessage>,
}

impl Fresh {
    pub(crate) fn bytes(&self) -> usize {
        self.message.payload.len() + AROUND
    }
}

/// About what a message takes beside its payload.
const AROUND: usize = 128;

/// What the units come to.
pub(crate) struct Merged {
    pub(crate) batch: Batch,
    pub(crate) afters: Vec<After>,
    /// Messages of which nothing more is needed.
    pub(crate) spent: Vec<Fresh>,
}

/// Merges `units`, in their order.
///
/// # Errors
/// A message cannot be encoded; one over the limits was refused when it was drafted.
pub(crate) fn merge(units: VecDeque<Unit>) -> Result<Merged, CodecError> {
    let mut batch = Batch::new();
    let mut afters = Vec::new();
    let mut spent = Vec::new();
    let mut waiting: HashMap<MessageId, Fresh, BuildHasherDefault<IdHasher>> = HashMap::default();
    for unit in units {
        batch.merge(unit.batch);
        if let Some(Consumed { from, ids }) = unit.consumed {
            for id in ids {
                match waiting.remove(&id) {
                    Some(fresh) => spent.push(fresh),
                    // One that is not from this batch is a row of the store.
                    None => batch.delete(Key::inbox(from.kind(), from.key(), id)),
                }
            }
        }
        waiting.extend(unit.fresh.into_iter().map(|fresh| (fresh.id, fresh)));
        afters.extend(unit.after);
    }
    for fresh in waiting.into_values() {
        let key = Key::inbox(fresh.to.kind(), fresh.to.key(), fresh.id);
        let bytes = seal_envelope(&key, Tag::Message, &*fresh.message)?;
        batch.put_fresh(key, bytes);
        spent.push(fresh);
    }
    Ok(Merged { batch, afters, spent })
}

/// Hashes ids of messages, which this node gives out one after the other: nobody can choose them so
/// that they collide.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The table looks at the highest and the lowest bits; the lowest are poor after a product.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use perennial_store::Timestamp;

    use super::*;
    use crate::turn::TraceId;

    /// A message with a payload of so many bytes.
    pub(crate) fn fresh(unit: u64, bytes: usize) -> Fresh {
        let message = StoredMessage {
            accepted_at: Timestamp::from_micros(1),
            trace: TraceId::default(),
            expires: None,
            token: None,
            asked: false,
            version: 1,
            payload: vec![7; bytes],
        };
        let id = MessageId { unit, index: 1 };
        Fresh { to: Address::new("counter", "a"), id, message: Arc::new(message) }
    }

    fn consumer(unit: u64) -> Unit {
        let ids = vec![MessageId { unit, index: 1 }];
        let consumed = Consumed { from: Address::new("counter", "a"), ids };
        Unit { consumed: Some(consumed), ..Unit::default() }
    }

    fn sender(unit: u64) -> Unit {
        Unit { fresh: vec![fresh(unit, 256)], ..Unit::default() }
    }

    #[test]
    fn a_message_sent_and_consumed_within_one_batch_is_not_written() {
        let batch = merge(VecDeque::from([sender(1), consumer(1)])).unwrap().batch;
        assert!(batch.is_empty(), "{batch:?}");
    }

    #[test]
    fn a_message_that_still_waits_is_written_and_one_of_an_earlier_batch_is_deleted() {
        let batch = merge(VecDeque::from([sender(1), sender(2), consumer(1)])).unwrap().batch;
        let rows: Vec<_> = batch.iter().map(|(_, value)| value.is_some()).collect();
        assert_eq!(rows, [true]);
        let batch = merge(VecDeque::from([consumer(2)])).unwrap().batch;
        let rows: Vec<_> = batch.iter().map(|(_, value)| value.is_some()).collect();
        assert_eq!(rows, [false]);
    }
}
