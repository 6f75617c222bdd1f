//! Changing the full-text index: what is changed together is there together, or not at all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::{Index, IndexWriter};

use super::{IndexError, failed};

/// Bytes of what is not yet written, beyond which it is written in several parts.
const MEMORY: usize = 20 << 20;
/// Threads that join the parts of the index: one for a long join, and one for the short ones meanwhile.
const MERGERS: usize = 2;
/// Chunks up to which parts count as equally large. The default of 10,000 would have what comes in small batches
/// written anew with each eighth of them.
const SMALL: u32 = 128;
/// The share of removed chunks beyond which a part is written anew without them.
const REMOVED: f32 = 0.3;

/// Writes the index. What does so is made for the first change and kept, for making it costs more than a change;
/// parts are joined behind it.
#[derive(Default)]
pub(super) struct Writer(Mutex<Option<IndexWriter>>);

impl Writer {
    fn kept(&self) -> MutexGuard<'_, Option<IndexWriter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits what `change` does, all of it or nothing. The seal says which documents the index has then.
    pub(super) fn commit<E: From<IndexError>>(
        &self,
        index: &Index,
        seal: &str,
        change: impl FnOnce(&IndexWriter) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut kept = self.kept();
        // Taken out, so that of a change that fails nothing is left in it for the next one.
        let mut writer = kept.take().map_or_else(|| begin(index), Ok)?;
        change(&writer)?;
        let mut prepared = writer.prepare_commit().map_err(failed("commit"))?;
        prepared.set_payload(seal);
        prepared.commit().map_err(failed("commit"))?;
        *kept = Some(writer);
        Ok(())
    }

    /// Removes the files of parts that were joined and that nobody reads any more.
    pub(super) fn sweep(&self) -> Result<(), IndexError> {
        match &*self.kept() {
            Some(writer) => {
                let swept = writer.garbage_collect_files().wait();
                swept.map(drop).map_err(failed("remove old files of"))
            }
            None => Ok(()),
        }
    }
}

fn begin(index: &Index) -> Result<IndexWriter, IndexError> {
    let options = IndexWriterOptions::builder()
        .memory_budget_per_thread(MEMORY)
        .num_merge_threads(MERGERS)
        .build();
    let writer = index.writer_with_options(options).map_err(failed("write"))?;
    let mut policy = LogMergePolicy::default();
    policy.set_min_layer_size(SMALL);
    policy.set_del_docs_ratio_before_merge(REMOVED);
    writer.set_merge_policy(Box::new(policy));
    Ok(writer)
}
