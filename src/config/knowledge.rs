//! `[knowledge]`

use std::path::{Path, PathBuf};

use perennial_knowledge::{EndpointConfig, Limits};
use perennial_secret::Secret;
use serde::{Deserialize, Serialize};

/// `[knowledge]`: documents, and the tools that take them in and search them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Knowledge {
    /// The directory of the documents, for this node alone; empty for none. Created if there is none.
    pub directory: PathBuf,
    /// Bytes of one document.
    pub document_bytes: usize,
    /// Chunks of all documents.
    pub chunks: usize,
    /// The service that makes vectors, by OpenAI's protocol; empty for the built-in hashing.
    pub embeddings_url: String,
    /// The model's name there.
    pub embeddings_model: String,
    /// The key of that service.
    pub embeddings_key: Secret,
    /// A file that holds `embeddings_key`.
    pub embeddings_key_file: PathBuf,
}

impl Default for Knowledge {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            directory: PathBuf::new(),
            document_bytes: limits.document_bytes,
            chunks: limits.chunks,
            embeddings_url: String::new(),
            embeddings_model: String::new(),
            embeddings_key: Secret::default(),
            embeddings_key_file: PathBuf::new(),
        }
    }
}

impl Knowledge {
    /// The directory, if documents are kept at all.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        (!self.directory.as_os_str().is_empty()).then_some(self.directory.as_path())
    }

    /// The service that makes vectors, if there is one.
    #[must_use]
    pub fn endpoint(&self) -> Option<EndpointConfig> {
        let set = !self.embeddings_url.is_empty();
        set.then(|| EndpointConfig::new(&self.embeddings_url, &self.embeddings_model))
    }

    /// How much is taken.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let Self { document_bytes, chunks, .. } = *self;
        Limits { document_bytes, chunks, ..Limits::default() }
    }

    /// What makes the node refuse to start.
    pub(super) fn invalid(&self) -> Vec<(&'static str, String)> {
        let mut invalid = Vec::new();
        if self.document_bytes == 0 || self.chunks == 0 {
            let why = "document_bytes and chunks must be more than 0";
            invalid.push(("knowledge.document_bytes", why.to_owned()));
        }
        if self.embeddings_url.is_empty() != self.embeddings_model.is_empty() {
            let why = "embeddings_url and embeddings_model go together";
            invalid.push(("knowledge.embeddings_url", why.to_owned()));
        }
        invalid
    }
}
