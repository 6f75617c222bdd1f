//! Read-only SQL over the tables that a node names, in a process beside it.
//!
//! The node starts the process, tells it its tables and how much memory it may have, and asks over its standard
//! input; answers come over its standard output (`perennial-sql-protocol`). So a query that needs all memory or
//! never ends costs this process, and not the node. When its input ends, the node is gone, and it ends too.
//!
//! Who asks reads through `guarded::Guarded` tables: the columns that their role may not read are not there, and
//! rows that they may not read are left out before anything of their query sees them.

mod condition;
mod engine;
mod failure;
mod guarded;
mod limits;
mod rows;
mod serve;
mod sources;
mod statement;

pub use serve::run;
