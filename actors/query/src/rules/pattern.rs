//! Regular expressions in rules and of questions.

use std::fmt;

use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The memory that one compiled pattern may take, in bytes. Plenty for what people write; it stops
/// repetitions of repetitions.
const SIZE_LIMIT: usize = 1 << 18;
/// The bytes of a text that is searched. Matching takes the product of both sizes in the worst case, and facts
/// come from outside.
const LONGEST: usize = 1 << 16;

/// A regular expression, in the syntax of the crate `regex`: matched in linear time, without look-around and
/// back-references. It is looked for anywhere in the text, unless it is anchored with `^` and `$`.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    case_sensitive: bool,
    compiled: Regex,
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn new(text: &str, case_sensitive: bool) -> Result<Self, String> {
        let mut builder = RegexBuilder::new(text);
        builder.case_insensitive(!case_sensitive).size_limit(SIZE_LIMIT);
        let compiled = builder.build().map_err(|error| {
            let reason = error.to_string();
            // The last line says what is wrong; those before draw where, over several lines.
            let reason = reason.lines().last().unwrap_or_default();
            format!(
                "`{text}` is not a regular expression: {}",
                reason.trim_start_matches("error: ")
            )
        })?;
        Ok(Self { text: text.to_owned(), case_sensitive, compiled })
    }

    /// Whether `text` matches.
    ///
    /// # Errors
    /// It is too long to be searched.
    pub fn matches(&self, text: &str) -> Result<bool, String> {
        if text.len() > LONGEST {
            return Err(format!("text of more than {LONGEST} bytes is not searched"));
        }
        Ok(self.compiled.is_match(text))
    }

    /// The names of its groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.compiled.capture_names().flatten()
    }

    /// What its named groups match of `text`, where it matches first; groups that take no part are left out.
    #[must_use]
    pub fn captures<'a>(&'a self, text: &'a str) -> Vec<(&'a str, &'a str)> {
        let Some(found) = self.compiled.captures(text) else { return Vec::new() };
        let group = |name| Some((name, found.name(name)?.as_str()));
        self.groups().filter_map(group).collect()
    }

    /// Whether its group `name` could match all of `text`, whatever stands around the group.
    #[must_use]
    pub fn group_fits(&self, name: &str, text: &str) -> bool {
        let mut parser = ParserBuilder::new().case_insensitive(!self.case_sensitive).build();
        let whole = parser.parse(&self.text).ok();
        let group = whole.as_ref().and_then(|whole| group(whole, name));
        let fits = group.and_then(|group| {
            let mut alone = RegexBuilder::new(&format!("^(?:{group})$"));
            alone.size_limit(SIZE_LIMIT).build().ok()
        });
        text.len() <= LONGEST && fits.is_some_and(|alone| alone.is_match(text))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The group `name` of a pattern, without the brackets.
fn group<'p>(pattern: &'p Hir, name: &str) -> Option<&'p Hir> {
    match pattern.kind() {
        HirKind::Capture(capture) if capture.name.as_deref() == Some(name) => Some(&capture.sub),
        HirKind::Capture(capture) => group(&capture.sub, name),
        HirKind::Repetition(repeated) => group(&repeated.sub, name),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().find_map(|part| group(part, name))
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => None,
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/{}/{}", self.text, if self.case_sensitive { "" } else { "i" })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.case_sensitive == other.case_sensitive
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.text, self.case_sensitive).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (text, case_sensitive) = <(String, bool)>::deserialize(deserializer)?;
        Self::new(&text, case_sensitive).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_could_match_fits_it_whatever_stands_around_it() {
        let pattern =
            Pattern::new(r"(?:how is|of) (?P<name>[a-z]\w+)(?: in (?P<year>\d{4}))?", false);
        let pattern = pattern.unwrap();
        for (group, text, fits) in [
            ("name", "Laine", true),
            ("name", "Patrik Laine", false),
            ("name", "../etc", false),
            ("name", "Laine\n", false),
            ("name", "", false),
            ("year", "2024", true),
            ("year", "20245", false),
            ("other", "Laine", false),
        ] {
            assert_eq!(pattern.group_fits(group, text), fits, "{group} {text:?}");
        }
    }
}
