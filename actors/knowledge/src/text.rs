//! Small matters of text: hashes, whitespace and cutting. Pure.

use sha2::{Digest, Sha256};

/// SHA-256 of parts, each preceded by its length, so that no two lists of parts look alike.
pub(crate) fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// SHA-256 of bytes as they are.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The first `bytes` bytes of [`digest`], in hexadecimal.
pub(crate) fn short_digest(parts: &[&str], bytes: usize) -> String {
    hex(&digest(parts)[..bytes])
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes that lower-case hexadecimal digits stand for, if there are just as many.
pub(crate) fn unhex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * BYTES || !text.bytes().all(lower) {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The words of a text with one space between them: what a text is compared and identified by.
pub(crate) fn collapsed(text: &str) -> String {
    let mut words = text.split_whitespace();
    let mut collapsed = words.next().unwrap_or_default().to_owned();
    for word in words {
        collapsed.push(' ');
        collapsed.push_str(word);
    }
    collapsed
}

/// The last `words` words of a text, as it has them, and at most `characters` characters.
pub(crate) fn tail(text: &str, words: usize, characters: usize) -> &str {
    let text = text.trim_end();
    let mut start = text.len();
    let (mut inside, mut seen) = (false, 0);
    for (count, (at, character)) in text.char_indices().rev().enumerate() {
        if count >= characters || (character.is_whitespace() && inside && seen == words) {
            break;
        }
        seen += usize::from(!character.is_whitespace() && !inside);
        inside = !character.is_whitespace();
        if inside {
            start = at;
        }
    }
    &text[start..]
}

/// A text cut into pieces of at most `most` characters, at the end of a sentence or a word if there is one in
/// the second half.
pub(crate) fn pieces(text: &str, most: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while let Some((limit, _)) = rest.char_indices().nth(most) {
        let (piece, more) = rest.split_at(cut(&rest[..limit]));
        pieces.push(piece.trim_end());
        rest = more.trim_start();
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Where to cut after a window that is full.
fn cut(window: &str) -> usize {
    let half = window.len() / 2;
    let sentence = window
        .char_indices()
        .zip(window.chars().skip(1))
        .filter(|((_, mark), next)| matches!(mark, '.' | '!' | '?') && next.is_whitespace())
        .map(|((at, mark), _)| at + mark.len_utf8())
        .last();
    let word = window.rfind(char::is_whitespace);
    let late = |at: &usize| *at >= half && *at > 0;
    sentence.filter(late).or(word.filter(late)).unwrap_or(window.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_read_alike_together_have_different_hashes() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["", "a"]), digest(&["a", ""]));
    }

    #[test]
    fn the_tail_has_whole_words() {
        assert_eq!(tail("one two  three\nfour ", 2, 100), "three\nfour");
        assert_eq!(tail("one two", 9, 100), "one two");
        assert_eq!(tail("one two", 0, 0), "");
        assert_eq!(tail("äöü xyz", 5, 4), "xyz");
    }

    #[test]
    fn long_texts_are_cut_at_sentences_then_words_then_anywhere() {
        let sentences = "First one here. Second one here. Third.";
        assert_eq!(pieces(sentences, 35), ["First one here. Second one here.", "Third."]);
        assert_eq!(pieces("aaaa bbbb cccc", 10), ["aaaa bbbb", "cccc"]);
        assert_eq!(pieces("ääääääää", 3), ["äää", "äää", "ää"]);
        assert_eq!(pieces("   ", 3), Vec::<&str>::new());
    }
}
