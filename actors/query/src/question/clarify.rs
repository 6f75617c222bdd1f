//! Questions that are none, or cannot be told from others.

use super::words::normalised;

/// Characters of a question.
pub const LONGEST: usize = 1_000;
/// As many characters, and fewer, ask nothing.
const SHORTEST: usize = 2;
/// What people say before they ask.
const GREETINGS: [&str; 7] = ["hi", "hey", "yo", "ok", "k", "sup", "hello"];
/// Things that can be asked for, as they are offered.
const OFFERED: usize = 10;

/// What is answered to somebody who should ask again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clarification {
    /// For people, the examples included.
    pub text: String,
    /// What can be asked.
    pub examples: Vec<String>,
}

impl Clarification {
    /// What `why` says, and what can be asked: the first few of `examples`.
    pub(super) fn new(why: &str, mut examples: Vec<String>) -> Self {
        examples.truncate(OFFERED);
        let mut text = why.to_owned();
        if !examples.is_empty() {
            text.push_str(" What can be asked, for example:");
        }
        for example in &examples {
            text.push_str("\n- ");
            text.push_str(example);
        }
        Self { text, examples }
    }
}

/// Whether `question` is too short to ask something, has no letter or digit, or only greets.
#[must_use]
pub fn is_ambiguous(question: &str) -> bool {
    let question = question.trim();
    question.chars().count() <= SHORTEST
        || !question.chars().any(char::is_alphanumeric)
        || GREETINGS.contains(&normalised(question).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_signs_and_single_letters_ask_nothing() {
        for question in ["hi", "?", "ok", " hello ", "HEY!", "???!!", "...", "k", "", "  ", "y o"] {
            assert_eq!(is_ambiguous(question), question != "y o", "{question:?}");
        }
    }

    #[test]
    fn what_is_short_and_asks_something_goes_on() {
        for question in ["who is suzuki", "hello world", "why", "ok computer"] {
            assert!(!is_ambiguous(question), "{question:?}");
        }
    }

    #[test]
    fn a_clarification_names_no_more_than_a_few_examples() {
        let many = (0..30).map(|number| format!("example {number}")).collect();
        let clarification = Clarification::new("Ask.", many);
        assert_eq!(clarification.examples.len(), OFFERED);
        assert!(clarification.text.ends_with("- example 9"), "{}", clarification.text);
        assert_eq!(Clarification::new("Ask.", Vec::new()).text, "Ask.");
    }
}
