//! The node: the only code that knows HTTP, the command line, files and the environment.

mod backup;
pub mod cli;
pub mod client;
pub mod config;
#[cfg(any(test, feature = "testing"))]
pub mod decoding;
pub mod documents;
pub mod drill;
pub mod exit;
mod fleet;
mod http;
pub mod metrics;
pub mod node;
pub mod signal;
mod table;
pub mod telemetry;
