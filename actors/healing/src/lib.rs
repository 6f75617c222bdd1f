//! The agents that heal containers: Monitor sees, Analyzer judges, Responder acts within gates and
//! verifies, Alert tells people. Where it is wanted, an Adviser has models say what they think of it. Each is a folder: the actor, its pure parts, and the edge that
//! talks to the world.

pub mod adviser;
pub mod alert;
pub mod analyzer;
mod breaker;
#[cfg(any(test, feature = "testing"))]
pub mod decoding;
pub mod docker;
pub mod metrics;
pub mod model;
pub mod monitor;
pub mod responder;

#[cfg(test)]
mod tests;
