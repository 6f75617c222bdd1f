//! Makes untrusted text fit for an index and a model: takes out what is meant to act rather than to be read,
//! counts what it took, and leaves every other text as it is, byte for byte. Pure.
//!
//! It looks for forms, not for meanings, so it is one layer of several: text that passes is still untrusted.
//! To leave ordinary text alone it asks for more than a word: a phrase of command must begin a clause, a climb
//! out of a folder must lead to a place of the system, a tag must be closed or refer to something.

use std::borrow::Cow;
use std::collections::BTreeMap;

use regex::{Captures, Regex};
use serde::{Deserialize, Serialize};

/// What stands in the place of what was taken out.
pub const MARKER: &str = "[removed]";
/// Characters below which a text says nothing.
pub const MIN_CHARACTERS: usize = 10;

/// What a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Any text.
    #[default]
    Plain,
    /// A table of contents: page numbers at the ends of lines are taken off.
    Toc,
    /// An index of terms: letters that stand alone on a line are taken out.
    Index,
}

/// What is taken out beyond what always is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SanitizeOptions {
    /// Fenced code blocks.
    pub code_fences: bool,
    /// Addresses of Markdown links and images; their words stay.
    pub markdown: bool,
}

/// A text after it was sanitised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sanitized {
    /// What is left.
    pub text: String,
    /// How often something was taken out, by the name of the pattern.
    pub counts: BTreeMap<&'static str, u64>,
    /// Whether less is left than says anything.
    pub too_short: bool,
}

/// How a match is replaced.
#[derive(Clone, Copy, Debug)]
enum Replacement {
    /// By the marker.
    Marked,
    /// By its group `keep`, then the marker.
    AfterKept,
    /// By its group `keep` alone.
    Kept,
}

#[derive(Debug)]
struct Pattern {
    name: &'static str,
    regex: Regex,
    replacement: Replacement,
}

/// The patterns, ready for use.
#[derive(Debug)]
pub struct Sanitizer {
    fences: Vec<Pattern>,
    markdown: Vec<Pattern>,
    always: Vec<Pattern>,
    /// Tags that act on events, and what in them does.
    tags: Regex,
    handlers: Regex,
    toc: Vec<Pattern>,
    index: Vec<Pattern>,
}

/// What may stand before a command: the beginning of a clause and words that only urge.
const CLAUSE: &str = r#"(?im)(?P<keep>(?:^|[.!?:;,"'“”‘(\[>*#-])[ \t]*(?:(?:please|now|and|then|but|so|also|just|kindly|important|you must|you should|you will)[ \t,:!]+)*)"#;

