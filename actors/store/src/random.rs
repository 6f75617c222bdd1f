//! Chance that comes from outside.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Draws a number that nobody outside can know: what the standard library seeds its hash tables with.
#[expect(clippy::disallowed_methods, reason = "no seed of a run may tell what is drawn here")]
pub(crate) fn draw() -> u64 {
    RandomState::new().build_hasher().finish()
}
