//! The full-text index: chunks by their words, ranked with BM25. It is made from the documents and can be made
//! again, so whatever is wrong with it is mended by doing that.

mod inventory;
mod query;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tantivy::collector::TopDocs;
use tantivy::collector::sort_key::{SortBySimilarityScore, SortByStaticFastValue};
use tantivy::query::TermQuery;
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer,
    TextAnalyzer,
};
use tantivy::{
    DocAddress, Index, IndexReader, IndexWriter, Order, ReloadPolicy, Searcher, SegmentReader,
    TantivyDocument, TantivyError, Term,
};

use crate::document::{Chunk, ChunkId, Document, DocumentId};
use crate::files;
use crate::library::{Entry, LibraryError, State, Truth};
use writer::Writer;

/// What words are made of. Named after what it does, for an index made with another must be made again.
const ANALYSER: &str = "words-lower-folded-english-1";
/// Bytes of a word; a longer one is no word.
const LONGEST_WORD: usize = 60;

/// An index that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not {attempted} the full-text index: {source}; check the disk, and delete the folder `knowledge/index` to have it made again"
)]
pub struct IndexError {
    attempted: &'static str,
    #[source]
    source: TantivyError,
}

fn failed(attempted: &'static str) -> impl FnOnce(TantivyError) -> IndexError {
    move |source| IndexError { attempted, source }
}

#[derive(Clone, Copy, Debug)]
struct Fields {
    /// The chunk's id.
    chunk: Field,
    /// The document's id.
    document: Field,
    /// The document's id and version.
    version: Field,
    /// What decides between equals: the document, then the place in it.
    order: Field,
    place: Field,
    text: Field,
    /// The document's team, or that it has none.
    team: Field,
    /// The names and values of the document's metadata.
    metadata: Field,
}

impl Fields {
    fn schema() -> (Schema, Self) {
        let mut schema = Schema::builder();
        let words = TextFieldIndexing::default()
            .set_tokenizer(ANALYSER)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let fields = Self {
            chunk: schema.add_text_field("chunk", STRING | STORED),
            document: schema.add_text_field("document", STRING | STORED),
            version: schema.add_text_field("version", STRING),
            order: schema.add_u64_field("order", FAST),
            place: schema.add_text_field("place", STORED),
            text: schema.add_text_field(
                "text",
                TextOptions::default().set_indexing_options(words).set_stored(),
            ),
            team: schema.add_text_field("team", STRING),
            metadata: schema.add_text_field("metadata", STRING),
        };
        (schema.build(), fields)
    }
}

/// Words in lower case, without accents, with English endings taken off. Other languages lose no words by that,
/// for queries are treated alike.
fn analyser() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(LONGEST_WORD))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

/// The index on the disk.
pub(crate) struct TextIndex {
    index: Index,
    reader: IndexReader,
    writer: Writer,
    fields: Fields,
}

/// Which documents a search may find: those that fit all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scope {
    /// Those of these teams and those of nobody; all if there is no list.
    pub(crate) teams: Option<Vec<String>>,
    /// These alone.
    pub(crate) documents: Option<Vec<DocumentId>>,
    /// Those of this team alone.
    pub(crate) team: Option<String>,
    /// Those with all of these names and values.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A chunk that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) chunk: ChunkId,
    pub(crate) document: DocumentId,
    pub(crate) place: String,
    pub(crate) text: String,
    pub(crate) score: f64,
}

impl TextIndex {
    /// Opens the index, or makes an empty one if there is none or if the one there is damaged or of another
    /// kind. What is missing in it, [`catch_up`](Self::catch_up) adds.
    pub(crate) fn open(folder: &Path) -> Result<Self, LibraryError> {
        files::create_dir(folder)?;
        match Self::existing(folder) {
            Ok(Some(index)) => return Ok(index),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the full-text index is made again"),
        }
        files::remove_dir(folder)?;
        files::create_dir(folder)?;
        let index = Index::create_in_dir(folder, Fields::schema().0).map_err(failed("make"))?;
        Ok(Self::over(index)?)
    }

    /// The index that is there, if it is of this kind and whole.
    fn existing(folder: &Path) -> Result<Option<Self>, IndexError> {
        if !folder.join("meta.json").is_file() {
            return Ok(None);
        }
        let index = Index::open_in_dir(folder).map_err(failed("open"))?;
        if index.schema() != Fields::schema().0 {
            return Ok(None);
        }
        let damaged = index.validate_checksum().map_err(failed("check"))?;
        if let Some(file) = damaged.iter().next() {
            tracing::warn!(file = %file.display(), "the full-text index is damaged");
            return Ok(None);
        }
        Self::over(index).map(Some)
    }