/// Names and expressions of what is always taken out, in order.
const ALWAYS: [(&str, &str, Replacement); 9] = [
    ("script", r"(?is)<script\b[^>]*>.*?</script\s*>", Replacement::Marked),
    ("script", r"(?i)<script\b[^>]*\bsrc\s*=[^>]*>", Replacement::Marked),
    (
        "frame",
        r"(?is)<iframe\b[^>]*>.*?</iframe\s*>|<object\b[^>]*>.*?</object\s*>|<(?:iframe|embed|object)\b[^>]*\b(?:src|srcdoc|data)\s*=[^>]*>",
        Replacement::Marked,
    ),
    ("script_link", r#"(?i)\b(?:javascript|vbscript):[^\s"'<>]*\([^\s"'<>]*"#, Replacement::Marked),
    (
        "path_traversal",
        r"(?i)(?:(?:\.\.|%2e%2e)(?:/|\\|%2f|%5c)){2,}(?:(?:etc|proc|root|winnt|var/(?:log|run|lib))(?:/|\\|%2f|%5c)|(?:windows(?:/|\\|%5c)(?:system32|win\.ini|system\.ini)|boot\.ini|\.ssh|\.aws|\.env)\b)(?:[\w./\\%-]*\w)?",
        Replacement::Marked,
    ),
    (
        "role_marker",
        r"(?im)<\|(?:im_start|im_end|im_sep|system|user|assistant|endoftext|begin_of_text|start_header_id|end_header_id|eot_id)\|>|\[/?INST\]|<</?SYS>>|^[ \t]*###[ \t]*(?:instruction|system)s?[ \t]*:",
        Replacement::Marked,
    ),
    (
        "instruction",
        r"(?:ignore|disregard|forget|override|bypass|(?:do not|don't|stop) (?:follow|obey)(?:ing)?)\s+(?:(?:all|any|each|every|of|the|your|my|our|these|those)\s+)*(?:previous|prior|above|earlier|preceding|foregoing|former|system|original|initial|existing)\s+(?:(?:safety|system|user|developer|security|content|and)\s+){0,2}(?:instructions?|prompts?|rules|directions|directives?|guidelines?|commands?|messages?|constraints?)\b",
        Replacement::AfterKept,
    ),
    (
        "instruction",
        r"(?:reveal|print|show|repeat|output|disclose|leak|expose)\s+(?:me\s+|us\s+)?(?:your|the)\s+(?:system|hidden|initial|original|secret)\s+(?:prompt|instructions|message)\b",
        Replacement::AfterKept,
    ),
    (
        "instruction",
        r"(?:you are now|act as|pretend to be|switch to|enter)\s+(?:an?\s+|in\s+|the\s+)*(?:developer mode|god mode|jailbreak(?:ed)?(?: mode)?|dan mode|unrestricted (?:ai|assistant|model)|unfiltered (?:ai|assistant|model))\b",
        Replacement::AfterKept,
    ),
];

/// A tag with something that acts on an event. Braces are left alone: they are code, not markup.
const HANDLER_TAG: &str = r"(?i)<[a-z][^<>]*\son[a-z]+\s*=[^<>]*>";
const HANDLER: &str = r#"(?i)\son(?:abort|animation[a-z]*|before[a-z]*|blur|change|click|contextmenu|copy|cut|dblclick|drag[a-z]*|drop|error|focus[a-z]*|hashchange|input|key[a-z]*|load[a-z]*|message|mouse[a-z]*|paste|pointer[a-z]*|reset|resize|scroll|select|submit|toggle|touch[a-z]*|unload|wheel)\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'{>][^\s>]*)"#;

impl Sanitizer {
    /// Prepares the patterns.
    ///
    /// # Errors
    ///
    /// A pattern that cannot be compiled, which a test rules out.
    pub fn new() -> Result<Self, regex::Error> {
        let pattern = |name, text: &str, replacement| {
            Ok::<_, regex::Error>(Pattern { name, regex: Regex::new(text)?, replacement })
        };
        let mut always = Vec::new();
        for (name, text, replacement) in ALWAYS {
            let text = match replacement {
                Replacement::AfterKept => format!("{CLAUSE}{text}"),
                Replacement::Marked | Replacement::Kept => text.to_owned(),
            };
            always.push(pattern(name, &text, replacement)?);
        }
        let fence = r"(?ms)^(?:```|~~~).*?^(?:```|~~~)[ \t]*$";
        let link = r"!?\[(?P<keep>[^\]\n]*)\]\([^)\s]*\)";
        let page = r"(?im)^(?P<keep>.*?\S)(?:[ \t]*\.{2,}[ \t]*|[ \t]+(?:page|pp?\.)[ \t]*|[ \t]{2,}|\t)\d+[ \t]*$";
        let letter = r"(?m)^[ \t]*\p{Alphabetic}[ \t]*(?:\r?\n|\z)";
        Ok(Self {
            fences: vec![pattern("code_fence", fence, Replacement::Marked)?],
            markdown: vec![pattern("markdown_link", link, Replacement::Kept)?],
            always,
            tags: Regex::new(HANDLER_TAG)?,
            handlers: Regex::new(HANDLER)?,
            toc: vec![pattern("toc_page", page, Replacement::Kept)?],
            index: vec![pattern("index_letter", letter, Replacement::Kept)?],
        })
    }

    /// Sanitises `text`.
    #[must_use]
    pub fn sanitize(&self, text: &str, purpose: Purpose, options: &SanitizeOptions) -> Sanitized {
        let mut counts = BTreeMap::new();
        let mut text = visible(text, &mut counts);
        let optional = [(options.code_fences, &self.fences), (options.markdown, &self.markdown)];
        let chosen = optional.into_iter().filter(|(chosen, _)| *chosen);
        for pattern in chosen.flat_map(|(_, patterns)| patterns).chain(&self.always) {
            text = replaced(text, pattern, &mut counts);
        }
        text = self.without_handlers(text, &mut counts);
        let structure: &[Pattern] = match purpose {
            Purpose::Plain => &[],
            Purpose::Toc => &self.toc,
            Purpose::Index => &self.index,
        };
        for pattern in structure {
            text = replaced(text, pattern, &mut counts);
        }
        let too_short = text.trim().chars().count() < MIN_CHARACTERS;
        Sanitized { text: text.into_owned(), counts, too_short }
    }

    /// Takes what acts on events out of tags.
    fn without_handlers<'a>(
        &self,
        text: Cow<'a, str>,
        counts: &mut BTreeMap<&'static str, u64>,
    ) -> Cow<'a, str> {
        let mut found = 0;
        let strip = |captures: &Captures<'_>| {
            found += self.handlers.find_iter(&captures[0]).count();
            self.handlers.replace_all(&captures[0], "").into_owned()
        };
        let stripped = self.tags.replace_all(&text, strip).into_owned();
        if found == 0 {
            return text;
        }
        count(counts, "event_handler", found);
        Cow::Owned(stripped)
    }
}

