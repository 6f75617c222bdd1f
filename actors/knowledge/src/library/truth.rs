//! The documents as they are stored: the payloads of a log, each as the file of one document was before there was a log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entry::Entry;
use super::shards::Key;
use super::{Damaged, LibraryError, Slot, State};
use crate::document::{Document, DocumentId};
use crate::files;
use crate::log::{Log, ReadError, Unreadable};

/// What the files of format 1 end with.
const ENDING: &str = "jsonl";
/// Bytes of files that are brought into the log together.
const TOGETHER: usize = 8 << 20;

/// The log of the documents.
#[derive(Debug)]
pub(crate) struct Truth {
    log: Log,
    folder: PathBuf,
    /// What in the log is no document although it is as it was written, and files of format 1 that are damaged.
    unreadable: Mutex<Vec<Damaged>>,
}

impl Truth {
    /// Opens the log and puts what is known of each document into `state`. Files of format 1 are brought into it.
    pub(crate) fn open(folder: PathBuf, state: &mut State) -> Result<Self, LibraryError> {
        let mut unreadable: Vec<Damaged> = Vec::new();
        let log = Log::open(&folder, &mut |key, payload| {
            unreadable
                .retain(|damaged| damaged.document.as_ref().map(DocumentId::key) != Some(*key));
            match payload.map(|payload| entry(key, payload)) {
                Some(Ok(entry)) => state.put(Slot { entry, vectors: None }),
                Some(Err(why)) => {
                    state.take(key);
                    let file = "the log of the documents".to_owned();
                    unreadable.push(Damaged { file, document: Some(DocumentId::of_key(key)), why });
                }
                None => state.take(key),
            }
            true
        })?;
        let truth = Self { log, folder, unreadable: Mutex::new(unreadable) };
        truth.take_in_files(state)?;
        Ok(truth)
    }

    /// Brings the files of format 1 into the log. Each is removed after it is in the log, so a crash between leaves both,
    /// and they say the same. One that is damaged stays where it is and is named.
    fn take_in_files(&self, state: &mut State) -> Result<(), LibraryError> {
        files::sweep(&self.folder)?;
        let of_ours = |path: &PathBuf| path.extension().is_some_and(|ending| ending == ENDING);
        let paths: Vec<PathBuf> = files::list(&self.folder)?.into_iter().filter(of_ours).collect();
        if !paths.is_empty() {
            tracing::info!(
                documents = paths.len(),
                "documents of format 1 are brought into the log"
            );
        }
        let mut rest = paths.as_slice();
        while !rest.is_empty() {
            let (mut taken, mut bytes, mut many) = (Vec::new(), 0, 0);
            for path in rest {
                many += 1;
                match self.file_of_format_1(path) {
                    Ok((document, content)) => {
                        bytes += content.len();
                        taken.push((path.clone(), document, content));
                    }
                    Err(damaged) => self.unreadable().push(damaged),
                }
                if bytes > TOGETHER {
                    break;
                }
            }
            self.log
                .put(taken.iter().map(|(_, entry, content)| (entry.key, content.as_slice())))?;
            let done: Vec<PathBuf> = taken.iter().map(|(path, _, _)| path.clone()).collect();
            files::remove_all(&done)?;
            let slots = taken.into_iter().map(|(_, entry, _)| Slot { entry, vectors: None });
            slots.for_each(|slot| state.put(slot));
            rest = rest.get(many..).unwrap_or_default();
        }
        Ok(())
    }

    fn file_of_format_1(&self, path: &Path) -> Result<(Arc<Entry>, Vec<u8>), Damaged> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let named = path.file_stem().and_then(|stem| DocumentId::parse(&stem.to_string_lossy()));
        let damaged = |why| Damaged { file: file.clone(), document: named.clone(), why };
        let content = files::read(path).map_err(|error| damaged(error.to_string()))?;
        let (document, version) = Document::decode(&content).map_err(damaged)?;
        let id = &document.header.id;
        if named.as_ref() != Some(id) {
            return Err(damaged(format!("it holds {id}")));
        }
        let entry = Entry::new(&document.header, &version)
            .ok_or_else(|| damaged("its header cannot be kept".to_owned()))?;
        Ok((entry, content))
    }

    fn unreadable(&self) -> MutexGuard<'_, Vec<Damaged>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A document and its version.
    pub(crate) fn read(&self, document: &DocumentId) -> Result<(Document, String), LibraryError> {
        let damaged = |why| LibraryError::Damaged { document: document.clone(), why };
        let found = self.log.get(&document.key()).map_err(|error| match error {
            ReadError::File(error) => LibraryError::File(error),
            ReadError::Damaged => damaged(ReadError::Damaged.to_string()),
        })?;
        let bytes = found.ok_or_else(|| damaged("it is not there any more".to_owned()))?;
        Document::decode(&bytes).map_err(damaged)
    }

    /// Stores documents durably, each in place of the one of the same key.
    pub(crate) fn put<'a>(
        &self,
        documents: impl Iterator<Item = (Key, &'a [u8])> + Clone,
    ) -> Result<(), LibraryError> {
        self.log.put(documents.clone())?;
        documents
            .into_iter()
            .try_for_each(|(key, _)| self.mend(&DocumentId::of_key(&key)).map(drop))
    }

    /// Removes a document for good, readable or not. Says whether there was anything of it.
    pub(crate) fn remove(&self, document: &DocumentId) -> Result<bool, LibraryError> {
        let removed = self.log.remove(&document.key())?;
        Ok(self.mend(document)? || removed)
    }

    /// Whether documents can be written at all. If not, it is not known what will be there after the next start.
    pub(crate) fn takes_writes(&self) -> Result<(), LibraryError> {
        Ok(self.log.takes_writes()?)
    }

    /// What was unreadable of a document does not matter any more. Says whether there was any.
    fn mend(&self, document: &DocumentId) -> Result<bool, LibraryError> {
        let mut unreadable = self.unreadable();
        let any = unreadable.iter().any(|damaged| damaged.document.as_ref() == Some(document));
        if any {
            files::remove(&self.folder.join(format!("{document}.{ENDING}")))?;
            unreadable.retain(|damaged| damaged.document.as_ref() != Some(document));
        }
        Ok(any)
    }

    /// What cannot be read.
    pub(crate) fn damaged(&self) -> Vec<Damaged> {
        let records = self.log.damaged().into_iter().map(|Unreadable { file, key, why }| Damaged {
            file,
            document: key.map(|key| DocumentId::of_key(&key)),
            why: why.to_owned(),
        });
        self.unreadable().iter().cloned().chain(records).collect()
    }
}

/// What is kept of the document of this key.
fn entry(key: &Key, payload: &[u8]) -> Result<Arc<Entry>, String> {
    let (header, version) = Document::decode_header(payload)?;
    if header.id.key() != *key {
        return Err(format!("it holds {}", header.id));
    }
    Entry::new(&header, &version).ok_or_else(|| "its header cannot be kept".to_owned())
}

#[cfg(test)]
mod tests;
