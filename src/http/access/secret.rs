//! The text of an API key: what is shown once, and what is sent with each request.

use std::fmt;

use perennial_query::keys::SecretHash;
use sha2::{Digest, Sha256};

use crate::http::error::ApiError;

/// What the text of every key begins with, so that people and programs that look for secrets know it.
pub(in crate::http) const PREFIX: &str = "pk_";

/// An API key, as its holder knows it.
pub(in crate::http) struct ApiKey {
    /// Which one.
    pub(in crate::http) number: u64,
    secret: [u8; 32],
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ApiKey").field("number", &self.number).finish_non_exhaustive()
    }
}

impl ApiKey {
    /// A new secret, of the operating system's chance; its number is not known yet.
    pub(in crate::http) fn random() -> Result<Self, ApiError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| {
            ApiError::Internal(format!("the system gave no random bytes for a secret: {error}"))
        })?;
        Ok(Self { number: 0, secret })
    }

    /// The same secret under this number.
    pub(in crate::http) fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// The key of a text such as `pk_7_` and 64 hexadecimal digits.
    pub(in crate::http) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_prefix(PREFIX)?;
        let (number, digits) = text.split_once('_')?;
        let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && digits.is_ascii();
        if !plain || digits.len() != 64 {
            return None;
        }
        let mut secret = [0; 32];
        for (at, byte) in secret.iter_mut().enumerate() {
            let high = char::from(digits.as_bytes()[2 * at]).to_digit(16)?;
            let low = char::from(digits.as_bytes()[2 * at + 1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self { number: number.parse().ok()?, secret })
    }

    /// What is kept of it.
    pub(in crate::http) fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.secret).into())
    }

    /// The whole key, to be shown once.
    pub(in crate::http) fn reveal(&self) -> String {
        let digits: String = self.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{}_{digits}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_shown() {
        let key = ApiKey::random().unwrap().numbered(7);
        let read = ApiKey::parse(key.reveal().as_bytes()).unwrap();
        assert_eq!((read.number, read.secret, read.hash()), (7, key.secret, key.hash()));
    }

    #[test]
    fn no_two_secrets_are_the_same() {
        assert_ne!(ApiKey::random().unwrap().secret, ApiKey::random().unwrap().secret);
    }

    #[test]
    fn what_is_no_key_is_none() {
        let digits = "ab".repeat(32);
        assert!(ApiKey::parse(format!("pk_7_{digits}").as_bytes()).is_some());
        for text in [
            String::new(),
            "pk_7_".to_owned(),
            format!("pk__{digits}"),
            format!("pk_+7_{digits}"),
            format!("PK_7_{digits}"),
            format!("pk_7_{digits}0"),
            format!("pk_7_{}g", &digits[..63]),
            format!("pk_7_+{}", &digits[..63]),
            format!("pk_7_{}ä", &digits[..62]),
            format!("pk_99999999999999999999_{digits}"),
        ] {
            assert!(ApiKey::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_key_does_not_show_its_secret() {
        let key = ApiKey::random().unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey { number: 0, .. }");
    }
}
