//! Everything of this crate that reads documents. For tests and for the fuzzers in `tests/fuzz`, which call the
//! same functions.

use crate::Format;
use crate::chunk::chunks;
use crate::parse::parse;
use crate::sanitize::{SanitizeOptions, Sanitizer};

/// Reads documents, and throws away what it has read.
#[derive(Debug)]
pub struct Reader {
    sanitizer: Sanitizer,
}

impl Reader {
    /// One that takes texts as the library does.
    ///
    /// # Panics
    /// The patterns of the sanitizer are not what they should be.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "for tests and fuzzers, which end there")]
    pub fn new() -> Self {
        Self { sanitizer: Sanitizer::new().unwrap() }
    }

    /// Reads bytes as HTML.
    pub fn html(&self, bytes: &[u8]) {
        self.read(Format::Html, bytes);
    }

    /// Reads bytes as PDF.
    pub fn pdf(&self, bytes: &[u8]) {
        self.read(Format::Pdf, bytes);
    }

    /// Reads bytes as each of the formats that are text.
    pub fn text(&self, bytes: &[u8]) {
        for format in [Format::Markdown, Format::Text, Format::Csv] {
            self.read(format, bytes);
        }
    }

    fn read(&self, format: Format, bytes: &[u8]) {
        if let Ok(parsed) = parse(format, bytes, &self.sanitizer, &SanitizeOptions::default()) {
            drop(chunks(&parsed.blocks));
        }
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use perennial_runtime::decoding::feed;

    use super::*;

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_html() {
        let reader = Reader::new();
        feed("html", 1_000, |bytes| reader.html(bytes));
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_pdf() {
        let reader = Reader::new();
        feed("pdf", 1_000, |bytes| reader.pdf(bytes));
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_a_text() {
        let reader = Reader::new();
        feed("text", 1_000, |bytes| reader.text(bytes));
    }
}
