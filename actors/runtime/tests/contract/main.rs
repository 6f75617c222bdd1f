//! The runtime's contract, promise by promise, through its public API on real and faulty stores.
//!
//! A new test belongs to the module of the promise it shows.

#![cfg(test)]

mod acceptance;
mod backpressure;
mod dead_letters;
mod effects;
mod example;
mod hostile;
mod limits;
mod migrations;
mod model;
mod order;
mod ownership;
#[path = "../../examples/parcels.rs"]
mod parcels;
mod power;
mod quarantine;
mod recovery;
mod sensors;
mod simulation;
mod stress;
mod supervision;
mod tables;
mod timers;
mod told;
mod world;
