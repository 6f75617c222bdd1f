use proptest::prelude::*;

use super::*;

fn id(unit: u64, index: u32) -> MessageId {
    MessageId { unit, index }
}

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

#[test]
fn prefixes_are_distinct_and_in_the_documented_order() {
    assert!(prefix::TABLE.is_sorted_by(|a, b| a < b));
    let keys = [
        Key::attempt("k", "a", "1"),
        Key::dead_letter(id(1, 1)),
        Key::effect(id(1, 1)),
        Key::inbox("k", "a", id(1, 1)),
        Key::meta("m"),
        Key::position("s"),
        Key::receipt("t"),
        Key::row("t", b"r"),
        Key::state("k", "a"),
        Key::timer("k", "a", "n"),
        Key::timer_due(at(1), "k", "a", "n"),
        Key::receipt_expiry(at(1), "t"),
        Key::state("k", "a").chunk(1),
    ];
    assert!(keys.iter().map(|key| key.as_ref()[0]).eq(prefix::TABLE));
    assert!(keys[..12].iter().all(|key| *key < Key::end()));
}

#[test]
fn keys_print_for_people() {
    for (key, text) in [
        (Key::attempt("query", "q 1", "12-3"), "attempt query/q 1 12-3"),
        (Key::dead_letter(id(12, 3)), "dead letter 12-3"),
        (Key::effect(id(12, 3)), "effect 12-3"),
        (Key::inbox("responder", "local", id(12, 3)), "inbox responder/local 12-3"),
        (Key::meta("epoch"), "meta epoch"),
        (Key::position("docker"), "position docker"),
        (Key::receipt("abc"), "receipt abc"),
        (Key::row("incidents", b"i-1"), "row incidents i-1"),
        (Key::row("incidents", &[0, 255]), "row incidents 0x00ff"),
        (Key::state("responder", "local"), "state responder/local"),
        (Key::timer("monitor", "local", "tick"), "timer monitor/local tick"),
        (Key::timer_due(at(9), "monitor", "local", "tick"), "timer due 9 monitor/local tick"),
        (Key::receipt_expiry(at(9), "abc"), "receipt expiry 9 abc"),
        (Key::meta("epoch").chunk(2), "part 2 of meta epoch"),
        (Key::from_bytes([b's', b'x']), "bytes 7378"),
        (Key::from_bytes([]), "bytes "),
    ] {
        assert_eq!(key.to_string(), text);
        assert_eq!(format!("{key:?}"), text);
    }
}

#[test]
fn an_inbox_is_scanned_from_a_message_to_its_own_end() {
    let range = Key::inbox_of("k", "a", id(2, 0));
    assert!(!range.contains(&Key::inbox("k", "a", id(1, 9))));
    assert!(range.contains(&Key::inbox("k", "a", id(2, 0))));
    assert!(range.contains(&Key::inbox("k", "a", id(u64::MAX, u32::MAX))));
    assert!(!range.contains(&Key::inbox("k", "ab", id(2, 0))));
    assert!(!range.contains(&Key::inbox("k2", "a", id(2, 0))));
}

#[test]
fn ranges_by_time_include_their_last_moment() {
    let due = Key::timers_due_until(at(5));
    assert!(due.contains(&Key::timer_due(at(5), "z", "z", "z")));
    assert!(!due.contains(&Key::timer_due(at(6), "a", "a", "a")));
    let all = Key::timers_due_until(Timestamp::MAX);
    assert!(all.contains(&Key::timer_due(Timestamp::MAX, "z", "z", "z")));
    assert!(!all.contains(&Key::receipt_expiry(at(0), "t")));
    let expired = Key::receipts_expired_until(at(5));
    assert!(expired.contains(&Key::receipt_expiry(at(5), "t")));
    assert!(!expired.contains(&Key::receipt_expiry(at(6), "t")));
}

#[test]
fn a_table_holds_its_rows_and_no_other() {
    let all = Key::rows_all("t");
    assert!(all.contains(&Key::row("t", b"")));
    assert!(all.contains(&Key::row("t", &[255; 9])));
    assert!(!all.contains(&Key::row("t2", b"")));
    let some = Key::rows("t", b"b"..b"d");
    assert!(some.contains(&Key::row("t", b"c")) && !some.contains(&Key::row("t", b"d")));
}

#[test]
fn the_parts_of_large_values_have_a_range_of_their_own() {
    assert!(Key::chunks().contains(&Key::row("t", &[255; 9]).chunk(u16::MAX)));
    assert!(!Key::chunks().contains(&Key::row("t", &[255; 9])));
}

#[test]
fn a_key_of_another_kind_or_length_does_not_parse() {
    assert_eq!(Key::dead_letter(id(1, 1)).parse_effect(), None);
    assert_eq!(Key::timer("k", "a", "n").parse_attempt(), None);
    let mut longer = Key::effect(id(1, 1)).as_ref().to_vec();
    longer.push(0);
    assert_eq!(Key::from_bytes(longer).parse_effect(), None);
    assert_eq!(Key::from_bytes(*b"ik\0a").parse_inbox(), None);
}

proptest! {
    #[test]
    fn keys_read_back_as_they_were_made(
        kind in "[^\0]{0,9}", key in "[^\0]{0,9}", name in "[^\0]{0,9}",
        unit: u64, index: u32, micros: u64, row: Vec<u8>,
    ) {
        let (id, time) = (id(unit, index), at(micros));
        prop_assert_eq!(
            Key::inbox(&kind, &key, id).parse_inbox(), Some((kind.clone(), key.clone(), id)));
        prop_assert_eq!(
            Key::timer_due(time, &kind, &key, &name).parse_timer_due(),
            Some((time, kind.clone(), key.clone(), name.clone())));
        prop_assert_eq!(
            Key::attempt(&kind, &key, &name).parse_attempt(),
            Some((kind.clone(), key.clone(), name.clone())));
        prop_assert_eq!(Key::timer(&kind, &key, &name).parse_timer(), Some(name.clone()));
        prop_assert_eq!(Key::effect(id).parse_effect(), Some(id));
        prop_assert_eq!(Key::dead_letter(id).parse_dead_letter(), Some(id));
        prop_assert_eq!(
            Key::receipt_expiry(time, &name).parse_receipt_expiry(), Some((time, name.clone())));
        let made = Key::row(&name, &row);
        prop_assert_eq!(made.parse_row(), Some((name, row)));
        prop_assert_eq!(made.chunk(7).parse_chunk(), Some((made, 7)));
    }

    #[test]
    fn messages_sort_by_order_of_commit(a: (u64, u32), b: (u64, u32)) {
        let (a, b) = (id(a.0, a.1), id(b.0, b.1));
        prop_assert_eq!(Key::inbox("k", "a", a).cmp(&Key::inbox("k", "a", b)), a.cmp(&b));
    }

    /// Display must cope with whatever a damaged store holds.
    #[test]
    fn any_bytes_print(bytes: Vec<u8>) {
        prop_assert!(!Key::from_bytes(bytes).to_string().is_empty());
    }
}
