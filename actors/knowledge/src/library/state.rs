//! What is known of the documents at one time, and who may see which.

use std::collections::BTreeMap;
use std::sync::Arc;

use perennial_query::tool::Identity;

use super::Damaged;
use super::shards::{Key, Shards};
use crate::document::{DocumentId, Header};
use crate::index::{Scope, TextSearcher};
use crate::text::digest;
use crate::vectors::{DocumentVectors, Neighbours, Search};

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

/// A document and its vectors, if it has any of the embedder.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) entry: Arc<Entry>,
    pub(crate) vectors: Option<Arc<DocumentVectors>>,
}

impl Slot {
    /// Says which version of the document this is, and whether it can be found by likeness.
    fn print(&self) -> u64 {
        let vectors = if self.vectors.is_some() { "vectors" } else { "none" };
        number(&digest(&[self.entry.header.id.as_str(), &self.entry.version, vectors]))
    }
}

fn number(hash: &[u8]) -> u64 {
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The library at one time.
#[derive(Clone)]
pub(crate) struct State {
    documents: Shards<Slot>,
    /// The documents that say the same, by a hash of what and of whose they are; mostly one.
    same: Shards<Vec<DocumentId>>,
    /// How many documents each team has.
    teams: BTreeMap<String, usize>,
    chunks: usize,
    without_vectors: usize,
    /// The sum of what [`Slot::print`] says of each document.
    print: u64,
    /// Changes since the library was opened.
    changes: u64,
    pub(crate) damaged: Vec<Damaged>,
    pub(crate) text: TextSearcher,
}

impl State {
    pub(crate) fn new(slots: Vec<Slot>, damaged: Vec<Damaged>, text: TextSearcher) -> Self {
        let mut state = Self {
            documents: Shards::default(),
            same: Shards::default(),
            teams: BTreeMap::new(),
            chunks: 0,
            without_vectors: 0,
            print: 0,
            changes: 0,
            damaged,
            text,
        };
        slots.into_iter().for_each(|slot| state.put(slot));
        state.changes = 0;
        state
    }

    /// Puts a document in, in place of the one of the same id.
    pub(crate) fn put(&mut self, slot: Slot) {
        let header = &slot.entry.header;
        self.take(&header.id);
        self.chunks += slot.entry.chunks();
        self.without_vectors += usize::from(slot.vectors.is_none());
        self.print = self.print.wrapping_add(slot.print());
        if let Some(team) = &header.team {
            *self.teams.entry(team.clone()).or_default() += 1;
        }
        let same = same_as(header);
        let mut documents = self.same.get(&same).cloned().unwrap_or_default();
        documents.push(header.id.clone());
        documents.sort();
        self.same.insert(same, documents);
        self.documents.insert(header.id.key(), slot);
        self.changes += 1;
    }

    /// Takes a document out.
    pub(crate) fn take(&mut self, id: &DocumentId) {
        let Some(slot) = self.documents.remove(&id.key()) else { return };
        let header = &slot.entry.header;
        self.chunks -= slot.entry.chunks();
        self.without_vectors -= usize::from(slot.vectors.is_none());
        self.print = self.print.wrapping_sub(slot.print());
        if let Some(team) = &header.team {
            let left = self.teams.remove(team).unwrap_or_default().saturating_sub(1);
            self.teams.extend((left > 0).then(|| (team.clone(), left)));
        }
        let same = same_as(header);
        if let Some(mut documents) = self.same.remove(&same) {
            documents.retain(|document| document != id);
            if !documents.is_empty() {
                self.same.insert(same, documents);
            }
        }
        self.changes += 1;
    }

    /// Another number whenever what searches find may have changed. The same after a restart, so that answers
    /// outlive it, but never again that of before a change within one opening.
    pub(crate) fn version(&self, embedder: &str) -> u64 {
        let (print, changes) = (self.print.to_string(), self.changes.to_string());
        number(&digest(&["library", embedder, &print, &changes]))
    }

    pub(crate) const fn len(&self) -> usize {
        self.documents.len()
    }

    pub(crate) const fn chunks(&self) -> usize {
        self.chunks
    }

    pub(crate) const fn lacking_vectors(&self) -> usize {
        self.without_vectors
    }

    pub(crate) fn without_vectors(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let without = self.documents.values().filter(|slot| slot.vectors.is_none());
        without.map(|slot| &slot.entry)
    }

    /// The document of this id, whoever asks.
    pub(crate) fn slot(&self, id: &DocumentId) -> Option<&Slot> {
        self.documents.get(&id.key())
    }

    /// The document of this id, for who may see it.
    pub(crate) fn get(&self, id: &DocumentId, identity: &Identity) -> Option<&Arc<Entry>> {
        let entry = self.slot(id).map(|slot| &slot.entry);
        entry.filter(|entry| entry.is_visible_to(identity))
    }

    /// What who asks may see of what the filter admits, in the order of the ids.
    pub(crate) fn visible<'a>(
        &'a self,
        identity: &'a Identity,
        filter: &'a Filter,
    ) -> Box<dyn Iterator<Item = &'a Slot> + 'a> {
        self.visible_after(None, identity, filter)
    }

    /// The same behind the document of this id.
    pub(crate) fn visible_after<'a>(
        &'a self,
        after: Option<&'a Key>,
        identity: &'a Identity,
        filter: &'a Filter,
    ) -> Box<dyn Iterator<Item = &'a Slot> + 'a> {
        let admitted = move |slot: &&'a Slot| {
            slot.entry.is_visible_to(identity) && filter.admits(&slot.entry.header)
        };
        match (&filter.document, after) {
            (Some(wanted), None) => Box::new(self.called(wanted).into_iter().filter(admitted)),
            (Some(wanted), Some(after)) => {
                let behind = move |slot: &&Slot| slot.entry.header.id.key() > *after;
                Box::new(self.called(wanted).into_iter().filter(behind).filter(admitted))
            }
            (None, Some(after)) => Box::new(self.documents.after(after).filter(admitted)),
            (None, None) => Box::new(self.documents.values().filter(admitted)),
        }
    }

    /// The documents of this id or name, of every team, in the order of their ids.
    fn called(&self, wanted: &str) -> Vec<&Slot> {
        let names = self.teams.keys().map(|team| DocumentId::new(Some(team), wanted));
        let names = names.chain([DocumentId::new(None, wanted)]).chain(DocumentId::parse(wanted));
        let mut found: Vec<&Slot> = names.filter_map(|id| self.slot(&id)).collect();
        found.sort_by(|a, b| a.entry.header.id.cmp(&b.entry.header.id));
        found.dedup_by(|a, b| a.entry.header.id == b.entry.header.id);
        found
    }

    /// What a search by words may find for who asks. It is no list of documents: with a million of them that
    /// would take longer than the search.
    pub(crate) fn scope(&self, identity: &Identity, filter: &Filter) -> Scope {
        let every = self.teams.keys().all(|team| identity.sees(Some(team)));
        let called = filter.document.as_ref().map(|wanted| self.called(wanted));
        Scope {
            teams: (!every).then(|| identity.teams.clone()),
            documents: called
                .map(|found| found.iter().map(|slot| slot.entry.header.id.clone()).collect()),
            team: filter.team.clone(),
            metadata: filter.metadata.clone(),
        }
    }

    /// The chunks nearest to `query` of what who asks may see and the filter admits.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        identity: &Identity,
        filter: &Filter,
        most: usize,
    ) -> Neighbours {
        let mut search = Search::new(query, most);
        self.visible(identity, filter).for_each(|slot| search.look(slot.vectors.as_deref()));
        search.found()
    }

    /// Another document of the same team that says the same.
    pub(crate) fn duplicate(&self, header: &Header) -> Option<&DocumentId> {
        self.same.get(&same_as(header))?.iter().find(|id| **id != header.id)
    }
}

/// What documents of one team that say the same have in common.
fn same_as(header: &Header) -> Key {
    let team = header.team.as_ref().map_or_else(String::new, |team| format!("team {team}"));
    let hash = digest(&["same", &team, &header.content]);
    let mut key = Key::default();
    key.copy_from_slice(&hash[..16]);
    key
}
