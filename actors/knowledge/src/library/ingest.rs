//! Taking documents in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use perennial_query::plan::ErrorKind;
use perennial_query::tool::{EVERY_TEAM, Identity, ToolError};

use super::{Entry, Inner, Library, LibraryError, State, blocking, chunks};
use crate::chunk;
use crate::document::{
    Chunk, ChunkId, Document, DocumentId, FORMAT, Format, Header, Reading, content_hash,
};
use crate::parse::{ParseError, Parsed, parse};
use crate::quality::Refusal;
use crate::text::collapsed;
use crate::vectors::DocumentVectors;

/// Characters of a name, a title, a team, and a name or value of metadata.
const MOST_CHARACTERS: usize = 256;
/// Entries of metadata.
const MOST_METADATA: usize = 32;

/// A document as it is handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// What its team calls it. The same name again replaces it.
    pub name: String,
    /// For people; without one, what the document says, or its name.
    pub title: Option<String>,
    /// What it is written in.
    pub format: Format,
    /// The document.
    pub content: Vec<u8>,
    /// What searches can ask for.
    pub metadata: BTreeMap<String, String>,
    /// Who may see it; everybody without one.
    pub team: Option<String>,
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Added,
    /// It took the place of an earlier version.
    Replaced,
    /// It was there already.
    Unchanged,
    /// The same text is there under another name, and this one was not taken.
    Duplicate(DocumentId),
    /// It is not worth keeping, and was not taken.
    Refused(Refusal),
}

impl Outcome {
    /// The name in answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
            Self::Duplicate(_) => "duplicate",
            Self::Refused(refusal) => refusal.as_str(),
        }
    }

    /// Whether the document is in the library under its own name.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        match self {
            Self::Added | Self::Replaced | Self::Unchanged => true,
            Self::Duplicate(_) | Self::Refused(_) => false,
        }
    }

    /// Why it is not, for people.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Added | Self::Replaced | Self::Unchanged => None,
            Self::Duplicate(of) => Some(format!("the same text is there as {of}")),
            Self::Refused(refusal) => Some(refusal.reason()),
        }
    }
}

/// The bytes of a document that came as text.
///
/// # Errors
///
/// It is not base64.
pub fn from_base64(encoded: &str) -> Result<Vec<u8>, ToolError> {
    let compact: Vec<u8> = encoded.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD
        .decode(compact)
        .map_err(|error| ToolError::invalid(format!("content_base64 is not base64: {error}")))
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// The document.
    pub document: DocumentId,
    /// What became of it.
    pub outcome: Outcome,
    /// Chunks that it has.
    pub chunks: usize,
    /// Chunks that were left out because they repeat an earlier one.
    pub repeated: usize,
    /// Characters of its chunks.
    pub characters: usize,
    /// What was taken out of its text, and how often.
    pub sanitized: BTreeMap<&'static str, u64>,
    /// What should be known.
    pub warnings: Vec<String>,
}

/// Tells work on another thread that nobody waits for it any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A document that can be stored.
pub(super) struct Prepared {
    pub(super) document: Document,
    pub(super) entry: Arc<Entry>,
    /// What is stored of it.
    pub(super) file: Vec<u8>,
}

impl Library {
    /// Takes a document in on behalf of `identity`, behind what was [accepted](Self::accept) of it before: it waits
    /// until [`take_in`](Self::take_in) has ended that. Doing it again changes nothing. If the caller goes away, it
    /// either ends before anything is changed or is completed.
    ///
    /// # Errors
    ///
    /// What of the submission cannot be taken, that what was accepted before cannot be taken in at the moment, or what
    /// could not be done; nothing that was there is lost then.
    pub async fn ingest(
        &self,
        submission: Submission,
        identity: &Identity,
    ) -> Result<Ingested, ToolError> {
        check(&submission, identity, self.inner.config.limits.document_bytes)?;
        let document = DocumentId::new(submission.team.as_deref(), &submission.name);
        // Given back after the work was told that nobody waits for it.
        let _turn = self.inner.intake.turn(document).await?;
        let cancelled = Arc::new(AtomicBool::new(false));
        let _guard = CancelOnDrop(Arc::clone(&cancelled));
        self.ingest_unless(submission, identity, cancelled, &|_| {}).await
    }

