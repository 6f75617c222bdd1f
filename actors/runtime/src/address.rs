//! Who a message is for: a kind and a key, wherever the actor lives and whether it is active or not.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names a type of actor. Written into every stored record of its actors, so it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(&'static str);

impl Kind {
    /// Names a kind: lower-case letters, digits and dashes. Anything else does not compile in a
    /// `const`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty(), "a kind needs a name");
        let mut at = 0;
        while at < bytes.len() {
            assert!(
                bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit() || bytes[at] == b'-',
                "a kind is lower-case letters, digits and dashes"
            );
            at += 1;
        }
        Self(name)
    }

    /// The name as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Location-independent name of one actor. Valid across restarts, passivation and moves.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    kind: Cow<'static, str>,
    key: Arc<str>,
}

impl Address {
    /// Names the actor `key` of `kind`. Zero bytes, which would break the order of stored keys,
    /// are replaced by U+FFFD.
    #[must_use]
    pub fn new(kind: impl Into<String>, key: impl Into<String>) -> Self {
        Self { kind: Cow::Owned(without_zeros(kind.into())), key: without_zeros(key.into()).into() }
    }

    /// The same for a kind known here, whose name needs no copy.
    pub(crate) fn of(kind: Kind, key: impl Into<String>) -> Self {
        Self { kind: Cow::Borrowed(kind.as_str()), key: without_zeros(key.into()).into() }
    }

    /// Its kind's name.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its key within the kind.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.key)
    }
}

/// Stored text ends at a zero byte, so it must not contain one.
pub(crate) fn without_zeros(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
