use super::*;

fn key() -> Key {
    Key::state("responder", "local")
}

fn reason(key: &Key, bytes: &[u8]) -> String {
    match open(key, bytes) {
        Err(StoreError::Corrupted { key: named, reason }) => {
            assert_eq!(named, key.to_string());
            reason
        }
        other => panic!("expected a corrupt record, got {other:?}"),
    }
}

#[test]
fn a_record_opens_at_its_key() {
    let bytes = seal(&key(), Tag::State, 258, b"payload");
    let record = open(&key(), &bytes).unwrap();
    assert_eq!(record, Record { tag: Tag::State, version: 258, payload: b"payload" });
}

#[test]
fn the_bytes_of_a_record_never_change() {
    let bytes = seal(&Key::meta("epoch"), Tag::Meta, 1, &[7]);
    assert_eq!(bytes, [1, 10, 0, 1, 108, 171, 148, 98, 7]);
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let bytes = seal(&key(), Tag::State, 1, b"payload");
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(reason(&key(), &damaged), "its checksum does not match", "bit {bit}");
    }
}

#[test]
fn a_record_cut_short_is_found() {
    let bytes = seal(&key(), Tag::State, 1, b"payload");
    for length in 0..bytes.len() {
        reason(&key(), &bytes[..length]);
    }
}

#[test]
fn a_record_copied_to_another_key_is_corrupt() {
    let bytes = seal(&key(), Tag::State, 1, b"payload");
    assert_eq!(reason(&Key::state("responder", "other"), &bytes), "its checksum does not match");
}

#[test]
fn a_record_of_a_later_format_or_tag_says_so() {
    for (head, text) in [([2, 1, 0, 1], "its format 2"), ([1, 11, 0, 1], "its type tag 11")] {
        let mut bytes = head.to_vec();
        bytes.extend_from_slice(&checksum(&key(), head, b"").to_be_bytes());
        assert!(reason(&key(), &bytes).starts_with(text));
    }
}

#[test]
fn every_tag_has_its_number() {
    let tags: Vec<Tag> = (0..=u8::MAX).filter_map(Tag::from_u8).collect();
    assert_eq!(tags.len(), 10);
    assert!(tags.iter().all(|tag| Tag::from_u8(*tag as u8) == Some(*tag)));
}
