//! The process as the node uses it: started, asked over its pipes, ended.

#![cfg(test)]

mod access;
mod bounds;
mod files;
mod node;
mod process;
mod reading;
mod records;
