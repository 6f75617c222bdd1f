//! Secrets that show by their own shape: in URLs, after an authentication scheme, or as a word.

use perennial_secret::REDACTED;

/// Beginnings of issued tokens, and how many more characters make it one.
const TOKENS: &[(&str, usize)] = &[
    ("AKIA", 16),
    ("ASIA", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("xoxa-", 10),
    ("xoxb-", 10),
    ("xoxe-", 10),
    ("xoxp-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("sk-", 20),
    ("sk_live_", 16),
    ("rk_live_", 16),
    ("AIza", 30),
    ("npm_", 30),
    ("hf_", 20),
    ("SG.", 20),
];

/// Hosts and paths whose URL is itself the credential.
const WEBHOOKS: &[&str] = &["//hooks.", "/webhook", ".webhook."];

/// Words a token follows in an `Authorization` header.
const SCHEMES: &[&str] = &["bearer", "basic", "digest", "token"];

/// Masks the password of `scheme://user:password@host` and everything after the host of a webhook.
pub(super) fn mask_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        let end = tail.find(ends_url).unwrap_or(tail.len());
        let (url, after) = tail.split_at(end);
        out.push_str(head);
        out.push_str(&masked_url(url));
        rest = after;
    }
    out + rest
}

fn ends_url(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '"' | '\'' | '<' | '>' | '`' | '|' | ')' | ']')
}

/// `url` is what follows the scheme's `://`.
fn masked_url(url: &str) -> String {
    let url = match credentials(url) {
        Some((user, host)) => format!("{user}:{REDACTED}@{host}"),
        None => url.to_owned(),
    };
    let lower = format!("//{}", url.to_ascii_lowercase());
    match url.find('/') {
        Some(slash) if WEBHOOKS.iter().any(|mark| lower.contains(mark)) => {
            format!("{}/{REDACTED}", url.get(..slash).unwrap_or_default())
        }
        Some(_) | None => url,
    }
}

/// User and the rest after the password. A password may hold an unescaped slash, so only a port
/// before the first slash tells that there is none.
fn credentials(url: &str) -> Option<(&str, &str)> {
    let (before, host) = url.rsplit_once('@')?;
    let (user, password) = before.split_once(':')?;
    let port = password.split('/').next().unwrap_or_default();
    let has_path = password.contains('/') || user.contains(['/', '?', '#']);
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if user.contains(['/', '?', '#']) || (has_path && is_port) {
        return None;
    }
    Some((user, host))
}

/// Masks words that have the shape of an issued token, or of a signed web token (`eyJ`, two dots).
pub(super) fn mask_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter| !in_token(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        out.push_str(if is_token(word) { REDACTED } else { word });
        let next = after.find(in_token).unwrap_or(after.len());
        let (between, tail) = after.split_at(next);
        out.push_str(between);
        rest = tail;
    }
    out
}

fn in_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.')
}

fn is_token(word: &str) -> bool {
    let issued = TOKENS.iter().any(|(start, more)| {
        word.strip_prefix(start).is_some_and(|rest| rest.len() >= *more && looks_random(rest))
    });
    let signed = word.starts_with("eyJ") && word.len() >= 20 && word.split('.').count() >= 3;
    issued || signed
}

/// Issued tokens mix digits with letters; names and sentences rarely do.
pub(super) fn looks_random(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let mixed_case = text.bytes().skip(1).any(|byte| byte.is_ascii_uppercase())
        && text.bytes().any(|byte| byte.is_ascii_lowercase());
    letters > 0 && (digits > 0 || mixed_case)
}

/// Masks what follows `Bearer`, `Basic` and the like, when it looks like a credential and not like
/// the next word of a sentence.
pub(super) fn mask_schemes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut follows_scheme = false;
    while !rest.is_empty() {
        let end = rest.find(|letter| !in_credential(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let secret = follows_scheme && word.len() >= 8 && (looks_random(word) || word.len() >= 32);
        out.push_str(if secret { REDACTED } else { word });
        let next = after.find(in_credential).unwrap_or(after.len());
        let (between, tail) = after.split_at(next);
        out.push_str(between);
        follows_scheme = between.trim().is_empty()
            && SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
        rest = tail;
    }
    out
}

/// The alphabet of credentials after a scheme (RFC 6750 and RFC 7235: token68).
fn in_credential(letter: char) -> bool {
    in_token(letter) || matches!(letter, '~' | '+' | '/' | '=')
}
