//! Queries on a running node: real actors on a store in memory, and tools that do as they are told.

#![cfg(test)]

mod admitted;
mod asked;
mod failing;
mod interrupted;
mod keyed;
mod ordered;
mod repeated;
mod routed;
mod world;
