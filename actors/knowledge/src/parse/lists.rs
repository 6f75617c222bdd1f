//! Tables of contents and indexes that stand in a document's text.

use super::Parsed;
use crate::chunk::Block;
use crate::document::{Heading, Term};
use crate::sanitize::{Purpose, SanitizeOptions, Sanitizer};

/// Pages at the beginning on which a table of contents may stand.
const FIRST_PAGES: u32 = 12;

/// Adds the table of contents and the index that the text has, unless the document has better ones: headings of
/// its own, or bookmarks.
pub(super) fn complete(parsed: &mut Parsed, sanitizer: &Sanitizer) {
    let own = parsed.blocks.iter().filter_map(|block| {
        let heading = Heading { level: block.heading?, text: block.text.clone(), page: block.page };
        Some(heading)
    });
    let own: Vec<Heading> = own.collect();
    if parsed.contents.is_empty() {
        parsed.contents = if own.is_empty() { contents(&parsed.blocks, sanitizer) } else { own };
    }
    parsed.terms = index(&parsed.blocks, sanitizer);
}

/// Whether a block begins with this title on a line of its own.
fn titled(block: &Block, titles: &[&str]) -> bool {
    let line = block.text.lines().next().unwrap_or_default().trim().trim_end_matches(':');
    titles.iter().any(|title| line.eq_ignore_ascii_case(title))
}

/// The entries of a page that is a table of contents: lines that end in a page number.
fn contents(blocks: &[Block], sanitizer: &Sanitizer) -> Vec<Heading> {
    let early = blocks.iter().take_while(|block| block.page.is_none_or(|page| page <= FIRST_PAGES));
    let mut rest = early.skip_while(|block| !titled(block, &["contents", "table of contents"]));
    let Some(first) = rest.next() else { return Vec::new() };
    let page = first.page;
    let same = rest.take_while(|block| block.page.is_some() && block.page == page);
    std::iter::once(first)
        .chain(same)
        .flat_map(|block| block.text.lines())
        .filter_map(|line| entry(line, sanitizer))
        .collect()
}

fn entry(line: &str, sanitizer: &Sanitizer) -> Option<Heading> {
    let options = SanitizeOptions::default();
    let stripped = sanitizer.sanitize(line.trim(), Purpose::Toc, &options);
    stripped.counts.get("toc_page")?;
    let digits = line.trim().rsplit(|c: char| !c.is_ascii_digit()).next()?;
    let text = stripped.text.trim().to_owned();
    // `2.3.1 Title` is three deep.
    let number = text.split_whitespace().next().unwrap_or_default().trim_end_matches('.');
    let numbered = number.starts_with(|c: char| c.is_ascii_digit());
    let dots = number.matches('.').count().min(5);
    let level = if numbered { 1 + u8::try_from(dots).unwrap_or(5) } else { 1 };
    Some(Heading { level, text, page: digits.parse().ok() })
}

/// What indexes are called.
const INDEXES: [&str; 6] =
    ["index", "general index", "subject index", "concept index", "name index", "author index"];

/// The terms of a section or page named as an index is, to the end of the document.
fn index(blocks: &[Block], sanitizer: &Sanitizer) -> Vec<Term> {
    let Some(start) = blocks.iter().rposition(|block| titled(block, &INDEXES)) else {
        return Vec::new();
    };
    let options = SanitizeOptions::default();
    let mut terms = Vec::new();
    for block in &blocks[start..] {
        let text = sanitizer.sanitize(&block.text, Purpose::Index, &options).text;
        terms.extend(text.lines().filter_map(term));
    }
    terms
}

/// `Apple 5, 10-12`, `Apple, 5` or `Apple ..... 5`: words, then pages.
fn term(line: &str) -> Option<Term> {
    let line = line.trim().trim_start_matches(['-', '*']).trim_start();
    let is_page = |c: char| c.is_ascii_digit() || matches!(c, ',' | ' ' | '-' | '\u{2013}');
    let words = line.trim_end_matches(is_page);
    let text = words.trim_end_matches([',', ' ', '.']);
    let numbers = line.get(words.len()..)?.split([',', ' ']).filter(|part| !part.is_empty());
    let mut pages: Vec<u32> =
        numbers.filter_map(|part| part.split(['-', '\u{2013}']).next()?.parse().ok()).collect();
    pages.sort_unstable();
    pages.dedup();
    let is_term = text.chars().any(char::is_alphabetic) && !pages.is_empty();
    is_term.then(|| Term { text: text.to_owned(), pages })
}
