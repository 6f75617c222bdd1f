//! The agents together, samples that their tests share, and the stored format of what all share.

mod frozen;
mod orders;
pub(crate) mod samples;
