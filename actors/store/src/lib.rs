//! Atomic, durable batches on an embedded store.
//!
//! Everything the node must not forget is a row: a [`Key`] and a value. A commit is one [`Batch`] of
//! rows, applied wholly or not at all, and durable when [`Backend::commit`] returns. There is nothing
//! else: no transactions to hold open, no secondary indexes, no background work whose failure could
//! be overlooked. What the layers above need to be atomic, they put into one batch.
//!
//! Three ideas carry the crate.
//!
//! **One writer, and it can be deposed.** A store is taken over with [`Backend::claim`], which gives
//! an [`Epoch`]. Every commit names its epoch; a commit under an older one fails with
//! [`StoreError::Fenced`] and changes nothing. So two owners may both believe, but only one can write.
//!
//! **A failed write is final.** After a failed write or sync nobody may guess what is on the disk:
//! the backend answers [`StoreError::Poisoned`] for ever, and the process is expected to end and to
//! start again from what is stored. A sync is never tried twice.
//!
//! **Every value can prove itself.** [`seal`] puts a type tag, a schema version and a checksum in front
//! of a payload, and the checksum covers the key too: a value that was damaged, or that sits at the wrong
//! key, is reported by [`open`] with its key, never decoded.
//!
//! The order of keys is the order of their bytes, and it is what makes scans useful: timers by due
//! time, messages by order of commit. All key layouts are in one table in `key.rs`. The order inside a
//! batch does not matter, because a key occurs in it once: the last write wins, and a row that was
//! created and deleted within one batch never reaches the disk at all.
//!
//! [`SledBackend`] is the embedded store, [`MemoryBackend`] an image in memory that survives a simulated
//! restart, and [`FaultyBackend`] wraps either to fail or crash at a chosen call; a [`Layer`] changes
//! only what becomes of commits. [`DataDir`] guards
//! the directory (lock, format, unclean ends), [`SpaceGuard`] keeps a reserve on the disk so that
//! work which frees space can still commit when the disk is full, and [`check_data`] verifies every record.
//! [`TappedBackend`] lets a store be backed up while it is written to; [`restore_backup`] makes a
//! directory of a backup.

mod backend;
mod backup;
mod batch;
mod check;
mod codec;
mod data_dir;
#[cfg(any(test, feature = "testing"))]
pub mod decoding;
mod entries;
mod error;
mod faulty;
mod files;
mod id;
mod key;
mod layer;
mod memory;
mod random;
mod record;
mod sled;
mod space;
mod time;

pub use crate::backend::{Backend, Epoch, MAX_KEY_BYTES, MAX_VALUE_BYTES, Space};
pub use crate::backup::{
    About, Backup, BackupError, BackupFile, Summary, TappedBackend, backup_data, restore_backup,
    verify_backup,
};
pub use crate::batch::Batch;
pub use crate::check::{Report, check_data};
pub use crate::codec::{CodecError, MAX_ENCODED_BYTES, decode, encode, encode_into, encode_to};
pub use crate::data_dir::DataDir;
pub use crate::error::StoreError;
pub use crate::faulty::{Call, Fault, FaultPlan, FaultyBackend};
pub use crate::id::{MessageId, MessageIdError};
pub use crate::key::Key;
pub use crate::layer::Layer;
pub use crate::memory::MemoryBackend;
pub use crate::record::{HEADER_BYTES, Record, Tag, open, seal};
pub use crate::sled::{SledBackend, SledOptions};
pub use crate::space::{Ballast, DEFAULT_RESERVE_BYTES, Room, SpaceGuard};
pub use crate::time::Timestamp;
