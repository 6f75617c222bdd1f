//! What the benchmarks share: the load, the tables, the peers and a log of our own as the limit.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, prints, and reads its settings"
)]

pub mod counter;
pub mod dbos;
pub mod figures;
pub mod load;
pub mod log;
pub mod nats;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod table;
