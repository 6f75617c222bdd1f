//! Tools on what they really reach: processes, files, servers. One binary, so that it links once.

#![cfg(test)]

mod file;
mod llm;
mod model;
mod shell;
mod support;
