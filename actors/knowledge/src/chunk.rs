//! Cuts what was read of a document into chunks. Pure.

use crate::document::Place;
use crate::text::{pieces, tail};

/// Characters of a chunk, about.
pub(crate) const SIZE: usize = 1000;
/// Words that a chunk has in common with the one before.
pub(crate) const OVERLAP_WORDS: usize = 50;
/// Characters that they are at most: words may be long.
const OVERLAP_CHARACTERS: usize = 400;
/// Characters of a heading that each chunk below it names.
const HEADING: usize = 200;
/// Headings alone make a chunk when they are as long as so many.
const HEADINGS_ALONE: usize = 4;

/// A paragraph, heading, list item or row, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) text: String,
    /// The level of the heading that it is, from 1.
    pub(crate) heading: Option<u8>,
    pub(crate) page: Option<u32>,
    pub(crate) row: Option<u32>,
}

impl Block {
    pub(crate) fn paragraph(text: impl Into<String>, page: Option<u32>) -> Self {
        Self { text: text.into(), page, ..Self::default() }
    }

    pub(crate) fn row(text: impl Into<String>, row: u32) -> Self {
        Self { text: text.into(), row: Some(row), ..Self::default() }
    }
}

/// A chunk before it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) place: Place,
    pub(crate) text: String,
}

/// Chunks of about [`SIZE`] characters. A chunk ends between blocks unless one is longer by itself, a heading
/// stays with what follows it, and each chunk repeats the last words of the one before; rows are not repeated,
/// for each stands by itself.
pub(crate) fn chunks(blocks: &[Block]) -> Vec<Draft> {
    let mut cutter = Cutter::default();
    for block in blocks {
        cutter.take(block);
    }
    cutter.close(false);
    cutter.drafts
}

#[derive(Default)]
struct Cutter {
    drafts: Vec<Draft>,
    /// The headings that hold, with their levels.
    headings: Vec<(u8, String)>,
    /// Repeated from the last chunk.
    overlap: String,
    text: String,
    place: Place,
    /// Whether the text is more than headings.
    body: bool,
}

impl Cutter {
    fn take(&mut self, block: &Block) {
        if let Some(level) = block.heading {
            if self.body && self.text.chars().count() >= SIZE / 2 {
                self.close(false);
            }
            self.headings.retain(|(above, _)| *above < level);
            self.headings.push((level, block.text.chars().take(HEADING).collect()));
        }
        for piece in pieces(&block.text, SIZE) {
            let size = self.text.chars().count();
            let full = size + piece.chars().count() > SIZE;
            if (self.body || size > HEADINGS_ALONE * SIZE) && full {
                self.close(block.row.is_none());
            }
            self.add(piece, block);
        }
    }

    fn add(&mut self, piece: &str, block: &Block) {
        if self.text.is_empty() {
            self.place.headings = self.headings.iter().map(|(_, text)| text.clone()).collect();
        } else if !self.body {
            // Only headings so far: what follows stands under all of them.
            self.place.headings = self.headings.iter().map(|(_, text)| text.clone()).collect();
            self.text.push_str("\n\n");
        } else {
            self.text.push_str(if block.row.is_some() { "\n" } else { "\n\n" });
        }
        self.text.push_str(piece);
        self.body |= block.heading.is_none();
        extend(&mut self.place.pages, block.page);
        extend(&mut self.place.rows, block.row);
    }

    /// Ends the chunk; the next one repeats its end if `repeat`.
    fn close(&mut self, repeat: bool) {
        let text = std::mem::take(&mut self.text);
        let place = std::mem::take(&mut self.place);
        let overlap = std::mem::take(&mut self.overlap);
        self.body = false;
        if repeat {
            self.overlap = tail(&text, OVERLAP_WORDS, OVERLAP_CHARACTERS).to_owned();
        }
        if !text.is_empty() {
            let text = if overlap.is_empty() { text } else { format!("{overlap}\n\n{text}") };
            self.drafts.push(Draft { place, text });
        }
    }
}

fn extend(range: &mut Option<(u32, u32)>, with: Option<u32>) {
    if let Some(with) = with {
        *range = Some(range.map_or((with, with), |(first, _)| (first, with)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading(text: &str, level: u8) -> Block {
        Block { text: text.to_owned(), heading: Some(level), ..Block::default() }
    }

    fn words(from: usize, to: usize) -> String {
        (from..to).map(|number| format!("word{number}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn chunks_end_between_paragraphs_and_repeat_about_fifty_words() {
        let blocks: Vec<Block> = (0..6)
            .map(|at| Block::paragraph(words(at * 60, at * 60 + 60), Some(1 + at as u32 / 2)))
            .collect();
        let chunks = chunks(&blocks);
        assert_eq!(chunks.len(), 3);
        assert!(chunks.iter().all(|chunk| chunk.text.chars().count() <= SIZE + 402));
        assert!(chunks[0].text.ends_with("word119"));
        assert!(chunks[1].text.starts_with("word70 word71"), "{}", chunks[1].text);
        assert!(chunks[1].text.contains("word119\n\nword120"));
        assert_eq!(chunks[1].place.to_string(), "page 2");
    }

    #[test]
    fn a_heading_stays_with_what_follows_it_and_names_the_place() {
        let blocks = [
            heading("Guide", 1),
            heading("Setup", 2),
            Block::paragraph(words(0, 100), None),
            heading("Use", 2),
            Block::paragraph("Press the button.", None),
        ];
        let chunks = chunks(&blocks);
        assert_eq!(chunks.len(), 2);
        assert!(chunks[0].text.starts_with("Guide\n\nSetup\n\nword0"));
        assert_eq!(chunks[0].place.to_string(), "Guide > Setup");
        assert_eq!(chunks[1].text, "Use\n\nPress the button.");
        assert_eq!(chunks[1].place.to_string(), "Guide > Use");
    }

    #[test]
    fn a_block_longer_than_a_chunk_is_cut_and_nothing_of_it_is_lost() {
        let text = words(0, 500);
        let chunks = chunks(&[Block::paragraph(text.clone(), None)]);
        assert!(chunks.len() > 3);
        for word in text.split(' ') {
            assert!(chunks.iter().any(|chunk| chunk.text.split_whitespace().any(|w| w == word)));
        }
    }

    #[test]
    fn rows_are_counted_and_not_repeated() {
        let blocks: Vec<Block> = (2..40).map(|row| Block::row(words(0, 10), row)).collect();
        let chunks = chunks(&blocks);
        assert_eq!(chunks[0].place.to_string(), "rows 2-17");
        assert!(chunks[1].place.to_string().starts_with("rows 18-"));
        let rows: usize = chunks.iter().map(|chunk| chunk.text.lines().count()).sum();
        assert_eq!(rows, 38);
    }

    #[test]
    fn headings_alone_are_cut_too_and_long_ones_are_not_repeated_whole() {
        let many: Vec<Block> = (0..2_000).map(|at| heading(&words(at, at + 3), 2)).collect();
        let chunks_of_many = chunks(&many);
        assert!(chunks_of_many.len() > 5);
        assert!(chunks_of_many.iter().all(|chunk| chunk.text.chars().count() < 6 * SIZE));
        let long = [heading(&words(0, 2_000), 1), Block::paragraph(words(0, 2_000), None)];
        let longest = chunks(&long).iter().map(|chunk| chunk.place.to_string().len()).max();
        assert_eq!(longest, Some(HEADING));
    }
}
