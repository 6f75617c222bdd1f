//! What an answer claims, and what it rests on. A claim names its evidence by marks such as `[[doc-12#3]]`.

use std::collections::BTreeSet;

/// The longest id that a mark can hold, in bytes. What is longer is text.
const LONGEST: usize = 256;

/// Words that end with a point within a sentence, without it.
const SHORTENED: [&str; 10] = ["approx", "cf", "dr", "e.g", "i.e", "mr", "mrs", "ms", "no", "vs"];

/// An answer of which every claim that names its evidence names evidence that there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is left of the text.
    pub text: String,
    /// The evidence that there is none of, for which sentences were removed; sorted, each once.
    pub unknown: Vec<String>,
}

/// Removes the sentences of `text` of which a mark is not among `known`. Sentences without a mark stay, and so
/// does every byte of the others. A mark behind the end of a sentence belongs to it; a line that ends, ends a
/// sentence.
#[must_use]
pub fn check_claims(text: &str, known: &BTreeSet<&str>) -> Checked {
    let (mut kept, mut unknown) = (String::with_capacity(text.len()), BTreeSet::new());
    let mut at = 0;
    while at < text.len() {
        let end = at + sentence(&text[at..]);
        let sentence = &text[at..end];
        let mut wrong = marks(sentence);
        wrong.retain(|id| !known.contains(id));
        if wrong.is_empty() {
            kept.push_str(sentence);
        } else if sentence.ends_with('\n') && !kept.is_empty() && !kept.ends_with('\n') {
            // What stood before it on its line is still a line of its own.
            kept.truncate(kept.trim_end_matches(' ').len());
            kept.push('\n');
        }
        unknown.extend(wrong.into_iter().map(str::to_owned));
        at = end;
    }
    if unknown.is_empty() {
        return Checked { text: text.to_owned(), unknown: Vec::new() };
    }
    Checked { text: kept.trim_end().to_owned(), unknown: unknown.into_iter().collect() }
}

/// The ids of the marks in `text`.
fn marks(text: &str) -> Vec<&str> {
    let (mut ids, mut at) = (Vec::new(), 0);
    while let Some(found) = text[at..].find("[[") {
        at += found;
        match mark(&text[at..]) {
            Some((id, length)) => {
                ids.push(id);
                at += length;
            }
            // The next bracket may begin one.
            None => at += 1,
        }
    }
    ids
}

/// The mark that begins `text`, if one does: its id, and its length in bytes.
fn mark(text: &str) -> Option<(&str, usize)> {
    let inner = text.strip_prefix("[[")?;
    // No further than a mark can reach: a text of beginnings is long, too.
    let near = &inner.as_bytes()[..inner.len().min(LONGEST + 2)];
    let end = near.iter().position(|byte| matches!(byte, b'[' | b']' | b'\n'))?;
    let id = near[end..].starts_with(b"]]").then(|| inner[..end].trim())?;
    (!id.is_empty()).then_some((id, end + 4))
}

/// The length of the first sentence of `text`, with its marks and the blanks behind it.
fn sentence(text: &str) -> usize {
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        if let Some((_, length)) = mark(&text[at..]) {
            at += length;
            continue;
        }
        at += next.len_utf8();
        if next == '\n' {
            return at;
        }
        if matches!(next, '.' | '!' | '?' | '…') && !is_shortened(&text[..at]) {
            at = behind_marks(text, at);
            if text[at..].chars().next().is_none_or(char::is_whitespace) {
                return behind_blanks(text, at);
            }
        }
    }
    at
}

/// Whether `text`, which ends with a point, ends with a word that is only shortened.
fn is_shortened(text: &str) -> bool {
    let Some(text) = text.strip_suffix('.') else { return false };
    let within = |c: &char| !c.is_whitespace() && *c != '(';
    // One more than the longest of them: of a longer word no more is looked at.
    let last: Vec<char> = text.chars().rev().take_while(within).take(7).collect();
    let word: String = last.iter().rev().flat_map(|c| c.to_lowercase()).collect();
    let initial = last.len() == 1 && last.iter().all(|c| c.is_alphabetic());
    initial || SHORTENED.contains(&word.as_str())
}

/// Where the closing signs and marks at `at` end.
fn behind_marks(text: &str, at: usize) -> usize {
    let closes = |c: char| matches!(c, '.' | '!' | '?' | '"' | '\'' | ')' | '”' | '’' | '»');
    let rest = &text[at..];
    let mut end = at + (rest.len() - rest.trim_start_matches(closes).len());
    loop {
        let rest = text[end..].trim_start_matches(' ');
        match mark(rest) {
            Some((_, length)) => end = text.len() - rest.len() + length,
            None => return end,
        }
    }
}

fn behind_blanks(text: &str, at: usize) -> usize {
    let rest = text[at..].trim_start_matches([' ', '\t', '\r']);
    let line = usize::from(rest.starts_with('\n'));
    text.len() - rest.len() + line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (String, Vec<String>) {
        let Checked { text, unknown } = check_claims(text, &["a", "doc.txt#3"].into());
        (text, unknown)
    }

    fn left(text: &str) -> String {
        checked(text).0
    }

    #[test]
    fn a_claim_on_evidence_that_was_not_retrieved_is_removed_and_its_id_told() {
        let (text, unknown) = checked("It rose [[a]]. It fell [[b]]. It was seen.");
        assert_eq!((text.as_str(), unknown), ("It rose [[a]]. It was seen.", vec!["b".to_owned()]));
        assert_eq!(left("It is so [[a]] and so [[b]]."), "");
        assert_eq!(left("No mark. None."), "No mark. None.");
    }

    #[test]
    fn a_mark_behind_a_sentence_belongs_to_it() {
        assert_eq!(left("It rose. [[b]] It fell. [[a]]"), "It fell. [[a]]");
        assert_eq!(left("It rose.[[a]] [[b]] It fell."), "It fell.");
        assert_eq!(left("He said \"go!\" [[b]]\nIt fell."), "It fell.");
    }

    #[test]
    fn points_in_numbers_ids_and_short_words_end_no_sentence() {
        assert_eq!(left("Dr. A. Smith has 3.5 points, e.g. here [[b]]. Yes."), "Yes.");
        assert_eq!(
            left("As it says [[doc.txt#3]]. No [[doc.txt#4]]."),
            "As it says [[doc.txt#3]]."
        );
    }

    #[test]
    fn lines_are_sentences_and_stay_lines() {
        assert_eq!(left("- one [[a]]\n- two [[b]]\n- three [[a]]\n"), "- one [[a]]\n- three [[a]]");
        assert_eq!(left("One. Two [[b]].\nThree."), "One.\nThree.");
    }

    #[test]
    fn a_long_text_that_only_begins_things_is_read_once() {
        for part in ["[[", ".", "a.", "[[a]", "[[a]].", "x[["] {
            let text = part.repeat(300_000);
            assert_eq!(left(&text), text.trim_end());
        }
    }

    #[test]
    fn what_is_no_mark_is_text() {
        for text in ["[[1, 2], [3]]", "[[ ]] [[]]", "a [[b", "[b]", "[[x\ny]]", "grüße [[a]] …"]
        {
            assert_eq!(checked(text), (text.to_owned(), Vec::new()));
        }
        assert_eq!(left("x [[[b]]."), "");
    }
}
