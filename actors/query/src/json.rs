//! JSON as it is stored.

use std::fmt;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

mod repeated;

pub use repeated::repeated;

/// A JSON value. Stored as its text, for the store's encoding does not describe itself; in a format that
/// does, it is the value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Json(pub Value);

impl Json {
    /// The length of its text, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.to_string().len()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.is_null()
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        let text = serde_json::to_string(&self.0).map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Value::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use perennial_store::{decode, encode};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_the_same_after_it_was_stored() {
        let value = Json(json!({"a": [1, 2.5, null, "x\n"], "b": {"c": true}}));
        assert_eq!(decode::<Json>(&encode(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn in_json_it_is_the_value_itself() {
        let value = Json(json!({"a": 1}));
        assert_eq!(serde_json::to_string(&value).unwrap(), "{\"a\":1}");
    }
}
