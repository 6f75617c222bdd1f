//! Queries on a running node: real actors on a store in memory, and tools that do as they are told.

#![cfg(test)]

mod admitted;
mod asked;
mod failing;
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
mod worded;
mod world;
