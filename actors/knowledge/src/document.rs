//! Documents as they are kept: types, identities, and the file of one document.
//!
//! A file has one JSON object per line: a header, then headings, terms and chunks, then an end with the SHA-256
//! of all lines before it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::quality::Quality;
use crate::text::{checksum, collapsed, digest, hex, short_digest, unhex};

/// The version of the files. One of another version is refused.
pub(crate) const FORMAT: u32 = 1;

/// Names a document: what its team calls it. The same for all its versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DocumentId(String);

impl DocumentId {
    /// The id of the document that `team` calls `name`: a hash of both, so the same everywhere.
    #[must_use]
    pub fn new(team: Option<&str>, name: &str) -> Self {
        // A team without a name is not the same as no team.
        let team = team.map_or_else(String::new, |team| format!("team {team}"));
        Self(format!("doc-{}", short_digest(&["document", &team, name], 16)))
    }

    /// The id that `text` is, if it has the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("doc-")?;
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let valid = digits.len() == 32 && digits.bytes().all(hexadecimal);
        valid.then(|| Self(text.to_owned()))
    }

    /// The bytes that its digits stand for: what documents are sorted by. An id has no other digits.
    pub(crate) fn key(&self) -> [u8; 16] {
        self.0.strip_prefix("doc-").and_then(unhex).unwrap_or_default()
    }

    /// The id of these bytes.
    pub(crate) fn of_key(key: &[u8; 16]) -> Self {
        Self(format!("doc-{}", hex(key)))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Names a chunk by its content: a hash of its document's id and of its text with whitespace collapsed. What is
/// the same in the next version of a document keeps its id; 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId([u8; 16]);

impl ChunkId {
    /// The id of `text` within a document.
    #[must_use]
    pub fn new(document: &DocumentId, text: &str) -> Self {
        let hash = digest(&["chunk", document.as_str(), &collapsed(text)]);
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self(id)
    }

    /// The bytes that its digits stand for.
    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of these bytes.
    pub(crate) const fn of_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ChunkId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("`{text}` is no id of a chunk: 32 hexadecimal digits");
        if text.len() != 32 || !text.is_ascii() {
            return Err(malformed());
        }
        let mut id = [0; 16];
        for (byte, at) in id.iter_mut().zip((0..32).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| malformed())?;
        }
        Ok(Self(id))
    }
}

impl Serialize for ChunkId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChunkId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// CommonMark.
    Markdown,
    /// Paragraphs between blank lines; a form feed begins a page.
    Text,
    /// HTML.
    Html,
    /// PDF with text in it; pictures of text are not read.
    Pdf,
    /// A table whose first row has the names of its columns.
    Csv,
}

impl Format {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 5] = [
        ("markdown", Self::Markdown),
        ("text", Self::Text),
        ("html", Self::Html),
        ("pdf", Self::Pdf),
        ("csv", Self::Csv),
    ];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, format)| format)
    }

    /// All names, for people.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }

    /// What is sent as this media type, if that says what it is written in.
    #[must_use]
    pub fn of_media_type(media: &str) -> Option<Self> {
        Some(match media {
            "text/markdown" | "text/x-markdown" => Self::Markdown,
            "text/plain" => Self::Text,
            "text/html" | "application/xhtml+xml" => Self::Html,
            "application/pdf" => Self::Pdf,
            "text/csv" => Self::Csv,
            _ => return None,
        })
    }

    /// What a file of this name is written in, if its ending says so.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        Some(match ending.to_ascii_lowercase().as_str() {
            "md" | "markdown" => Self::Markdown,
            "txt" | "text" | "log" => Self::Text,
            "html" | "htm" | "xhtml" => Self::Html,
            "pdf" => Self::Pdf,
            "csv" => Self::Csv,
            _ => return None,
        })
    }

    /// The name in arguments.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Markdown => "markdown",
            Self::Text => "text",
            Self::Html => "html",
            Self::Pdf => "pdf",
            Self::Csv => "csv",
        }
    }
}

/// What is known of a document without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the file.
    pub format: u32,
    /// Names it.
    pub id: DocumentId,
    /// What its team calls it.
    pub name: String,
    /// For people.
    pub title: String,
    /// What it was written in.
    pub written_in: Format,
    /// Who may see it; everybody if it is nobody's.
    pub team: Option<String>,
    /// What searches can ask for.
    pub metadata: BTreeMap<String, String>,
    /// How many chunks it has.
    pub chunks: u32,
    /// A hash of the texts of its chunks: what makes two documents the same.
    pub content: String,
    /// What it refers to.
    pub links: Vec<Link>,
    /// What was found when it was read. Not in files of before this was kept.
    #[serde(default, skip_serializing_if = "Reading::is_nothing")]
    pub reading: Reading,
}

/// What was found when a document was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Characters of its chunks.
    pub characters: u64,
    /// How good its text was before anything was taken out.
    pub quality: Quality,
    /// Chunks that were left out because they repeat an earlier one.
    pub repeated_chunks: u64,
    /// What was taken out of its text, and how often.
    pub sanitized: BTreeMap<String, u64>,
    /// What should be known.
    pub warnings: Vec<String>,
}

impl Reading {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// A reference from a document to something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// The words that stand for it.
    pub text: String,
    /// The address, or the name of another document.
    pub target: String,
}

