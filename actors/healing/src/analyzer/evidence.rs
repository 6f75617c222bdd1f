//! What is captured before any action.

use std::time::Duration;

use perennial_runtime::{Effect, EffectPolicy};
use serde::{Deserialize, Serialize};

use crate::analyzer::Analyzer;
use crate::analyzer::redact::Redactor;
use crate::model::{Evidence, IncidentId, Subject};

/// Lines of the log that are kept.
pub const LOG_LINES: usize = 100;
/// Characters of one line that are kept.
pub const LINE_CHARS: usize = 500;
/// Bytes of one line that are looked at: what a single write may pour out has no bound.
const LINE_BYTES: usize = 16 * 1024;
/// The name under which [`Evidence::inspect`] holds the most memory ever used, in bytes.
pub const MEMORY_PEAK: &str = "memory_peak_bytes";

/// Asks the engine for the log tail and an inspection, with secrets redacted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptureEvidence {
    /// On whose behalf.
    pub incident: IncidentId,
    /// Of whom.
    pub subject: Subject,
}

impl Effect for CaptureEvidence {
    const NAME: &'static str = "evidence";
    type Owner = Analyzer;
    type Outcome = Evidence;

    fn policy(&self) -> EffectPolicy {
        EffectPolicy { timeout: Duration::from_secs(5), attempts: 2, ..EffectPolicy::default() }
    }
}

/// The most memory ever used, in bytes, if the evidence holds it.
#[must_use]
pub fn memory_peak(evidence: &Evidence) -> Option<u64> {
    evidence.inspect.get(MEMORY_PEAK)?.parse().ok()
}

/// The last [`LOG_LINES`] of `lines` (oldest first): without secrets, control characters and empty
/// lines, each cut to [`LINE_CHARS`].
pub fn log_tail<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut redactor = Redactor::default();
    // Every line goes through the redactor: a private key may have begun before the tail.
    let mut kept: Vec<String> = lines
        .into_iter()
        .map(|line| clean(line, &mut redactor))
        .filter(|line| !line.is_empty())
        .collect();
    kept.drain(..kept.len().saturating_sub(LOG_LINES));
    kept
}

/// One piece of text as [`log_tail`] keeps it, line ends turned into blanks.
#[must_use]
pub fn one_line(text: &str) -> String {
    clean(&text.replace(['\n', '\r'], " "), &mut Redactor::default())
}

fn clean(line: &str, redactor: &mut Redactor) -> String {
    let mut end = line.len().min(LINE_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let printable = without_controls(line.get(..end).unwrap_or_default());
    let redacted = redactor.line(printable.trim_end());
    // Cut last: half a token no longer has the shape of one.
    match redacted.char_indices().nth(LINE_CHARS) {
        Some((at, _)) => redacted.get(..at).unwrap_or_default().to_owned(),
        None => redacted,
    }
}

/// Drops terminal escape sequences (`ESC [ ... letter`, `ESC ] ... BEL`) and control characters;
/// a tab becomes a blank.
fn without_controls(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\u{1b}', Some('[')) => {
                letters.next();
                letters.by_ref().find(|letter| ('@'..='~').contains(letter));
            }
            ('\u{1b}', Some(']')) => {
                letters.by_ref().find(|letter| *letter == '\u{7}');
            }
            ('\t', _) => out.push(' '),
            (letter, _) if letter.is_control() => {}
            (letter, _) => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hundred_lines_are_kept_and_long_ones_cut() {
        let lines: Vec<String> = (0..150).map(|n| format!("{n} {}", "é".repeat(600))).collect();
        let kept = log_tail(lines.iter().map(String::as_str));
        assert_eq!(kept.len(), LOG_LINES);
        assert!(kept.iter().all(|line| line.chars().count() == LINE_CHARS));
        assert!(kept.first().is_some_and(|line| line.starts_with("50 ")));
    }

    #[test]
    fn control_characters_and_colours_are_stripped() {
        let table = [
            ("\u{1b}[31mERROR\u{1b}[0m down\r", "ERROR down"),
            ("a\tb\u{0}c\u{8}", "a bc"),
            ("\u{1b}]0;title\u{7}ready", "ready"),
            ("cut off \u{1b}[", "cut off"),
        ];
        for (line, want) in table {
            assert_eq!(log_tail([line]), [want], "{line:?}");
        }
    }

    #[test]
    fn a_secret_at_the_cut_is_masked_and_not_halved() {
        let line = format!("{}password=hunter2hunter2", "x ".repeat(244));
        let kept = log_tail([line.as_str()]).concat();
        assert!(!kept.contains("hun"), "{kept}");
    }

    #[test]
    fn a_secret_hidden_by_colours_is_masked() {
        let kept = log_tail(["pass\u{1b}[1mword=hunter2"]);
        assert_eq!(kept, ["password=[redacted]"]);
    }

    #[test]
    fn a_key_that_began_before_the_tail_is_masked_in_it() {
        let begin = ["-----BEGIN ", "PRIVATE KEY-----"].concat();
        let mut lines = vec![begin.as_str()];
        lines.extend(std::iter::repeat_n("MIIabc", 120));
        let kept = log_tail(lines);
        assert!(kept.iter().all(|line| line == "[redacted]"), "{kept:?}");
    }

    #[test]
    fn capturing_is_tried_twice_and_never_hangs() {
        let effect =
            CaptureEvidence { incident: IncidentId::default(), subject: Subject::default() };
        assert_eq!(effect.policy().attempts, 2);
        assert_eq!(effect.policy().timeout, Duration::from_secs(5));
    }
}
