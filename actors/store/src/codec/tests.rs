use serde::Deserialize;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Sample {
    Unit,
    Pair(u32, String),
    Named { at: Option<u64>, list: Vec<i16> },
}

#[test]
fn a_value_reads_back_as_it_was() {
    for value in [
        Sample::Unit,
        Sample::Pair(300, "é".into()),
        Sample::Named { at: Some(u64::MAX), list: vec![-1, 2] },
    ] {
        assert_eq!(decode::<Sample>(&encode(&value).unwrap()).unwrap(), value);
    }
}

#[test]
fn the_bytes_of_an_encoding_never_change() {
    let value = Sample::Named { at: Some(300), list: vec![-1, 2] };
    assert_eq!(encode(&value).unwrap(), [2, 1, 251, 44, 1, 2, 1, 4]);
}

#[test]
fn bytes_left_over_are_an_error() {
    let mut bytes = encode(&7u64).unwrap();
    bytes.push(0);
    let error = decode::<u64>(&bytes).unwrap_err();
    assert!(matches!(error, CodecError::Trailing { bytes: 1, .. }), "{error}");
}

#[test]
fn a_damaged_length_is_refused_before_memory_is_reserved() {
    let mut bytes = vec![253];
    bytes.extend_from_slice(&(u64::MAX / 2).to_le_bytes());
    let error = decode::<Vec<u8>>(&bytes).unwrap_err();
    assert!(matches!(error, CodecError::Decode { .. }), "{error}");
    let error = decode::<String>(&bytes).unwrap_err();
    assert!(matches!(error, CodecError::Decode { .. }), "{error}");
}

#[test]
fn a_value_over_the_limit_is_not_encoded() {
    let mut bytes = vec![9];
    let error = encode_into(&mut bytes, &"x".repeat(MAX_ENCODED_BYTES)).unwrap_err();
    assert!(matches!(error, CodecError::Encode { .. }), "{error}");
    assert_eq!(bytes, [9]);
}
