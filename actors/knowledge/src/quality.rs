//! Whether a document is worth keeping. Pure.

use serde::{Deserialize, Serialize};

use crate::sanitize::MIN_CHARACTERS;

/// Of as many characters, one may be of no text: a control character or one that could not be read.
const BINARY_SHARE: u64 = 10;

/// Why a document is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no letter or digit in it.
    NoText,
    /// It has fewer characters than say anything.
    TooShort,
    /// Much of it is not text.
    MostlyBinary,
}

impl Refusal {
    /// The name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoText => "no_text",
            Self::TooShort => "too_short",
            Self::MostlyBinary => "mostly_binary",
        }
    }

    /// The reason and what to do, for people.
    #[must_use]
    pub fn reason(self) -> String {
        match self {
            Self::NoText => {
                "there is no text in it; a scanned document must be recognised first".to_owned()
            }
            Self::TooShort => format!("it has fewer than {MIN_CHARACTERS} characters of text"),
            Self::MostlyBinary => {
                "much of it is not text; give its format, or its bytes as content_base64".to_owned()
            }
        }
    }
}

/// What the text of a document is made of, without its whitespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// Characters.
    pub characters: u64,
    /// Those of them that are letters or digits.
    pub meaningful: u64,
    /// Those that are no text: control characters, and what could not be read.
    pub strange: u64,
}

/// Counts what texts are made of.
pub fn measure<'a>(texts: impl IntoIterator<Item = &'a str>) -> Quality {
    let mut found = Quality::default();
    for character in texts.into_iter().flat_map(str::chars) {
        if character.is_whitespace() {
            continue;
        }
        found.characters += 1;
        found.meaningful += u64::from(character.is_alphanumeric());
        found.strange +=
            u64::from(character.is_control() || character == char::REPLACEMENT_CHARACTER);
    }
    found
}

/// Judges the texts of a document before they are sanitised: nothing that was taken out may hide from this.
///
/// # Errors
///
/// Why the document is not kept.
pub fn judge<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<(), Refusal> {
    let Quality { characters: all, meaningful, strange } = measure(texts);
    if strange * BINARY_SHARE > all {
        Err(Refusal::MostlyBinary)
    } else if meaningful == 0 {
        Err(Refusal::NoText)
    } else if all < MIN_CHARACTERS as u64 {
        Err(Refusal::TooShort)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_short_or_binary_is_refused_for_that_reason() {
        assert_eq!(judge([]), Err(Refusal::NoText));
        assert_eq!(judge(["  --- *** ---  "]), Err(Refusal::NoText));
        assert_eq!(judge(["Hi"]), Err(Refusal::TooShort));
        assert_eq!(judge(["\u{1}\u{2}PNG\u{fffd}\u{fffd} abcdefghij"]), Err(Refusal::MostlyBinary));
        assert_eq!(judge(["Short, but", "enough"]), Ok(()));
    }
}
