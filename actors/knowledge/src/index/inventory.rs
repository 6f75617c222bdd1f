//! What is in the index, counted in one pass: a search for each of a million documents would take minutes.

use std::collections::HashMap;

use tantivy::postings::Postings;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Searcher, SegmentReader, TERMINATED, TantivyError};

/// How many chunks there are of each term of `field`. What was taken out does not count.
pub(super) fn count(
    searcher: &Searcher,
    field: Field,
) -> Result<HashMap<String, usize>, TantivyError> {
    let mut counted = HashMap::new();
    for segment in searcher.segment_readers() {
        let index = segment.inverted_index(field)?;
        let mut terms = index.terms().stream()?;
        while terms.advance() {
            let postings =
                index.read_postings_from_terminfo(terms.value(), IndexRecordOption::Basic)?;
            let Ok(term) = std::str::from_utf8(terms.key()) else { continue };
            let alive = alive(segment, postings);
            match counted.get_mut(term) {
                Some(count) => *count += alive,
                None => drop(counted.insert(term.to_owned(), alive)),
            }
        }
    }
    Ok(counted)
}

fn alive(segment: &SegmentReader, mut postings: impl Postings) -> usize {
    let mut alive = 0;
    let mut chunk = postings.doc();
    while chunk != TERMINATED {
        alive += usize::from(!segment.is_deleted(chunk));
        chunk = postings.advance();
    }
    alive
}
