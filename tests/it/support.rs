//! What the integration tests share: a real Docker engine, a real SMTP server, an HTTP sink, and
//! the node's own binary.
//!
//! Everything started here is stopped on drop, by its process id.
// A helper is test code: it panics with a text that says what was tried.

pub(crate) mod answers;
pub(crate) mod dice;
pub(crate) mod engine;
#[expect(dead_code, reason = "the tests of the tool itself use more of the server")]
#[path = "../../actors/query/tests/tools/model.rs"]
pub(crate) mod model;
pub(crate) mod node;
pub(crate) mod process;
pub(crate) mod sink;
pub(crate) mod smtp;
pub(crate) mod wait;

mod tests;
