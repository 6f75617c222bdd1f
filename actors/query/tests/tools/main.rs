//! Tools on what they really reach: processes, files, servers. One binary, so that it links once.

#![cfg(test)]

mod file;
mod llm;
#[expect(dead_code, reason = "queries that ask models use more of the server")]
mod model;
mod shell;
mod support;
