//! Queries: what is asked becomes a plan, a durable orchestrator runs it step by step on tools, and what
//! comes out is an answer with its evidence. Whatever dies, a step that has ended is not done again.
//!
//! The three principal types are [`plan::Plan`] (what is to be done), the orchestrator (one
//! per query) and [`tool::Tool`] (what can be called).

pub mod check;
pub mod explain;
pub mod expression;
pub mod graph;
pub mod inputs;
pub mod json;
pub mod names;
pub mod pipeline;
pub mod plan;
pub mod tool;
