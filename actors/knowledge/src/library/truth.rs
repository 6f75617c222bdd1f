//! The files of the documents.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Damaged, Entry, LibraryError};
use crate::document::{Document, DocumentId};
use crate::files;
use crate::vectors::sweep;

/// The folder of the documents' files.
#[derive(Debug)]
pub(crate) struct Truth {
    folder: PathBuf,
}

impl Truth {
    /// Opens the folder and removes what interrupted writes left.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, LibraryError> {
        files::create_dir(&folder)?;
        sweep(&folder)?;
        Ok(Self { folder })
    }

    /// The file of a document.
    pub(crate) fn path(&self, document: &DocumentId) -> PathBuf {
        self.folder.join(Self::file_name(document))
    }

    /// Reads every document once, hands it to `see`, and keeps what is known of it. Files that cannot be read are
    /// named.
    pub(crate) fn scan(
        &self,
        mut see: impl FnMut(&Document),
    ) -> Result<(Vec<Arc<Entry>>, Vec<Damaged>), LibraryError> {
        let (mut entries, mut damaged) = (Vec::new(), Vec::new());
        for path in files::list(&self.folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let decoded = files::read(&path).map_err(|error| error.to_string());
            match decoded.and_then(|bytes| Document::decode(&bytes)) {
                Ok((document, version)) if self.path(&document.header.id) == path => {
                    see(&document);
                    entries.push(Arc::new(Entry { header: document.header, version }));
                }
                Ok((document, _)) => {
                    let why = format!("it holds {}", document.header.id);
                    damaged.push(Damaged { file: name, why });
                }
                Err(why) => damaged.push(Damaged { file: name, why }),
            }
        }
        Ok((entries, damaged))
    }

    /// A document and its version.
    pub(crate) fn read(&self, document: &DocumentId) -> Result<(Document, String), LibraryError> {
        let bytes = files::read(&self.path(document))?;
        let damaged = |why| LibraryError::Damaged { document: document.clone(), why };
        Document::decode(&bytes).map_err(damaged)
    }

    pub(crate) fn remove(&self, document: &DocumentId) -> Result<(), LibraryError> {
        Ok(files::remove(&self.path(document))?)
    }

    /// The name of a document's file.
    pub(crate) fn file_name(document: &DocumentId) -> String {
        format!("{document}.jsonl")
    }
}
