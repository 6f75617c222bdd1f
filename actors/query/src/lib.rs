//! Queries: what is asked becomes a plan, a durable orchestrator runs it step by step on tools, and what
//! comes out is an answer with its evidence. Whatever dies, a step that has ended is not done again.
//!
//! The three principal types are [`plan::Plan`] (what is to be done), [`orchestrator::Orchestrator`] (one
//! per query) and [`tool::Tool`] (what can be called).

pub mod admission;
pub mod audit;
pub mod check;
pub mod config;
pub mod conversation;
#[cfg(any(test, feature = "testing"))]
pub mod decoding;
pub mod explain;
pub mod expression;
pub mod graph;
pub mod inputs;
pub mod json;
pub mod keys;
pub mod metrics;
pub mod names;
mod number;
pub mod orchestrator;
pub mod pipeline;
pub mod plan;
pub mod planner;
pub mod question;
pub mod record;
pub mod roles;
pub mod rules;
#[cfg(test)]
mod samples;
pub mod schedule;
pub mod schema;
pub mod tool;
pub mod tools;
pub mod tree;
pub mod wording;
pub mod worker;
