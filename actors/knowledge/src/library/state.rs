//! What is known of the documents at one time, and who may see which.

use std::collections::BTreeMap;
use std::sync::Arc;

use perennial_query::tool::Identity;

use super::Damaged;
use crate::document::{DocumentId, Header};
use crate::index::TextSearcher;
use crate::vectors::Vectors;

/// What is known of a document without reading it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) header: Header,
    /// The checksum of its file.
    pub(crate) version: String,
}

impl Entry {
    pub(crate) fn chunks(&self) -> usize {
        usize::try_from(self.header.chunks).unwrap_or(usize::MAX)
    }

    /// Whether who asks may see it. Everything that is told of documents goes through this.
    fn is_visible_to(&self, identity: &Identity) -> bool {
        identity.sees(self.header.team.as_deref())
    }
}

/// Which documents are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The one of this id or name.
    pub document: Option<String>,
    /// Those of this team.
    pub team: Option<String>,
    /// Those with all of these names and values.
    pub metadata: BTreeMap<String, String>,
}

impl Filter {
    fn admits(&self, header: &Header) -> bool {
        let document = self.document.as_ref();
        document.is_none_or(|wanted| *wanted == header.name || wanted == header.id.as_str())
            && self.team.as_ref().is_none_or(|team| header.team.as_ref() == Some(team))
            && self.metadata.iter().all(|(name, value)| header.metadata.get(name) == Some(value))
    }
}

/// The library at one time.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) entries: BTreeMap<DocumentId, Arc<Entry>>,
    pub(crate) damaged: Vec<Damaged>,
    pub(crate) text: TextSearcher,
    pub(crate) vectors: Vectors,
}

impl State {
    pub(crate) fn new(
        entries: Vec<Arc<Entry>>,
        damaged: Vec<Damaged>,
        text: TextSearcher,
        vectors: Vectors,
    ) -> Self {
        let entries = entries.into_iter().map(|entry| (entry.header.id.clone(), entry)).collect();
        Self { entries, damaged, text, vectors }
    }

    pub(crate) fn chunks(&self) -> usize {
        self.entries.values().map(|entry| entry.chunks()).sum()
    }

    pub(crate) fn without_vectors(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values().filter(|entry| self.vectors.get(&entry.header.id).is_none())
    }

    /// The document of this id, for who may see it.
    pub(crate) fn get(&self, id: &DocumentId, identity: &Identity) -> Option<&Arc<Entry>> {
        self.entries.get(id).filter(|entry| entry.is_visible_to(identity))
    }

    /// What who asks may see of what the filter admits.
    pub(crate) fn visible<'a>(
        &'a self,
        identity: &'a Identity,
        filter: &'a Filter,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        let entries = self.entries.values();
        entries.filter(|entry| entry.is_visible_to(identity) && filter.admits(&entry.header))
    }

    /// Another document of the same team that says the same.
    pub(crate) fn duplicate(&self, header: &Header) -> Option<&DocumentId> {
        let same = |entry: &&Arc<Entry>| {
            let other = &entry.header;
            other.content == header.content && other.team == header.team && other.id != header.id
        };
        self.entries.values().find(same).map(|entry| &entry.header.id)
    }
}