    /// What [`ingest`](Self::ingest) would say of a document that is in the library as it is handed in; none of any
    /// other. Changes nothing.
    ///
    /// # Errors
    ///
    /// What of the submission cannot be taken.
    pub async fn holds(
        &self,
        submission: Submission,
        identity: &Identity,
    ) -> Result<Option<Ingested>, ToolError> {
        check(&submission, identity, self.inner.config.limits.document_bytes)?;
        let inner = Arc::clone(&self.inner);
        let (prepared, ingested) = blocking(move || inner.prepare(submission)).await?;
        let Some(prepared) = prepared.filter(|_| !self.inner.is_behind()) else { return Ok(None) };
        let settled = self.inner.settled(&self.state(), &prepared)?;
        Ok(settled.filter(Outcome::is_kept).map(|outcome| Ingested { outcome, ..ingested }))
    }

    /// Takes a document in, unless it is `cancelled` before it is stored. `chunked` is told how many chunks there are.
    pub(super) async fn ingest_unless(
        &self,
        submission: Submission,
        identity: &Identity,
        cancelled: Arc<AtomicBool>,
        chunked: &(dyn Fn(usize) + Sync),
    ) -> Result<Ingested, ToolError> {
        check(&submission, identity, self.inner.config.limits.document_bytes)?;
        let inner = Arc::clone(&self.inner);
        let (prepared, mut ingested) = blocking(move || inner.prepare(submission)).await?;
        let Some(prepared) = prepared else { return Ok(ingested) };
        if !self.inner.is_behind()
            && let Some(outcome) = self.inner.settled(&self.state(), &prepared)?
        {
            ingested.outcome = outcome;
            return Ok(ingested);
        }
        // Nothing is spent on what could not be kept.
        self.inner.truth.takes_writes()?;
        chunked(ingested.chunks);
        let vectors = self.embed_chunks(&prepared.document).await?;
        ingested.outcome = self.store(prepared, vectors, cancelled).await?;
        let (document, outcome, by) = (&ingested.document, &ingested.outcome, &identity.name);
        let (key, chunks) = (identity.key, ingested.chunks);
        tracing::info!(%document, ?outcome, chunks, by, key, "a document was ingested");
        Ok(ingested)
    }

    /// The vectors of all chunks, of which those that are known are not made again.
    async fn embed_chunks(&self, document: &Document) -> Result<DocumentVectors, ToolError> {
        let state = self.state();
        let vectors = state.slot(&document.header.id).and_then(|slot| slot.vectors.as_ref());
        let mut known = vectors.map(|vectors| vectors.by_chunk()).unwrap_or_default();
        let unknown = document.chunks.iter().filter(|chunk| !known.contains_key(&chunk.id));
        let (ids, texts): (Vec<ChunkId>, Vec<String>) =
            unknown.map(|chunk| (chunk.id, chunk.text.clone())).unzip();
        let made = self.embedder().embed(&texts).await?;
        if made.len() != texts.len() {
            let why = format!("`{}` made {} vectors", self.embedder().name(), made.len());
            return Err(ToolError::failed(format!("{why} for {} texts", texts.len())));
        }
        known.extend(ids.into_iter().zip(made));
        let ids: Vec<ChunkId> = chunks(document).collect();
        let vectors = ids.iter().map(|id| known.remove(id).unwrap_or_default()).collect();
        DocumentVectors::new(ids, vectors).map_err(ToolError::failed)
    }

    /// Makes the vectors that are missing, one document after the other, and gives of how many documents. They
    /// are missing after the embedder was changed, or if files were lost.
    ///
    /// # Errors
    ///
    /// What could not be done; what was made until then is kept.
    pub async fn catch_up(&self) -> Result<usize, ToolError> {
        let missing: Vec<_> = self.state().without_vectors().cloned().collect();
        for entry in &missing {
            let (inner, id) = (Arc::clone(&self.inner), entry.id());
            let read = blocking(move || Ok(inner.truth.read(&id)?)).await?;
            let vectors = self.embed_chunks(&read.0).await?;
            let (inner, entry) = (Arc::clone(&self.inner), Arc::clone(entry));
            blocking(move || Ok(inner.add_vectors(&entry, vectors)?)).await?;
        }
        Ok(missing.len())
    }

