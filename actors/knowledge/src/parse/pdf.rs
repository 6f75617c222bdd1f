//! PDF: the text of its pages in the order in which it is painted, and its bookmarks.
//!
//! The files come from anywhere, so everything is bounded: what streams unpack to, pages, forms within forms and
//! text. The crate that reads their structure bounds nesting itself. A panic in it ends the thread of the one
//! document only.

mod font;
mod page;

use lopdf::{Document, LoadOptions};

use super::{Parsed, plain};
use crate::document::Heading;
use page::Budget;

/// Bytes to which one stream may unpack.
const MOST_UNPACKED: usize = 32 << 20;
/// Pages that are read.
const MOST_PAGES: usize = 5000;

pub(super) fn read(bytes: &[u8]) -> Result<Parsed, String> {
    let options =
        LoadOptions { max_decompressed_size: Some(MOST_UNPACKED), ..LoadOptions::default() };
    let document = Document::load_mem_with_options(bytes, options)
        .map_err(|error| format!("it cannot be read as PDF: {error}"))?;
    if document.is_encrypted() {
        return Err("it is encrypted; remove the password first".to_owned());
    }
    let mut parsed = Parsed { contents: bookmarks(&document), ..Parsed::default() };
    let mut budget = Budget::default();
    let pages = document.get_pages();
    let mut unread = Vec::new();
    for (number, id) in pages.iter().take(MOST_PAGES) {
        match page::text(&document, *id, &mut budget) {
            Ok(read) => {
                parsed.blocks.extend(plain::paragraphs(&read.text, Some(*number)));
                if read.damaged {
                    unread.push(format!("page {number}: what follows damage on it"));
                }
            }
            Err(why) => unread.push(format!("page {number}: {why}")),
        }
    }
    if pages.len() > MOST_PAGES {
        unread.push(format!("pages after {MOST_PAGES}: there are {}", pages.len()));
    }
    if budget.is_spent() {
        unread.push("what goes beyond the bounds on text of one document".to_owned());
    }
    parsed.warnings.extend(unread.into_iter().map(|what| format!("not read: {what}")));
    Ok(parsed)
}

/// The bookmarks; a document without them is as good.
fn bookmarks(document: &Document) -> Vec<Heading> {
    let entries = document.get_toc().map(|toc| toc.toc).unwrap_or_default();
    let heading = |entry: lopdf::TocType| Heading {
        level: u8::try_from(entry.level.clamp(1, 9)).unwrap_or(9),
        text: entry.title,
        page: u32::try_from(entry.page).ok(),
    };
    entries.into_iter().map(heading).collect()
}
