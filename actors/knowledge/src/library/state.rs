//! What is known of the documents at one time, and who may see which.

use std::collections::BTreeMap;
use std::sync::Arc;

use perennial_query::tool::Identity;

use super::Damaged;
use super::entry::Entry;
use super::shards::{Key, Shards};
use crate::document::DocumentId;
use crate::index::{Scope, TextSearcher};
use crate::text::digest;
use crate::vectors::{DocumentVectors, Kept, Neighbours, Search};

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
    /// Whether every document is looked at.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A document and its vectors, if it has any of the embedder.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) entry: Arc<Entry>,
    pub(crate) vectors: Option<DocumentVectors>,
}

impl Slot {
    /// Says which version of the document this is, and whether it can be found by likeness. A version is a hash of the
    /// document with its id, so parts of it serve.
    fn print(&self) -> u64 {
        number(&self.entry.version[if self.vectors.is_some() { 8..16 } else { 16..24 }])
    }

    /// Says which version of the document this is.
    fn text_print(&self) -> u64 {
        number(&self.entry.version[..8])
    }
}

fn number(hash: &[u8]) -> u64 {
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Documents that say the same: mostly one.
#[derive(Clone, Debug)]
struct Same {
    first: Key,
    others: Vec<Key>,
}

/// The library at one time.
#[derive(Clone)]
pub(crate) struct State {
    documents: Shards<Slot>,
    /// The documents that say the same, by a hash of what and of whose they are; mostly one.
    same: Shards<Same>,
    /// How many documents each team has.
    teams: BTreeMap<String, usize>,
    chunks: usize,
    without_vectors: usize,
    /// The sum of what [`Slot::print`] says of each document.
    print: u64,
    /// The sum of what [`Slot::text_print`] says of each document.
    text_print: u64,
    /// Changes since the library was opened.
    changes: u64,
    pub(crate) damaged: Vec<Damaged>,
    pub(crate) text: TextSearcher,
}

impl State {
    /// A library without documents.
    pub(crate) fn new(text: TextSearcher) -> Self {
        Self {
            documents: Shards::default(),
            same: Shards::default(),
            teams: BTreeMap::new(),
            chunks: 0,
            without_vectors: 0,
            print: 0,
            text_print: 0,
            changes: 0,
            damaged: Vec::new(),
            text,
        }
    }

    /// What was read from the disk is no change.
    pub(crate) fn opened(self, damaged: Vec<Damaged>, text: TextSearcher) -> Self {
        Self { changes: 0, damaged, text, ..self }
    }

    /// Puts a document in, in place of the one of the same id.
    pub(crate) fn put(&mut self, slot: Slot) {
        let entry = &slot.entry;
        self.take(&entry.key);
        self.chunks += entry.chunks();
        self.without_vectors += usize::from(slot.vectors.is_none());
        self.print = self.print.wrapping_add(slot.print());
        self.text_print = self.text_print.wrapping_add(slot.text_print());
        if let Some(team) = entry.front().and_then(|front| front.team) {
            match self.teams.get_mut(team) {
                Some(documents) => *documents += 1,
                None => drop(self.teams.insert(team.to_owned(), 1)),
            }
        }
        let mut same = Same { first: entry.key, others: Vec::new() };
        if let Some(known) = self.same.get(&entry.same) {
            same.others = known.others.clone();
            same.others.push(known.first);
        }
        self.same.insert(entry.same, same);
        self.documents.insert(entry.key, slot);
        self.changes += 1;
    }

    /// Takes a document out.
    pub(crate) fn take(&mut self, key: &Key) {
        let Some(slot) = self.documents.remove(key) else { return };
        let entry = &slot.entry;
        self.chunks -= entry.chunks();
        self.without_vectors -= usize::from(slot.vectors.is_none());
        self.print = self.print.wrapping_sub(slot.print());
        self.text_print = self.text_print.wrapping_sub(slot.text_print());
        if let Some(team) = entry.front().and_then(|front| front.team) {
            let left = self.teams.remove(team).unwrap_or_default().saturating_sub(1);
            self.teams.extend((left > 0).then(|| (team.to_owned(), left)));
        }
        if let Some(Same { first, mut others }) = self.same.remove(&entry.same) {
            others.push(first);
            others.retain(|other| other != key);
            if let Some(first) = others.pop() {
                self.same.insert(entry.same, Same { first, others });
            }
        }
        self.changes += 1;
    }

    /// Gives a document the vectors that were found of it, and says whether they count. They do not if they are of another
    /// version than the document and earlier ones are not: then they were made for a version that never came.
    pub(crate) fn find_vectors(&mut self, key: &Key, kept: Option<Kept>) -> bool {
        let complete = self.documents.get(key).filter(|slot| slot.vectors.is_some());
        if let (Some(slot), Some(kept)) = (complete, &kept)
            && slot.entry.version != kept.version
        {
            return false;
        }
        self.set_vectors(key, kept);
        true
    }

    /// Gives a document vectors, or none, if it is there; those of another version of it are none.
    pub(crate) fn set_vectors(&mut self, key: &Key, kept: Option<Kept>) {
        let Some(slot) = self.documents.get(key) else { return };
        let kept = kept.filter(|kept| kept.version == slot.entry.version);
        let vectors = kept.map(|kept| kept.vectors);
        let mut slot = slot.clone();
        self.without_vectors -= usize::from(slot.vectors.is_none());
        self.print = self.print.wrapping_sub(slot.print());
        slot.vectors = vectors;
        self.without_vectors += usize::from(slot.vectors.is_none());
        self.print = self.print.wrapping_add(slot.print());
        self.documents.insert(*key, slot);
        self.changes += 1;
    }

    /// Says which versions of which documents there are: what an index is compared with.
    pub(crate) fn seal(&self) -> String {
        format!("{} documents {:016x}", self.len(), self.text_print)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.documents.values().map(|slot| &slot.entry)
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
        let entry = self.slot(id).map(|slot| &slot.entry)?;
        entry.front()?.is_visible_to(identity).then_some(entry)
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
        let every = filter.is_empty() && self.sees_every_team(identity);
        let admitted = move |slot: &&'a Slot| {
            every
                || slot.entry.front().is_some_and(|front| {
                    front.is_visible_to(identity)
                        && front.is_admitted_by(filter, || slot.entry.id())
                })
        };
        match (&filter.document, after) {
            (Some(wanted), None) => Box::new(self.called(wanted).into_iter().filter(admitted)),
            (Some(wanted), Some(after)) => {
                let behind = move |slot: &&Slot| slot.entry.key > *after;
                Box::new(self.called(wanted).into_iter().filter(behind).filter(admitted))
            }
            (None, Some(after)) => Box::new(self.documents.after(after).filter(admitted)),
            (None, None) => Box::new(self.documents.values().filter(admitted)),
        }
    }

    /// The documents of this id or name, of every team, in the order of their ids.
    pub(crate) fn called(&self, wanted: &str) -> Vec<&Slot> {
        let names = self.teams.keys().map(|team| DocumentId::new(Some(team), wanted));
        let names = names.chain([DocumentId::new(None, wanted)]).chain(DocumentId::parse(wanted));
        let mut found: Vec<&Slot> = names.filter_map(|id| self.slot(&id)).collect();
        found.sort_by_key(|slot| slot.entry.key);
        found.dedup_by_key(|slot| slot.entry.key);
        found
    }

    fn sees_every_team(&self, identity: &Identity) -> bool {
        self.teams.keys().all(|team| identity.sees(Some(team)))
    }

    /// What a search by words may find for who asks. It is no list of documents: with a million of them that
    /// would take longer than the search.
    pub(crate) fn scope(&self, identity: &Identity, filter: &Filter) -> Scope {
        let every = self.sees_every_team(identity);
        let called = filter.document.as_ref().map(|wanted| self.called(wanted));
        Scope {
            teams: (!every).then(|| identity.teams.clone()),
            documents: called.map(|found| found.iter().map(|slot| slot.entry.id()).collect()),
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
        self.visible(identity, filter).for_each(|slot| search.look(slot.vectors.as_ref()));
        search.found()
    }

    /// Another document of the same team that says the same; the first by its id.
    pub(crate) fn duplicate(&self, entry: &Entry) -> Option<DocumentId> {
        let same = self.same.get(&entry.same)?;
        let all = same.others.iter().chain([&same.first]);
        all.filter(|key| **key != entry.key).min().map(DocumentId::of_key)
    }
}
