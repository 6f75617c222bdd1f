//! Makes one batch of the units that wait. A message that is sent and consumed within it is not even
//! encoded.

use std::collections::HashMap;
use std::sync::Arc;

use perennial_store::{Batch, CodecError, Key, MessageId, Tag};

use crate::address::Address;
use crate::committer::{After, Unit};
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

/// Merges `units`, in their order.
///
/// # Errors
/// A message cannot be encoded; one over the limits was refused when it was drafted.
pub(crate) fn merge(units: Vec<Unit>) -> Result<(Batch, Vec<After>), CodecError> {
    let mut batch = Batch::new();
    let mut afters = Vec::new();
    let mut waiting: HashMap<MessageId, Fresh> = HashMap::new();
    for unit in units {
        batch.merge(unit.batch);
        for (from, id) in unit.consumed {
            // One that is not from this batch is a row of the store.
            if waiting.remove(&id).is_none() {
                batch.delete(Key::inbox(from.kind(), from.key(), id));
            }
        }
        waiting.extend(unit.fresh.into_iter().map(|fresh| (fresh.id, fresh)));
        afters.extend(unit.after);
    }
    for fresh in waiting.into_values() {
        let key = Key::inbox(fresh.to.kind(), fresh.to.key(), fresh.id);
        let bytes = seal_envelope(&key, Tag::Message, &*fresh.message)?;
        batch.put_fresh(key, bytes);
    }
    Ok((batch, afters))
}

#[cfg(test)]
mod tests {
    use perennial_store::Timestamp;

    use super::*;
    use crate::turn::TraceId;

    fn fresh(unit: u64) -> Fresh {
        let message = StoredMessage {
            accepted_at: Timestamp::from_micros(1),
            trace: TraceId::default(),
            expires: None,
            token: None,
            asked: false,
            version: 1,
            payload: vec![7; 256],
        };
        let id = MessageId { unit, index: 1 };
        Fresh { to: Address::new("counter", "a"), id, message: Arc::new(message) }
    }

    fn consumer(unit: u64) -> Unit {
        let consumed = vec![(Address::new("counter", "a"), MessageId { unit, index: 1 })];
        Unit { consumed, ..Unit::default() }
    }

    fn sender(unit: u64) -> Unit {
        Unit { fresh: vec![fresh(unit)], ..Unit::default() }
    }

    #[test]
    fn a_message_sent_and_consumed_within_one_batch_is_not_written() {
        let (batch, _) = merge(vec![sender(1), consumer(1)]).unwrap();
        assert!(batch.is_empty(), "{batch:?}");
    }

    #[test]
    fn a_message_that_still_waits_is_written_and_one_of_an_earlier_batch_is_deleted() {
        let (batch, _) = merge(vec![sender(1), sender(2), consumer(1)]).unwrap();
        let rows: Vec<_> = batch.iter().map(|(_, value)| value.is_some()).collect();
        assert_eq!(rows, [true]);
        let (batch, _) = merge(vec![consumer(2)]).unwrap();
        let rows: Vec<_> = batch.iter().map(|(_, value)| value.is_some()).collect();
        assert_eq!(rows, [false]);
    }
}
