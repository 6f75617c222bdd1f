//! Queries on a running node: real actors on a store in memory, and tools that do as they are told.

#![cfg(test)]

mod accepted;
mod admitted;
mod asked;
mod conversing;
mod failing;
mod halting;
mod interrupted;
mod keyed;
#[expect(dead_code, reason = "the tests of the tool itself use more of the server")]
#[path = "../tools/model.rs"]
mod model;
mod modelled;
mod ordered;
mod planned;
mod repeated;
mod routed;
mod scheduled;
mod simulated;
mod worded;
mod world;
