//! What the node and its SQL process have in common: the frames they exchange, the tables they mean, which files
//! those are, and who may read what of them. Nothing here needs the query engine, so that the node is built
//! without it.

pub mod condition;
mod files;
mod frame;
mod message;
mod table;

pub use files::{FilesError, Format, Listed, ListedFile, list};
pub use frame::{FRAME_BYTES, receive, send};
pub use message::{
    Answer, Ask, Column, Cut, FromWorker, Refusal, RefusalKind, Setup, ToWorker, Who,
};
pub use table::{EVERY_ROLE, Grant, Table, problems};

/// What stands for all teams among those of an identity.
pub const EVERY_TEAM: &str = "*";
