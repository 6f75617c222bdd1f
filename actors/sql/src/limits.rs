//! What the process may take.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// What is needed beside the rows of queries: the program's own, its threads, and what is known of files.
const BASE: u64 = 128 * 1024 * 1024;

/// Bytes of `memory` that rows of all queries together may take. A quarter of what is left after the process's
/// own needs is for what the engine does not count, such as buffers that it reads into.
pub(crate) fn pool(memory: u64) -> usize {
    usize::try_from(memory.saturating_sub(BASE) / 4 * 3).unwrap_or(usize::MAX)
}

/// Binds the process to `memory` bytes of its own: what is asked for beyond ends it, as only this process.
/// It leaves no image of its memory behind then, which holds what is in files.
///
/// # Errors
/// The limit cannot be set: it is above one that holds already.
pub(crate) fn bind(memory: u64) -> io::Result<()> {
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Core, limit(0))?;
    setrlimit(Resource::Data, limit(memory))?;
    Ok(())
}
