//! Samples that the tests of all agents share, and the stored format of what all agents share.

mod frozen;
pub(crate) mod samples;
