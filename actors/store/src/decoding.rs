//! Everything that decodes the files of a store. For tests and for the fuzzers in `tests/fuzz`, which call the
//! same functions.

use crate::sled::journal::decoding;

/// Reads bytes as a journal: as its file, and as what its frames hold.
pub fn journal(bytes: &[u8]) {
    decoding::file(bytes);
    decoding::frames(bytes);
}