    fn over(index: Index) -> Result<Self, IndexError> {
        index.tokenizers().register(ANALYSER, analyser());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual);
        let reader = reader.try_into().map_err(failed("read"))?;
        Ok(Self { index, reader, writer: Writer::default(), fields: Fields::schema().1 })
    }

    /// What can be found as of the last change. Later changes do not show in it.
    pub(crate) fn searcher(&self) -> TextSearcher {
        TextSearcher { searcher: self.reader.searcher(), fields: self.fields }
    }

    /// Makes the index that of exactly the documents of `state`. Gives how many had to be read for that.
    pub(crate) fn catch_up(&self, state: &State, truth: &Truth) -> Result<usize, LibraryError> {
        let seal = state.seal();
        // A change may have failed after it was committed.
        self.reader.reload().map_err(failed("reload"))?;
        let of = self.index.load_metas().map_err(failed("read"))?.payload;
        let empty = state.len() == 0 && self.reader.searcher().num_docs() == 0;
        if of.as_ref() == Some(&seal) || empty {
            return Ok(0);
        }
        let there = inventory::count(&self.reader.searcher(), self.fields.version);
        let there = there.map_err(failed("read"))?;
        let mut missing = Vec::new();
        for entry in state.entries() {
            let version = versioned(&entry.id(), &entry.version());
            if there.get(&version).copied().unwrap_or_default() != entry.chunks() {
                missing.push(entry);
            }
        }
        drop(there);
        self.add(&missing, truth)?;
        if self.reader.searcher().num_docs() != state.chunks() as u64 {
            // There is something else in it, of documents that are gone: begin anew.
            self.change("", |writer| {
                writer.delete_all_documents().map(drop).map_err(failed("empty"))
            })?;
            missing = state.entries().collect();
            self.add(&missing, truth)?;
        }
        // Last, for if this is broken off before, what is there is not to be taken for whole.
        self.change(&seal, |_| Ok::<_, IndexError>(()))?;
        Ok(missing.len())
    }

    /// Reads documents, one at a time, and adds them in one commit, which does not say that the index is whole.
    pub(crate) fn add(&self, entries: &[&Arc<Entry>], truth: &Truth) -> Result<(), LibraryError> {
        self.change("", |writer| {
            entries.iter().try_for_each(|entry| {
                let (document, version) = truth.read(&entry.id())?;
                Ok(self.put(writer, &document, &version)?)
            })
        })
    }

    /// Puts documents in, each in place of the one of the same id: all of them or nothing. The seal says which documents
    /// the index has then.
    pub(crate) fn replace<'a>(
        &self,
        mut documents: impl Iterator<Item = (&'a Document, &'a Entry)>,
        seal: &str,
    ) -> Result<(), IndexError> {
        self.change(seal, |writer| {
            documents.try_for_each(|(document, entry)| self.put(writer, document, &entry.version()))
        })
    }

    /// Takes a document out. The seal says which documents the index has then.
    pub(crate) fn remove(&self, document: &DocumentId, seal: &str) -> Result<(), IndexError> {
        self.change(seal, |writer| {
            writer.delete_term(Term::from_field_text(self.fields.document, document.as_str()));
            Ok(())
        })
    }

    fn change<E: From<IndexError>>(
        &self,
        seal: &str,
        change: impl FnOnce(&IndexWriter) -> Result<(), E>,
    ) -> Result<(), E> {
        self.writer.commit(&self.index, seal, change)?;
        self.reader.reload().map_err(failed("reload"))?;
        Ok(())
    }

    /// Reads the parts of the index that others were joined to since the last change, and says whether there are any.
    pub(crate) fn refresh(&self) -> Result<bool, IndexError> {
        let there = self.index.searchable_segment_ids().map_err(failed("read"))?;
        let searcher = self.reader.searcher();
        let read = searcher.segment_readers().iter().map(SegmentReader::segment_id);
        if there.into_iter().collect::<BTreeSet<_>>() == read.collect() {
            return Ok(false);
        }
        self.reader.reload().map_err(failed("reload"))?;
        Ok(true)
    }

    /// Removes the files of parts that nobody reads any more.
    pub(crate) fn sweep(&self) -> Result<(), IndexError> {
        self.writer.sweep()
    }

    fn put(
        &self,
        writer: &IndexWriter,
        document: &Document,
        version: &str,
    ) -> Result<(), IndexError> {
        let id = &document.header.id;
        writer.delete_term(Term::from_field_text(self.fields.document, id.as_str()));
        let version = versioned(id, version);
        for (at, chunk) in (0_u64..).zip(&document.chunks) {
            let entry = self.entry(document, &version, at, chunk);
            writer.add_document(entry).map_err(failed("write"))?;
        }
        Ok(())
    }

    fn entry(&self, document: &Document, version: &str, at: u64, chunk: &Chunk) -> TantivyDocument {
        let mut entry = TantivyDocument::default();
        let id = document.header.id.as_str();
        entry.add_text(self.fields.chunk, chunk.id.to_string());
        entry.add_text(self.fields.document, id);
        entry.add_text(self.fields.version, version);
        entry.add_u64(self.fields.order, order(id, at));
        entry.add_text(self.fields.place, chunk.place.to_string());
        entry.add_text(self.fields.text, &chunk.text);
        entry.add_text(self.fields.team, query::team(document.header.team.as_deref()));
        for (name, value) in &document.header.metadata {
            entry.add_text(self.fields.metadata, query::pair(name, value));
        }
        entry
    }
}

