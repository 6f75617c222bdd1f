//! Loss of power: what was promised is there, whatever the disk made of what nobody had synced.
//!
//! A child of the test runs a workload on the embedded store while `power/shim.c`, below libc, writes down
//! what it does to its files. The record is then played onto a model of a disk that keeps only what was
//! synced (`power/disk.rs`), cut at every sync, with each of several opinions about the rest; and the
//! store is opened on what is left.
//!
//! A sync of a file covers its content, one of a directory the names in it, and nothing else covers
//! anything: `sync_file_range` does not count.
//!
//! `CUTS=all` tries every way of keeping at every cut, which takes minutes.

use perennial_store::SledOptions;

mod accounts;
mod batches;
mod cuts;
mod disk;
mod recording;

/// A journal so small that its halves are soon written over, and that some commits do not fit.
fn small_journal() -> SledOptions {
    SledOptions { journal_bytes: 64 * 1024, ..SledOptions::default() }
}
