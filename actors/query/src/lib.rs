//! Queries: what is asked becomes a plan, a durable orchestrator runs it step by step on tools, and what
//! comes out is an answer with its evidence. Whatever dies, a step that has ended is not done again.
//!
//! The three principal types are [`plan::Plan`] (what is to be done), the orchestrator (one
//! per query) and [`tool::Tool`] (what can be called).

pub mod expression;
pub mod graph;
pub mod json;
pub mod plan;
pub mod tool;
pub mod tools;
