//! The envelopes as they are on the disk: a change of format fails here.

use std::iter::successors;

use super::*;
use crate::frozen::frozen;
use crate::receipts::{StoredEnd, StoredReceipt};

fn second(n: u64) -> Timestamp {
    Timestamp::from_micros(n * 1_000_000)
}

fn message() -> StoredMessage {
    StoredMessage {
        accepted_at: second(1_700_000_000),
        trace: TraceId(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
        expires: Some(second(1_700_000_060)),
        token: Some("order-17".to_owned()),
        asked: true,
        version: 3,
        payload: vec![0, 1, 127, 128, 255],
    }
}

fn effect() -> StoredEffect {
    StoredEffect {
        name: "deliver".to_owned(),
        owner: Address::new("alert", "local"),
        key: "00112233445566778899aabbccddeeff".to_owned(),
        lane: Some("slack/inc-7".to_owned()),
        policy: EffectPolicy {
            timeout: Duration::from_millis(10_500),
            attempts: u32::MAX,
            backoff_base: Duration::from_millis(500),
            backoff_cap: Duration::from_secs(300),
            expires: Some(second(1_700_086_400)),
            keep_failures: true,
        },
        intended_at: second(1_700_000_001),
        trace: TraceId(17),
        attempts: 4,
        last_error: "the channel answered 503".to_owned(),
        deaths: 2,
        doubtful: true,
        version: 2,
        payload: vec![9, 8, 7],
    }
}

fn letter(content: DeadContent) -> StoredDeadLetter {
    StoredDeadLetter {
        to: Address::new("responder", "local"),
        effect: "engine-action".to_owned(),
        reason: "the last attempt failed".to_owned(),
        attempts: 5,
        last_error: "no such container".to_owned(),
        at: second(1_700_000_300),
        content,
    }
}

/// Each kind of content names the next, so that a new one has to be sampled.
fn contents() -> Vec<DeadContent> {
    let next = |content: &DeadContent| match content {
        DeadContent::Message(_) => Some(DeadContent::Effect(effect())),
        DeadContent::Effect(_) => None,
    };
    successors(Some(DeadContent::Message(message())), next).collect()
}

/// Each end names the next, so that a new one has to be sampled.
fn ends() -> Vec<StoredEnd> {
    let next = |end: &StoredEnd| match end {
        StoredEnd::Replied(_) => Some(StoredEnd::Silent),
        StoredEnd::Silent => Some(StoredEnd::Rejected("unknown order".to_owned())),
        StoredEnd::Rejected(_) => None,
    };
    successors(Some(StoredEnd::Replied(vec![1, 2, 3])), next).collect()
}

#[test]
fn the_format_of_messages_is_frozen() {
    let bare = StoredMessage { expires: None, token: None, asked: false, ..message() };
    frozen("runtime/message", ENVELOPE, &vec![message(), bare]);
}

#[test]
fn the_format_of_timers_is_frozen() {
    let timer = StoredTimer {
        id: MessageId { unit: 70_000, index: 2 },
        due: second(1_700_000_030),
        period: Some(Duration::from_millis(1_250)),
        trace: TraceId(u128::MAX),
        version: 1,
        payload: vec![4],
    };
    let once = StoredTimer { period: None, ..timer.clone() };
    frozen("runtime/timer", ENVELOPE, &vec![timer, once]);
}

#[test]
fn the_format_of_effects_is_frozen() {
    let mut bare = StoredEffect { lane: None, last_error: String::new(), ..effect() };
    bare.policy.expires = None;
    frozen("runtime/effect", ENVELOPE, &vec![effect(), bare]);
}

#[test]
fn the_format_of_dead_letters_is_frozen() {
    let letters: Vec<_> = contents().into_iter().map(letter).collect();
    frozen("runtime/dead-letter", ENVELOPE, &letters);
}

#[test]
fn the_format_of_attempts_is_frozen() {
    let attempts = StoredAttempts { count: 300, last_error: "a turn panicked".to_owned() };
    frozen("runtime/attempts", ENVELOPE, &attempts);
}

#[test]
fn the_format_of_receipts_is_frozen() {
    let receipt = |end| StoredReceipt {
        id: MessageId { unit: 70_000, index: 3 },
        expires: second(1_700_003_600),
        end,
    };
    let all = ends().into_iter().map(Some).chain([None]).map(receipt);
    frozen("runtime/receipt", ENVELOPE, &all.collect::<Vec<_>>());
}
