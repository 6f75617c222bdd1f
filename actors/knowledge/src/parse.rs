//! Reads documents: from bytes to blocks, with the headings, terms and links in them. Each format has a reader
//! of its own; none does more than read.

mod csv;
mod html;
mod lists;
mod markdown;
mod pdf;
mod plain;

use std::collections::BTreeMap;

use crate::chunk::Block;
use crate::document::{Format, Heading, Link, Term};
use crate::quality::{Quality, Refusal, judge, measure};
use crate::sanitize::{Purpose, SanitizeOptions, Sanitizer};
use crate::text::collapsed;

/// What was read of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parsed {
    /// The title that the document gives itself.
    pub(crate) title: Option<String>,
    pub(crate) blocks: Vec<Block>,
    /// The table of contents, if the document has one beside its headings.
    pub(crate) contents: Vec<Heading>,
    pub(crate) terms: Vec<Term>,
    pub(crate) links: Vec<Link>,
    /// Of the text that was read, before anything was taken out of it.
    pub(crate) quality: Quality,
    /// How often something was left out or taken out, by what it was.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// What should be known.
    pub(crate) warnings: Vec<String>,
}

/// Why nothing was read.
#[derive(Debug, PartialEq)]
pub(crate) enum ParseError {
    /// The bytes are not of the format.
    Malformed(String),
    /// The document is not worth keeping.
    Refused(Refusal),
}

/// Headings, terms and links of one document that are kept.
const MOST_ENTRIES: usize = 5000;
/// Characters of a heading, a term or the words of a link that are kept.
const MOST_CHARACTERS: usize = 300;

/// Reads a document and sanitises all of its text.
pub(crate) fn parse(
    format: Format,
    bytes: &[u8],
    sanitizer: &Sanitizer,
    options: &SanitizeOptions,
) -> Result<Parsed, ParseError> {
    let mut parsed = match format {
        Format::Pdf => pdf::read(bytes).map_err(ParseError::Malformed)?,
        Format::Markdown | Format::Text | Format::Html | Format::Csv => {
            read_text(format, bytes, sanitizer, options)?
        }
    };
    let texts = || parsed.blocks.iter().map(|block| block.text.as_str());
    judge(texts()).map_err(ParseError::Refused)?;
    parsed.quality = measure(texts());
    lists::complete(&mut parsed, sanitizer);
    clean(&mut parsed, sanitizer, options);
    Ok(parsed)
}

fn read_text(
    format: Format,
    bytes: &[u8],
    sanitizer: &Sanitizer,
    options: &SanitizeOptions,
) -> Result<Parsed, ParseError> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    judge([text]).map_err(ParseError::Refused)?;
    // What reaches over blank lines is found only before these formats are taken apart.
    let sanitized = match format {
        Format::Markdown | Format::Text => sanitizer.sanitize(text, Purpose::Plain, options),
        Format::Html | Format::Csv | Format::Pdf => Default::default(),
    };
    let mut parsed = match format {
        Format::Markdown => markdown::read(&sanitized.text),
        Format::Text | Format::Pdf => plain::read(&sanitized.text),
        Format::Html => html::read(text),
        Format::Csv => csv::read(text).map_err(ParseError::Malformed)?,
    };
    count(&mut parsed.counts, &sanitized.counts);
    if std::str::from_utf8(bytes).is_err() {
        let warning = "the text is not UTF-8; characters that could not be read were replaced";
        parsed.warnings.push(warning.to_owned());
    }
    Ok(parsed)
}

/// Sanitises what was read, block by block, and drops what has no words.
fn clean(parsed: &mut Parsed, sanitizer: &Sanitizer, options: &SanitizeOptions) {
    let mut counts = BTreeMap::new();
    let mut cleaned = |text: &str| {
        let sanitized = sanitizer.sanitize(text, Purpose::Plain, options);
        count(&mut counts, &sanitized.counts);
        sanitized.text
    };
    for block in &mut parsed.blocks {
        block.text = cleaned(&block.text);
    }
    // What stands in headings, terms and links stands in the blocks as well, and was counted there.
    let line = |text: &str| {
        let sanitized = sanitizer.sanitize(text, Purpose::Plain, options);
        collapsed(&sanitized.text).chars().take(MOST_CHARACTERS).collect::<String>()
    };
    parsed.title = parsed.title.as_deref().map(line);
    parsed.contents.iter_mut().for_each(|heading| heading.text = line(&heading.text));
    parsed.terms.iter_mut().for_each(|term| term.text = line(&term.text));
    parsed.links.iter_mut().for_each(|link| {
        (link.text, link.target) = (line(&link.text), line(&link.target));
    });
    count(&mut parsed.counts, &counts);
    parsed.blocks.retain(|block| block.text.chars().any(char::is_alphanumeric));
    parsed.contents.retain(|heading| !heading.text.is_empty());
    parsed.terms.retain(|term| !term.text.is_empty());
    parsed.links.sort();
    parsed.links.dedup();
    parsed.links.retain(|link| !link.target.is_empty());
    bound(parsed);
}

fn bound(parsed: &mut Parsed) {
    let lengths = [parsed.contents.len(), parsed.terms.len(), parsed.links.len()];
    let names = ["headings", "terms of the index", "links"];
    for (length, name) in
        lengths.into_iter().zip(names).filter(|(length, _)| *length > MOST_ENTRIES)
    {
        let warning = format!("of {length} {name} the first {MOST_ENTRIES} are kept");
        parsed.warnings.push(warning);
    }
    parsed.contents.truncate(MOST_ENTRIES);
    parsed.terms.truncate(MOST_ENTRIES);
    parsed.links.truncate(MOST_ENTRIES);
}

fn count(counts: &mut BTreeMap<&'static str, u64>, more: &BTreeMap<&'static str, u64>) {
    for (name, found) in more {
        *counts.entry(name).or_default() += found;
    }
}

#[cfg(test)]
mod tests;
