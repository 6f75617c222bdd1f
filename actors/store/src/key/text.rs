//! Keys as people read them, in errors and reports.

use std::fmt;

use super::parse::Parts;
use super::{Key, prefix};

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match describe(&self.0) {
            Some(text) => f.write_str(&text),
            None => write!(f, "bytes {}", Hex(&self.0)),
        }
    }
}

/// Returns `None` for bytes that no constructor makes.
fn describe(bytes: &[u8]) -> Option<String> {
    let (prefix, rest) = bytes.split_first()?;
    let mut parts = Parts { rest };
    let text = match *prefix {
        prefix::ATTEMPT => format!("attempt {} {}", parts.actor()?, parts.text()?),
        prefix::DEAD_LETTER => format!("dead letter {}", parts.message()?),
        prefix::EFFECT => format!("effect {}", parts.message()?),
        prefix::INBOX => format!("inbox {} {}", parts.actor()?, parts.message()?),
        prefix::META => format!("meta {}", parts.text()?),
        prefix::POSITION => format!("position {}", parts.text()?),
        prefix::RECEIPT => format!("receipt {}", parts.text()?),
        prefix::ROW => return Some(format!("row {} {}", parts.text()?, Bytes(parts.rest))),
        prefix::STATE => format!("state {}", parts.actor()?),
        prefix::TIMER => format!("timer {} {}", parts.actor()?, parts.text()?),
        prefix::TIMER_DUE => {
            format!("timer due {} {} {}", parts.time()?, parts.actor()?, parts.text()?)
        }
        prefix::RECEIPT_EXPIRY => format!("receipt expiry {} {}", parts.time()?, parts.text()?),
        prefix::CHUNK => {
            let (key, index) = rest.split_last_chunk::<2>()?;
            let key = Key::from_bytes(key);
            return Some(format!("part {} of {key}", u16::from_be_bytes(*index)));
        }
        _ => return None,
    };
    parts.rest.is_empty().then_some(text)
}

impl Parts<'_> {
    fn actor(&mut self) -> Option<String> {
        Some(format!("{}/{}", self.text()?, self.text()?))
    }
}

/// Shows bytes as text where they are plain text, else in hexadecimal.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) if !text.chars().any(char::is_control) => f.write_str(text),
            Ok(_) | Err(_) => write!(f, "0x{}", Hex(self.0)),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
