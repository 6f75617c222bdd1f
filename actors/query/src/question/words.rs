//! Questions as words.

/// What may end a question without meaning anything. Other signs may: `c` and `c++` are two things.
const ENDS: [char; 8] = ['.', '?', '!', ',', ';', ':', '…', '¿'];

/// `question` in lower case, with single blanks and without the punctuation at its end: what two people who
/// ask the same have in common.
#[must_use]
pub fn normalised(question: &str) -> String {
    let lower = question.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let ends = |c: char| ENDS.contains(&c) || c.is_whitespace();
    words.join(" ").trim_end_matches(ends).to_owned()
}

/// A word without the punctuation around it.
pub(super) fn trimmed(word: &str) -> &str {
    word.trim_matches(|c: char| ENDS.contains(&c))
}

/// The words of a text, in lower case and without the signs between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let lower = text.to_lowercase();
        let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        Self(words.map(str::to_owned).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `phrase` is among them, its words one after the other.
    pub(super) fn contain(&self, phrase: &Self) -> bool {
        phrase.len() > 0 && self.0.windows(phrase.len()).any(|words| words == phrase.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ways_to_write_a_question_are_one_question() {
        assert_eq!(normalised("  Who  is\tSuzuki?! "), "who is suzuki");
        assert_eq!(normalised("who is suzuki ?"), "who is suzuki");
        assert_ne!(normalised("What is C++?"), normalised("What is C?"));
    }

    #[test]
    fn a_phrase_is_found_as_whole_words_only() {
        let question = Words::of("Caufield's power-play goals");
        assert!(question.contain(&Words::of("Power play")));
        assert!(!question.contain(&Words::of("goal")));
        assert!(!question.contain(&Words::of("power goals")));
        assert!(!question.contain(&Words::of("?")));
    }
}
