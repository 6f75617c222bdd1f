//! The files of what was accepted: a line of JSON, the document as it came, then a checksum of both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use perennial_query::tool::Identity;
use serde::{Deserialize, Serialize};

use crate::document::Format;
use crate::files::{self, FileError};
use crate::library::Submission;
use crate::text::checksum;

/// The version of the files.
const FORMAT: u32 = 1;
/// A checksum and a line end.
const SEAL: usize = 65;
/// What the files end with.
const ENDING: &str = "accepted";

/// What was accepted, and on whose behalf.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spooled {
    pub(super) submission: Submission,
    pub(super) identity: Identity,
}

/// What of a file is not the document.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    name: String,
    title: Option<String>,
    written_in: Format,
    metadata: BTreeMap<String, String>,
    team: Option<String>,
    identity: Identity,
}

impl Spooled {
    fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let Submission { name, title, format, content, metadata, team } = self.submission.clone();
        let (written_in, identity) = (format, self.identity.clone());
        let head = Head { format: FORMAT, name, title, written_in, metadata, team, identity };
        let mut bytes = serde_json::to_vec(&head)?;
        bytes.push(b'\n');
        bytes.extend(content);
        let seal = checksum(&bytes);
        bytes.extend_from_slice(seal.as_bytes());
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let split = bytes.len().checked_sub(SEAL).and_then(|at| bytes.split_at_checked(at));
        let (body, seal) = split.ok_or("it is too short")?;
        if seal.strip_suffix(b"\n") != Some(checksum(body).as_bytes()) {
            return Err("its checksum is not that of its content".to_owned());
        }
        let end = body.iter().position(|byte| *byte == b'\n').ok_or("it has no first line")?;
        let head: Head = serde_json::from_slice(&body[..end])
            .map_err(|error| format!("its first line is not as expected: {error}"))?;
        if head.format != FORMAT {
            return Err(format!("it is of format {}, not {FORMAT}", head.format));
        }
        let Head { name, title, written_in, metadata, team, identity, .. } = head;
        let content = body[end + 1..].to_vec();
        let submission = Submission { name, title, format: written_in, content, metadata, team };
        Ok(Self { submission, identity })
    }
}

/// The folder of the files. Their names are numbers, in the order in which they were accepted.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Opens the folder and removes what interrupted writes left.
    pub(super) fn open(folder: &Path) -> Result<Self, FileError> {
        files::create_dir(folder)?;
        files::sweep(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016x}.{ENDING}"))
    }

    /// The numbers of all that is there, in their order.
    pub(super) fn numbers(&self) -> Result<Vec<u64>, FileError> {
        let mut found = Vec::new();
        for path in files::list(&self.folder)? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match u64::from_str_radix(&name, 16) {
                Ok(number) if self.path(number) == path => found.push(number),
                Ok(_) | Err(_) => {
                    tracing::warn!(path = %path.display(), "a file that nobody accepted is passed over");
                }
            }
        }
        Ok(found)
    }

    /// What was accepted under this number, or why it is no such thing.
    pub(super) fn read(&self, number: u64) -> Result<Result<Spooled, String>, FileError> {
        Ok(Spooled::decode(&files::read(&self.path(number))?))
    }

    pub(super) fn write(&self, number: u64, spooled: &Spooled) -> Result<(), FileError> {
        let path = self.path(number);
        let bytes = spooled
            .encode()
            .map_err(|error| FileError::of(format!("write {}", path.display()))(error.into()))?;
        files::replace(&path, &bytes)
    }

    pub(super) fn remove(&self, numbers: &[u64]) -> Result<(), FileError> {
        let paths: Vec<PathBuf> = numbers.iter().map(|number| self.path(*number)).collect();
        files::remove_all(&paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Spooled {
        let submission = Submission {
            name: "guide.md".to_owned(),
            title: Some("The guide".to_owned()),
            format: Format::Markdown,
            content: b"Press the button.\n\0\xff".to_vec(),
            metadata: BTreeMap::from([("year".to_owned(), "2025".to_owned())]),
            team: Some("red".to_owned()),
        };
        let (name, role, teams) = ("ann".to_owned(), "coach".to_owned(), vec!["red".to_owned()]);
        Spooled { submission, identity: Identity { name, role, teams, key: Some(3) } }
    }

    /// The file as version 1 of the format has it. A change that makes this fail needs a new version of the format
    /// and a way to read this one.
    #[test]
    fn an_accepted_document_of_format_1_can_be_read_for_ever() {
        let frozen = include_bytes!("../../../../../tests/fixtures/knowledge/accepted.1");
        assert_eq!(Spooled::decode(frozen).unwrap(), sample());
        assert_eq!(sample().encode().unwrap(), frozen);
    }

    #[test]
    fn an_accepted_document_with_one_byte_changed_or_missing_is_refused() {
        let bytes = sample().encode().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Spooled::decode(&changed).is_err(), "byte {at}");
            assert!(Spooled::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