/// A part of a document, as its table of contents has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// From 1, the highest.
    pub level: u8,
    /// Its words.
    pub text: String,
    /// Where it is, if the document has pages.
    pub page: Option<u32>,
}

/// An entry of a document's index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// The word or words.
    pub text: String,
    /// Where they are.
    pub pages: Vec<u32>,
}

/// Where in a document something stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The first and the last page.
    pub pages: Option<(u32, u32)>,
    /// The first and the last row of a table; the names of its columns are row 1.
    pub rows: Option<(u32, u32)>,
    /// The headings above it.
    pub headings: Vec<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (name, range) in [("page", self.pages), ("row", self.rows)] {
            parts.extend(range.map(|(first, last)| match first == last {
                true => format!("{name} {first}"),
                false => format!("{name}s {first}-{last}"),
            }));
        }
        if !self.headings.is_empty() {
            parts.push(self.headings.join(" > "));
        }
        formatter.write_str(&parts.join(", "))
    }
}

/// A part of a document that can be found and cited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Names it.
    pub id: ChunkId,
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub text: String,
}

/// A document, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What is known of it without reading it.
    pub header: Header,
    /// Its table of contents, in its order.
    pub headings: Vec<Heading>,
    /// Its index, in its order.
    pub terms: Vec<Term>,
    /// Its text, in its order.
    pub chunks: Vec<Chunk>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Header(Header),
    Heading(Heading),
    Term(Term),
    Chunk(Chunk),
    End(String),
}

impl Document {
    /// The file of the document, and its version: the checksum of everything in it.
    ///
    /// # Errors
    ///
    /// What of it cannot be written as JSON, which nothing should be.
    pub fn encode(&self) -> Result<(Vec<u8>, String), serde_json::Error> {
        let headings = self.headings.iter().cloned().map(Line::Heading);
        let terms = self.terms.iter().cloned().map(Line::Term);
        let chunks = self.chunks.iter().cloned().map(Line::Chunk);
        let header = std::iter::once(Line::Header(self.header.clone()));
        let mut bytes = Vec::new();
        for line in header.chain(headings).chain(terms).chain(chunks) {
            serde_json::to_writer(&mut bytes, &line)?;
            bytes.push(b'\n');
        }
        let version = checksum(&bytes);
        serde_json::to_writer(&mut bytes, &Line::End(version.clone()))?;
        bytes.push(b'\n');
        Ok((bytes, version))
    }

    /// Reads the header of a document and its version, from bytes that are known to be as they were written.
    pub(crate) fn decode_header(bytes: &[u8]) -> Result<(Header, String), String> {
        let (_, version) = ends(bytes)?;
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok((header(first)?, version))
    }

    /// Reads the file of a document, and its version.
    ///
    /// # Errors
    ///
    /// Why it is no file of a document, in words for people.
    pub fn decode(bytes: &[u8]) -> Result<(Self, String), String> {
        let (body, version) = ends(bytes)?;
        if checksum(body) != version {
            return Err("its checksum is not that of its content".to_owned());
        }
        let mut lines = body.split(|byte| *byte == b'\n');
        let header = header(lines.next().unwrap_or_default())?;
        let mut document =
            Self { header, headings: Vec::new(), terms: Vec::new(), chunks: Vec::new() };
        for (number, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
            let line = serde_json::from_slice(line);
            let line = line.map_err(|error| format!("line {}: {error}", number + 2))?;
            document.put(line).map_err(|why| format!("line {}: {why}", number + 2))?;
        }
        Ok((document, version))
    }

    fn put(&mut self, line: Line) -> Result<(), &'static str> {
        match line {
            Line::Header(_) | Line::End(_) => return Err("is of the wrong kind for its place"),
            Line::Heading(heading) => self.headings.push(heading),
            Line::Term(term) => self.terms.push(term),
            Line::Chunk(chunk) => self.chunks.push(chunk),
        }
        Ok(())
    }
}

/// What of a file its checksum covers, and that checksum.
fn ends(bytes: &[u8]) -> Result<(&[u8], String), String> {
    let whole = bytes.strip_suffix(b"\n").ok_or("it does not end with a line end")?;
    let last = whole.iter().rposition(|byte| *byte == b'\n').ok_or("it has only one line")?;
    let (body, end) = whole.split_at(last + 1);
    match serde_json::from_slice(end) {
        Ok(Line::End(version)) => Ok((body, version)),
        Ok(Line::Header(_) | Line::Heading(_) | Line::Term(_) | Line::Chunk(_)) | Err(_) => {
            Err("its last line is not an end".to_owned())
        }
    }
}

/// The header that the first line of a file is.
fn header(line: &[u8]) -> Result<Header, String> {
    match serde_json::from_slice(line) {
        Ok(Line::Header(header)) if header.format == FORMAT => Ok(header),
        Ok(Line::Header(header)) => Err(format!("it is of format {}, not {FORMAT}", header.format)),
        Ok(Line::Heading(_) | Line::Term(_) | Line::Chunk(_) | Line::End(_)) | Err(_) => {
            Err("it has no header".to_owned())
        }
    }
}

/// The hash by which two documents are found to say the same.
pub(crate) fn content_hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(collapsed).collect();
    let mut parts = vec!["content"];
    parts.extend(texts.iter().map(String::as_str));
    hex(&digest(&parts))
}

#[cfg(test)]
mod tests;
