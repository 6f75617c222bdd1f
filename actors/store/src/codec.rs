//! The encoding of payloads: the only place that names bincode.
//!
//! The encoding does not describe itself, which is why every record carries a tag and a schema
//! version. Integers are variable-length and little-endian, enums are numbered in the order of
//! their variants, and structs are their fields in order without names.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest payload that is encoded or decoded, in bytes. A damaged length can make a decoder
/// reserve at most this much.
pub const MAX_ENCODED_BYTES: usize = 16 * 1024 * 1024;

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_ENCODED_BYTES>,
> = bincode::config::standard().with_limit::<MAX_ENCODED_BYTES>();

/// Says why a value could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The value has no encoding, or one over the limit.
    #[error("could not encode a value: {reason}")]
    Encode {
        /// What the encoder said.
        reason: String,
    },
    /// The bytes are no value of the type.
    #[error("could not decode a value of {type_name}: {reason}")]
    Decode {
        /// The Rust type that was expected.
        type_name: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// Bytes were left over, so they were written by another type or version.
    #[error("could not decode a value of {type_name}: {bytes} bytes are left over")]
    Trailing {
        /// The Rust type that was expected.
        type_name: &'static str,
        /// How many bytes are left over.
        bytes: usize,
    },
}

/// Room that is made for a value at once; most fit.
const USUAL_BYTES: usize = 128;

/// Encodes `value`.
///
/// # Errors
///
/// Fails for what the encoding cannot hold and for more than [`MAX_ENCODED_BYTES`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    encode_into(&mut bytes, value)?;
    Ok(bytes)
}

/// Encodes `value` at the end of `bytes`, which keeps its length if that fails.
///
/// # Errors
///
/// As for [`encode`].
pub fn encode_into<T: Serialize + ?Sized>(
    bytes: &mut Vec<u8>,
    value: &T,
) -> Result<(), CodecError> {
    let start = bytes.len();
    let result = bincode::serde::encode_into_std_write(value, bytes, CONFIG)
        .map_err(|error| CodecError::Encode { reason: error.to_string() });
    let result = result.and_then(|written| {
        if written <= MAX_ENCODED_BYTES {
            return Ok(());
        }
        let reason = format!("{written} bytes are over the limit of {MAX_ENCODED_BYTES}");
        Err(CodecError::Encode { reason })
    });
    if result.is_err() {
        bytes.truncate(start);
    }
    result
}

/// Encodes `value` at the beginning of `room`: how many bytes it takes, or none if they are not enough.
///
/// # Errors
///
/// As for [`encode`].
pub fn encode_to<T: Serialize + ?Sized>(
    room: &mut [u8],
    value: &T,
) -> Result<Option<usize>, CodecError> {
    match bincode::serde::encode_into_slice(value, room, CONFIG) {
        Ok(written) => Ok(Some(written)),
        Err(bincode::error::EncodeError::UnexpectedEnd) => Ok(None),
        Err(error) => Err(CodecError::Encode { reason: error.to_string() }),
    }
}

/// Decodes all of `bytes` as one value.
///
/// # Errors
///
/// Fails for bytes that are no such value, for bytes left over, and over [`MAX_ENCODED_BYTES`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let type_name = std::any::type_name::<T>();
    let (value, read) = bincode::serde::decode_from_slice(bytes, CONFIG)
        .map_err(|error| CodecError::Decode { type_name, reason: error.to_string() })?;
    match bytes.len() - read {
        0 => Ok(value),
        bytes => Err(CodecError::Trailing { type_name, bytes }),
    }
}

#[cfg(test)]
mod tests;