/// `text` without characters that nobody sees and models read: controls other than tabs and line ends,
/// overrides of the direction of writing, and tag characters outside of flags.
fn visible<'a>(text: &'a str, counts: &mut BTreeMap<&'static str, u64>) -> Cow<'a, str> {
    let is_tag = |c: char| ('\u{e0000}'..='\u{e007f}').contains(&c);
    let mut flag = false;
    let mut hidden = |c: char| {
        // A flag of a region is a black flag and tag characters.
        flag = c == '\u{1f3f4}' || (flag && is_tag(c));
        let control = c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{85}');
        control || matches!(c, '\u{202d}' | '\u{202e}') || (is_tag(c) && !flag)
    };
    let kept: String = text.chars().filter(|c| !hidden(*c)).collect();
    if kept.len() == text.len() {
        return Cow::Borrowed(text);
    }
    count(counts, "invisible", text.chars().count() - kept.chars().count());
    Cow::Owned(kept)
}

fn replaced<'a>(
    text: Cow<'a, str>,
    pattern: &Pattern,
    counts: &mut BTreeMap<&'static str, u64>,
) -> Cow<'a, str> {
    let mut found = 0;
    let replace = |captures: &Captures<'_>| {
        found += 1;
        let kept = captures.name("keep").map_or("", |kept| kept.as_str());
        match pattern.replacement {
            Replacement::Marked => MARKER.to_owned(),
            Replacement::AfterKept => format!("{kept}{MARKER}"),
            Replacement::Kept => kept.to_owned(),
        }
    };
    let replaced = match pattern.regex.replace_all(&text, replace) {
        Cow::Borrowed(_) => None,
        Cow::Owned(replaced) => Some(replaced),
    };
    let Some(replaced) = replaced else { return text };
    count(counts, pattern.name, found);
    Cow::Owned(replaced)
}

fn count(counts: &mut BTreeMap<&'static str, u64>, name: &'static str, found: usize) {
    *counts.entry(name).or_default() += u64::try_from(found).unwrap_or(u64::MAX);
}

#[cfg(test)]
mod tests;