    /// Removes a document for good, if it is there and `identity` may see it. What is accepted of it and not yet
    /// stored is not taken in any more. Of which team it is when it cannot be read, nobody knows: then it takes one who
    /// sees every team.
    ///
    /// # Errors
    ///
    /// What could not be done; doing it again completes it.
    pub async fn remove(
        &self,
        document: &DocumentId,
        identity: &Identity,
    ) -> Result<bool, ToolError> {
        let waits = self.progress(document, identity).is_some();
        let sees = self.state().get(document, identity).is_some() || waits;
        if !sees && !identity.sees(Some(EVERY_TEAM)) {
            // The same for every document: what could not be cut off may be one.
            self.inner.truth.takes_writes()?;
            return Ok(false);
        }
        let (inner, document) = (Arc::clone(&self.inner), document.clone());
        let (by, key) = (identity.name.clone(), identity.key);
        blocking(move || {
            let removed = inner.discard(&document)?;
            tracing::info!(%document, by, key, removed, "a document was removed");
            Ok(removed)
        })
        .await
    }
}

impl Inner {
    /// Reads, sanitises and cuts a document. Without one to store, the outcome says why.
    fn prepare(&self, submission: Submission) -> Result<(Option<Prepared>, Ingested), ToolError> {
        let id = DocumentId::new(submission.team.as_deref(), &submission.name);
        let mut ingested = Ingested {
            document: id.clone(),
            outcome: Outcome::Added,
            chunks: 0,
            repeated: 0,
            characters: 0,
            sanitized: BTreeMap::new(),
            warnings: Vec::new(),
        };
        let options = &self.config.sanitize;
        let parsed = parse(submission.format, &submission.content, &self.sanitizer, options);
        let mut parsed = match parsed {
            Ok(parsed) => parsed,
            Err(ParseError::Malformed(why)) => {
                return Err(ToolError::invalid(format!("`{}`: {why}", submission.name)));
            }
            Err(ParseError::Refused(refusal)) => {
                ingested.outcome = Outcome::Refused(refusal);
                return Ok((None, ingested));
            }
        };
        ingested.sanitized = std::mem::take(&mut parsed.counts);
        ingested.warnings = std::mem::take(&mut parsed.warnings);
        let chunks;
        (chunks, ingested.repeated) = named(&id, &parsed);
        ingested.chunks = chunks.len();
        ingested.characters = chunks.iter().map(|chunk| chunk.text.chars().count()).sum();
        if chunks.is_empty() {
            // All that was there was taken out.
            ingested.outcome = Outcome::Refused(Refusal::NoText);
            return Ok((None, ingested));
        }
        let reading = Reading {
            characters: ingested.characters as u64,
            quality: parsed.quality,
            repeated_chunks: ingested.repeated as u64,
            sanitized: owned(&ingested.sanitized),
            warnings: ingested.warnings.clone(),
        };
        let document = document(submission, id, (parsed, reading), chunks);
        let (file, version) = document.encode().map_err(LibraryError::from)?;
        let entry = Entry::new(&document.header, &version);
        let entry =
            entry.ok_or_else(|| ToolError::failed("the document's header cannot be kept"))?;
        Ok((Some(Prepared { document, entry, file }), ingested))
    }

    /// What becomes of a document if it need not be stored; an error if it cannot be.
    pub(super) fn settled(
        &self,
        state: &State,
        new: &Prepared,
    ) -> Result<Option<Outcome>, ToolError> {
        let header = &new.document.header;
        let slot = state.slot(&header.id);
        let old = slot.map(|slot| &slot.entry);
        let vectors = slot.and_then(|slot| slot.vectors.as_ref());
        let complete = vectors.is_some_and(|vectors| vectors.are_of(chunks(&new.document)));
        if complete && old.is_some_and(|old| old.version == new.entry.version) {
            return Ok(Some(Outcome::Unchanged));
        }
        // A later version of a document may well become like another.
        if let Some(other) = state.duplicate(&new.entry).filter(|_| old.is_none()) {
            return Ok(Some(Outcome::Duplicate(other)));
        }
        let limits = &self.config.limits;
        let added = new.document.chunks.len();
        let total = state.chunks() - old.map_or(0, |old| old.chunks()) + added;
        if added > limits.document_chunks || total > limits.chunks {
            let why = format!("`{}` has {added} chunks, which makes {total}", header.name);
            let most =
                format!("{} for a document and {} for all", limits.document_chunks, limits.chunks);
            return Err(ToolError::invalid(format!(
                "{why}; the limits are {most}: split or remove some"
            )));
        }
        Ok(None)
    }
}

