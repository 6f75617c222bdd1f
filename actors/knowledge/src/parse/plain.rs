//! Plain text: paragraphs between blank lines, and pages between form feeds.

use super::Parsed;
use crate::chunk::Block;

pub(super) fn read(text: &str) -> Parsed {
    let pages = text.contains('\u{c}');
    let mut blocks = Vec::new();
    for (number, page) in (1_u32..).zip(text.split('\u{c}')) {
        blocks.extend(paragraphs(page, pages.then_some(number)));
    }
    Parsed { blocks, ..Parsed::default() }
}

/// The paragraphs of a text.
pub(super) fn paragraphs(text: &str, page: Option<u32>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut paragraph = String::new();
    for line in text.lines().chain(std::iter::once("")) {
        if !line.trim().is_empty() {
            if !paragraph.is_empty() {
                paragraph.push('\n');
            }
            paragraph.push_str(line.trim_end());
        } else if !paragraph.is_empty() {
            blocks.push(Block::paragraph(std::mem::take(&mut paragraph), page));
        }
    }
    blocks
}
