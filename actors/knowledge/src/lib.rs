//! Documents: a durable library of them, its indexes, and the tools that search them.
//!
//! A log of documents is the truth; the full-text index and the vectors are made from it and can be made
//! again. The principal types are [`Library`] (what is there), [`Embedder`] (what turns text into vectors) and
//! the tools of [`tools`], which are all that a plan sees.

mod chunk;
#[cfg(any(test, feature = "testing"))]
pub mod decoding;
mod document;
mod embed;
mod files;
pub mod fusion;
pub mod gates;
mod graph;
mod index;
mod library;
mod log;
mod parse;
pub mod quality;
pub mod sanitize;
#[cfg(test)]
mod testing;
mod text;
mod tools;
mod vectors;

pub use document::{
    Chunk, ChunkId, Document, DocumentId, Format, Header, Heading, Link, Place, Reading, Term,
};
pub use embed::{Embedder, Endpoint, EndpointConfig, EndpointError, HashedNgrams};
pub use files::FileError;
pub use graph::{Edge, MOST_DEPTH, Node, NodeKind, Relation, Walk};
pub use index::IndexError;
pub use library::{
    Config, Damaged, Filter, Found, Ingested, Library, LibraryError, Limits, Outcome, Progress,
    Recorder, Stage, Status, Submission, Taken, Ticket, from_base64,
};
pub use quality::Quality;
pub use tools::tools;
