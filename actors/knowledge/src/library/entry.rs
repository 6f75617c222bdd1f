//! What is kept in memory of a document: little, for there may be a million of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use perennial_query::tool::Identity;
use serde::{Deserialize, Serialize};

use super::shards::Key;
use super::state::Filter;
use crate::document::{DocumentId, FORMAT, Format, Header, Link, Reading};
use crate::text::{digest, hex, unhex};

/// Bytes of a version.
pub(crate) type Version = [u8; 32];

/// What is known of a document without reading it. Its header is packed: a hundred bytes or two in one piece instead of
/// a kilobyte in a dozen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    /// The checksum of what is stored of it.
    pub(crate) version: Version,
    /// What documents of one team that say the same have in common.
    pub(crate) same: Key,
    chunks: u32,
    packed: Box<[u8]>,
}

/// The part of a header that is looked at when many documents are.
#[derive(Serialize, Deserialize)]
pub(crate) struct Front<'a> {
    pub(crate) team: Option<&'a str>,
    #[serde(borrow)]
    metadata: Vec<(&'a str, &'a str)>,
    pub(crate) name: &'a str,
    pub(crate) title: &'a str,
    /// Whether it refers to anything.
    pub(crate) links: bool,
}

/// The rest of it.
#[derive(Serialize, Deserialize)]
struct Rest {
    written_in: Format,
    content: String,
    links: Vec<Link>,
    reading: Reading,
}

impl Entry {
    /// What is kept of a document of this header and version. None if its version is not one.
    pub(crate) fn new(header: &Header, version: &str) -> Option<Arc<Self>> {
        let metadata = header.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let front = Front {
            team: header.team.as_deref(),
            metadata: metadata.collect(),
            name: &header.name,
            title: &header.title,
            links: !header.links.is_empty(),
        };
        let rest = Rest {
            written_in: header.written_in,
            content: header.content.clone(),
            links: header.links.clone(),
            reading: header.reading.clone(),
        };
        let config = bincode::config::standard();
        let packed = bincode::serde::encode_to_vec((front, rest), config).ok()?;
        Some(Arc::new(Self {
            key: header.id.key(),
            version: unhex(version)?,
            same: same_as(header),
            chunks: header.chunks,
            packed: packed.into_boxed_slice(),
        }))
    }

    pub(crate) fn id(&self) -> DocumentId {
        DocumentId::of_key(&self.key)
    }

    pub(crate) fn chunks(&self) -> usize {
        usize::try_from(self.chunks).unwrap_or(usize::MAX)
    }

    /// The version as people see it.
    pub(crate) fn version(&self) -> String {
        hex(&self.version)
    }

    /// What is looked at when many documents are. It is there: nothing else is ever packed.
    pub(crate) fn front(&self) -> Option<Front<'_>> {
        let config = bincode::config::standard();
        let read = bincode::serde::borrow_decode_from_slice(&self.packed, config);
        read.ok().map(|(front, _)| front)
    }

    /// The header, whole.
    pub(crate) fn header(&self) -> Option<Header> {
        let config = bincode::config::standard();
        let read = bincode::serde::borrow_decode_from_slice(&self.packed, config);
        let ((front, rest), _): ((Front<'_>, Rest), usize) = read.ok()?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Some(Header {
            format: FORMAT,
            id: self.id(),
            name: front.name.to_owned(),
            title: front.title.to_owned(),
            written_in: rest.written_in,
            team: front.team.map(str::to_owned),
            metadata: front.metadata.into_iter().map(owned).collect::<BTreeMap<_, _>>(),
            chunks: self.chunks,
            content: rest.content,
            links: rest.links,
            reading: rest.reading,
        })
    }
}

impl Front<'_> {
    /// Whether who asks may see it. Everything that is told of documents goes through this.
    pub(crate) fn is_visible_to(&self, identity: &Identity) -> bool {
        identity.sees(self.team)
    }

    /// Whether it is among what is looked at.
    pub(crate) fn is_admitted_by(&self, filter: &Filter, id: impl FnOnce() -> DocumentId) -> bool {
        let document = filter.document.as_ref();
        document.is_none_or(|wanted| *wanted == self.name || *wanted == id().as_str())
            && filter.team.as_ref().is_none_or(|team| self.team == Some(team.as_str()))
            && filter.metadata.iter().all(|(name, value)| {
                self.metadata.iter().any(|(own, is)| own == name && is == value)
            })
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
