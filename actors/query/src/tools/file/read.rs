//! Reading files and listing folders.

use std::fs::File;
use std::io::Read;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, statat};
use serde_json::{Value, json};

use super::place::Place;
use super::write::is_temporary;
use crate::tool::{Citation, ToolAnswer, ToolError};

/// Entries of a folder that are listed.
const ENTRIES: usize = 1000;

/// The beginning of the file at `place`, at most `limit` bytes.
pub(super) fn read(place: &Place, limit: usize) -> Result<ToolAnswer, ToolError> {
    let (folder, name) = place.folder(false)?;
    let mut file = File::from(place.open(&folder, name, OFlags::RDONLY)?);
    let failed = |error| place.error(&folder, name, "reading", error);
    let mut bytes = Vec::new();
    let room = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.by_ref().take(room).read_to_end(&mut bytes).map_err(failed)?;
    let truncated = bytes.len() > limit;
    bytes.truncate(limit);
    let size = match file.metadata() {
        Ok(metadata) if truncated => metadata.len(),
        Ok(_) | Err(_) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
    };
    let content = text(place, bytes, truncated)?;
    let mut answer = ToolAnswer::from(json!({
        "root": place.root.name(),
        "path": place.path(),
        "content": content,
        "bytes": size,
        "truncated": truncated,
    }));
    if truncated {
        answer
            .warnings
            .push(format!("only the first {} of {size} bytes of {place}", content.len()));
    }
    let path = place.path();
    answer.citations.push(Citation { id: path.clone(), source: path, place: String::new() });
    Ok(answer)
}

/// Bytes as text, exactly: what is no UTF-8 is refused rather than changed.
fn text(place: &Place, mut bytes: Vec<u8>, truncated: bool) -> Result<String, ToolError> {
    if let Err(error) = std::str::from_utf8(&bytes) {
        let whole = error.valid_up_to();
        if !truncated || error.error_len().is_some() {
            return Err(ToolError::failed(format!("{place} is no UTF-8 text: see byte {whole}")));
        }
        // The limit cut a character.
        bytes.truncate(whole);
    }
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

/// What is in the folder at `place`, by name.
pub(super) fn list(place: &Place) -> Result<ToolAnswer, ToolError> {
    let folder = place.as_folder()?;
    let failed = |error| place.error(&folder, ".", "listing", error);
    let mut names: Vec<String> = Vec::new();
    for entry in Dir::read_from(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." && !is_temporary(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    let total = names.len();
    names.truncate(ENTRIES);
    let entries: Vec<Value> = names
        .iter()
        .filter_map(|name| {
            // One that has gone meanwhile is not there.
            let stat = statat(&folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
            let (kind, bytes) = match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => ("file", json!(stat.st_size)),
                FileType::Directory => ("folder", Value::Null),
                FileType::Symlink => ("link", Value::Null),
                FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => ("other", Value::Null),
            };
            Some(json!({"name": name, "type": kind, "bytes": bytes}))
        })
        .collect();
    let mut answer = ToolAnswer::from(json!({
        "root": place.root.name(),
        "path": place.path(),
        "entries": entries,
        "truncated": total > ENTRIES,
    }));
    if total > ENTRIES {
        answer.warnings.push(format!("only the first {ENTRIES} of {total} entries of {place}"));
    }
    Ok(answer)
}
