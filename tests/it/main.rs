//! The node as its users meet it: the real binary, a real Docker engine, real protocol servers.
//!
//! One binary, so that it links once. A new test belongs to the module of what it shows:
//! `detection` (what the Monitor and the Analyzer make of a fault), `acting` (gates, actions,
//! verification), `telling` (notifications and channels), `survival` (what the node lives through), `backup`, `drill` (disasters on a
//! node made for them), `queries` (pipelines, and what is asked of queries),
//! `format` (what an older version
//! stored), `keys` (who may ask what), `library` (documents put in and taken out), `questions` (in words), `conversations` (one
//! after the other), `schedules` (at which times), `sql` (over files), `workers` (outside the node), `http`, `cli` and `config` (its surfaces), `tidy` (the shape of
//! the code), `documents` (what is said of
//! it).

#![cfg(test)]

mod acting;
mod backup;
mod cli;
mod config;
mod conversations;
mod detection;
mod documents;
mod drill;
mod format;
mod http;
mod keys;
mod library;
mod queries;
mod questions;
mod schedules;
mod sql;
mod support;
mod survival;
mod telling;
mod tidy;
mod workers;