/// Whether a submission can be taken at all.
pub(super) fn check(
    submission: &Submission,
    identity: &Identity,
    most_bytes: usize,
) -> Result<(), ToolError> {
    let team = submission.team.as_deref();
    if team == Some(EVERY_TEAM) {
        let why = format!("team must be one team, not `{EVERY_TEAM}`; leave it out for everybody");
        return Err(ToolError::invalid(why));
    }
    if let Some(team) = team.filter(|team| !identity.sees(Some(team))) {
        let why = format!("`{}` is not in the team `{team}`", identity.name);
        return Err(ToolError::new(
            ErrorKind::Denied,
            format!("{why}; name a team of theirs, or none"),
        ));
    }
    let bytes = submission.content.len();
    if bytes > most_bytes {
        let why =
            format!("content has {bytes} bytes, and {most_bytes} are taken; split the document");
        return Err(ToolError::invalid(why));
    }
    let pairs = submission.metadata.iter().flat_map(|(name, value)| [name, value]);
    let texts = [("name", Some(&submission.name)), ("title", submission.title.as_ref())];
    let texts = texts.into_iter().chain([("team", submission.team.as_ref())]);
    let metadata = pairs.map(|text| ("metadata", Some(text)));
    for (parameter, text) in texts.chain(metadata) {
        let long = text.is_some_and(|text| text.chars().count() > MOST_CHARACTERS);
        if long || text.is_some_and(|text| text.trim().is_empty() && parameter != "metadata") {
            let why = format!("{parameter} must have 1 to {MOST_CHARACTERS} characters");
            return Err(ToolError::invalid(why));
        }
        if text.is_some_and(|text| text.chars().any(char::is_control)) {
            let why = format!("{parameter} has control characters in it; leave them out");
            return Err(ToolError::invalid(why));
        }
    }
    if submission.metadata.len() > MOST_METADATA {
        return Err(ToolError::invalid(format!("metadata has more than {MOST_METADATA} entries")));
    }
    Ok(())
}

fn owned(counts: &BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// The chunks of a document with their ids, and how many repeated an earlier one.
fn named(document: &DocumentId, parsed: &Parsed) -> (Vec<Chunk>, usize) {
    let drafts = chunk::chunks(&parsed.blocks);
    let all = drafts.len();
    let mut seen = BTreeSet::new();
    let chunks = drafts.into_iter().map(|draft| Chunk {
        id: ChunkId::new(document, &draft.text),
        place: draft.place,
        text: draft.text,
    });
    let chunks: Vec<Chunk> = chunks.filter(|chunk| seen.insert(chunk.id)).collect();
    let repeated = all - chunks.len();
    (chunks, repeated)
}

fn document(
    submission: Submission,
    id: DocumentId,
    (parsed, reading): (Parsed, Reading),
    chunks: Vec<Chunk>,
) -> Document {
    let own = parsed.title.filter(|title| !title.is_empty());
    let title = submission.title.or(own).unwrap_or_else(|| submission.name.clone());
    let header = Header {
        format: FORMAT,
        id,
        name: submission.name,
        title: collapsed(&title),
        written_in: submission.format,
        team: submission.team,
        metadata: submission.metadata,
        chunks: u32::try_from(chunks.len()).unwrap_or(u32::MAX),
        content: content_hash(chunks.iter().map(|chunk| chunk.text.as_str())),
        links: parsed.links,
        reading,
    };
    Document { header, headings: parsed.contents, terms: parsed.terms, chunks }
}
