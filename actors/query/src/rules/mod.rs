//! Business rules: facts go in, guarded actions come out as a [`Plan`](crate::plan::Plan). Pure.
//!
//! A rule is a condition over facts (a JSON object, such as an event) and actions that call tools. Rules are
//! read from text ([`gherkin`]), looked over ([`validate`]), tried on facts ([`evaluate`]) and, where they
//! fire, made into one plan ([`compile`]).

pub mod check;
pub mod compile;
pub mod condition;
pub mod evaluate;
pub mod gherkin;
pub mod operator;
pub mod pattern;
pub mod read;
pub mod risk;
pub mod rule;
pub mod validate;

pub(crate) mod compare;
mod conflicts;
mod steps;
mod templates;

#[cfg(test)]
mod tests;