fn versioned(document: &DocumentId, version: &str) -> String {
    format!("{document} {version}")
}

/// Five bytes of the document's id, then three of the place.
fn order(document: &str, at: u64) -> u64 {
    let digits = document.trim_start_matches("doc-").get(..10).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or_default() << 24 | at.min(0xff_ffff)
}

/// The index as it was at one time.
#[derive(Clone)]
pub(crate) struct TextSearcher {
    searcher: Searcher,
    fields: Fields,
}

impl TextSearcher {
    /// Chunks with the words of `query`, the best first; of equals, by document and place.
    pub(crate) fn search(
        &self,
        query: &str,
        scope: &Scope,
        most: usize,
    ) -> Result<Lexical, IndexError> {
        let mut analyser = analyser();
        let words = query::words(query, &mut analyser);
        let mut lexical =
            Lexical { found: Vec::new(), dropped: words.dropped, empty: words.is_empty() };
        let Some(query) = words.query(self.fields.text) else { return Ok(lexical) };
        let query = query::within(query, self.fields, scope);
        let by =
            (SortBySimilarityScore, (SortByStaticFastValue::<u64>::for_field("order"), Order::Asc));
        let top = TopDocs::with_limit(most.max(1)).order_by(by);
        let hits = self.searcher.search(&query, &top).map_err(failed("search"))?;
        for ((score, _), address) in hits.into_iter().take(most) {
            lexical.found.push(self.load(address, f64::from(score))?);
        }
        Ok(lexical)
    }

    /// The chunks of these ids that are there, with the scores that they are given.
    pub(crate) fn get(&self, ids: &[(ChunkId, f64)]) -> Result<Vec<Found>, IndexError> {
        let mut found = Vec::with_capacity(ids.len());
        for (id, score) in ids {
            let query = self.term(self.fields.chunk, &id.to_string());
            let hits = self.searcher.search(&query, &TopDocs::with_limit(1).order_by_score());
            if let Some((_, address)) = hits.map_err(failed("search"))?.first() {
                found.push(self.load(*address, *score)?);
            }
        }
        Ok(found)
    }

    fn term(&self, field: Field, text: &str) -> TermQuery {
        TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::Basic)
    }

    fn load(&self, address: DocAddress, score: f64) -> Result<Found, IndexError> {
        let stored: TantivyDocument = self.searcher.doc(address).map_err(failed("read"))?;
        let text =
            |field| stored.get_first(field).and_then(|value| value.as_str()).unwrap_or_default();
        let damaged =
            || failed("read")(TantivyError::InternalError("an entry has no ids".to_owned()));
        Ok(Found {
            chunk: text(self.fields.chunk).parse().map_err(|_| damaged())?,
            document: DocumentId::parse(text(self.fields.document)).ok_or_else(damaged)?,
            place: text(self.fields.place).to_owned(),
            text: text(self.fields.text).to_owned(),
            score,
        })
    }
}

/// What a search by words found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Lexical {
    pub(crate) found: Vec<Found>,
    /// Words beyond those that are looked for.
    pub(crate) dropped: usize,
    /// Whether there was no word to look for.
    pub(crate) empty: bool,
}

#[cfg(test)]
mod tests;
