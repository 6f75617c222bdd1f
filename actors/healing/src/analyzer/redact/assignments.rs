//! Secrets that show by the name they are given to: `name=value`, `"name": "value"`, `--name value`.

use perennial_secret::REDACTED;

use crate::analyzer::redact::shapes;

/// Parts of a name that say it holds a secret in any kind of text.
const STRONG: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secrets",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
    "creds",
    "authorization",
];
/// Parts that say so in an assignment, and are ordinary words in a sentence.
const WEAK: &[&str] = &["pass", "token", "key", "auth", "signature", "sig", "cookie"];
/// Ends of parts written together, as in `PGPASSWORD` and `authtoken`.
const ENDINGS: &[&str] = &["password", "passwd", "passphrase", "secret", "apikey", "credentials"];
/// Values that are no secrets.
const PLAIN: &[&str] =
    &["true", "false", "null", "none", "nil", "yes", "no", "on", "off", "0", "1"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Smell {
    Strong,
    Weak,
}

/// Masks the values of all names that smell of a secret.
pub(super) fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let start = rest.find(in_name).unwrap_or(rest.len());
        let (before, from_name) = rest.split_at(start);
        out.push_str(before);
        let end = from_name.find(|letter| !in_name(letter)).unwrap_or(from_name.len());
        let (name, after) = from_name.split_at(end);
        out.push_str(name);
        rest = after;
        let opens_line = out.get(..out.len() - name.len()).is_some_and(opens_line);
        if let Some(found) = smell(name).and_then(|smell| value(after, name, smell, opens_line)) {
            out.push_str(after.get(..found.start).unwrap_or_default());
            out.push_str(REDACTED);
            rest = after.get(found.end..).unwrap_or_default();
        }
    }
    out
}

fn in_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.')
}

/// Whether only blanks and list marks come before it, as in a dumped configuration file.
fn opens_line(before: &str) -> bool {
    before.chars().all(|letter| letter.is_whitespace() || matches!(letter, '"' | '\''))
}

fn smell(name: &str) -> Option<Smell> {
    let parts = parts(name);
    let any = |list: &[&str]| parts.iter().any(|part| list.contains(&part.as_str()));
    let ending = || parts.iter().any(|part| ENDINGS.iter().any(|end| part.ends_with(end)));
    let token = || parts.iter().any(|part| part.ends_with("token"));
    // A compound such as `api_key` is a name of something; `key` alone may be a word.
    let compound = parts.len() > 1 && !name.ends_with(['-', '.']);
    if any(STRONG) || ending() {
        Some(Smell::Strong)
    } else if any(WEAK) || token() {
        Some(if compound { Smell::Strong } else { Smell::Weak })
    } else {
        None
    }
}

/// Splits at separators and at changes from lower to upper case, all in lower case.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        let splits = !letter.is_ascii_alphanumeric();
        if splits || (was_lower && letter.is_ascii_uppercase()) {
            parts.push(String::new());
        }
        was_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        if let Some(part) = parts.last_mut().filter(|_| !splits) {
            part.push(letter.to_ascii_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Where in `after`, the text behind `name`, its secret value lies.
fn value(
    after: &str,
    name: &str,
    smell: Smell,
    opens_line: bool,
) -> Option<std::ops::Range<usize>> {
    let quoted_name = after.starts_with(['"', '\'', '\\']);
    let closing = after.len() - after.trim_start_matches(['"', '\'', '\\']).len();
    let mark = closing + blanks(after.get(closing..)?);
    let behind = after.get(mark..)?;
    if behind.starts_with("=>") {
        return plain_value(after, mark + 2);
    }
    if behind.starts_with('=') && !behind.starts_with("==") {
        return plain_value(after, mark + 1);
    }
    if behind.starts_with(':') && !behind.starts_with("::") {
        return after_colon(after, mark + 1, smell, opens_line || quoted_name);
    }
    // `--password value`, and `PASSWORD 'value'` as in SQL.
    let flag = name.starts_with("--");
    let quoted = smell == Smell::Strong && behind.starts_with(['"', '\'']);
    if mark > closing && !quoted_name && ((flag && !behind.starts_with('-')) || quoted) {
        return plain_value(after, mark);
    }
    None
}

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// A value with no doubt about it: quoted up to its quote, or up to the next separator.
fn plain_value(after: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let from = from + blanks(after.get(from..)?);
    let value = after.get(from..)?;
    if value.trim_start_matches(['\\', '"', '\'']).starts_with(REDACTED) {
        return None;
    }
    let opening = value.len() - value.trim_start_matches(['\\', '"', '\'']).len();
    let inner = value.get(opening..)?;
    let quote = value.get(..opening)?.chars().last();
    let end = match quote {
        Some(quote) => end_of_quoted(inner, quote),
        None => inner.find(ends_value).unwrap_or(inner.len()),
    };
    let content = inner.get(..end)?;
    let plain = content.is_empty() || PLAIN.iter().any(|p| content.eq_ignore_ascii_case(p));
    (!plain).then_some(from + opening..from + opening + end)
}

fn end_of_quoted(inner: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in inner.char_indices() {
        if letter == quote && !escaped {
            return at;
        }
        // In text that is itself escaped, the closing quote is the escaped one.
        if escaped && letter == quote {
            return at - 1;
        }
        escaped = letter == '\\' && !escaped;
    }
    inner.len()
}

fn ends_value(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '&' | ',' | ';' | '"' | '\'' | ')' | '}' | ']')
}

/// After a colon a sentence may go on, so the value must stand alone or look like a secret.
fn after_colon(
    after: &str,
    from: usize,
    smell: Smell,
    is_entry: bool,
) -> Option<std::ops::Range<usize>> {
    let found = plain_value(after, from)?;
    let content = after.get(found.clone())?;
    let tail = after.get(found.end..)?;
    let header = is_entry || content.eq_ignore_ascii_case("basic");
    if smell == Smell::Strong && header && !after.get(..found.end)?.contains(['"', '\'']) {
        // `password: two words` in a dumped file, `Authorization: Scheme credential` in a header.
        return Some(found.start..after.trim_end().len());
    }
    let alone = tail.is_empty() || tail.starts_with([',', ';', '"', '\'', '}', '\\', '&', ')']);
    let random = content.len() >= 6 && shapes::looks_random(content);
    let sure = match smell {
        Smell::Strong => alone || random || is_entry,
        Smell::Weak => random || (is_entry && alone),
    };
    sure.then_some(found)
}
