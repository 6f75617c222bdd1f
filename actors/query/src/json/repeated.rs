//! Names that stand twice in an object: readers take one of the values and say nothing of the other.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The place of the first name that an object of `text` has twice, such as `plan.steps[2].arguments.path`. Text that
/// is no JSON is for others to refuse.
#[must_use]
pub fn repeated(text: &[u8]) -> Option<String> {
    let mut search = Search::default();
    let mut reader = serde_json::Deserializer::from_slice(text);
    // What is wrong beside is found by who reads the values.
    drop(Within(&mut search).deserialize(&mut reader));
    search.found
}

#[derive(Default)]
struct Search {
    /// Where the value is that is being read.
    place: String,
    found: Option<String>,
}

impl Search {
    /// Goes into a value, which is at `step` of the one around it, and comes back.
    fn within<E>(
        &mut self,
        step: &str,
        read: impl FnOnce(Within<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = self.place.len();
        self.place.push_str(step);
        let read = read(Within(self));
        self.place.truncate(length);
        read
    }
}

/// A value to be looked through.
struct Within<'a>(&'a mut Search);

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let dot = if self.0.place.is_empty() { "" } else { "." };
            let step = format!("{dot}{name}");
            if !names.insert(name) && self.0.found.is_none() {
                self.0.found = Some(format!("{}{step}", self.0.place));
            }
            if self.0.found.is_some() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            self.0.within(&step, |value| map.next_value_seed(value))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut at = 0_usize;
        loop {
            let mut more = false;
            self.0.within(&format!("[{at}]"), |value| {
                more = list.next_element_seed(value)?.is_some();
                Ok(())
            })?;
            if !more {
                return Ok(());
            }
            at += 1;
        }
    }

    fn visit_bool<E>(self, _value: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _value: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _value: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _value: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _value: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        repeated(text.as_bytes())
    }

    #[test]
    fn a_name_that_stands_twice_is_found_wherever_it_stands() {
        assert_eq!(found(r#"{"a": 1, "b": {"a": 2}, "c": [{"a": 1}, {"a": 1}]}"#), None);
        assert_eq!(found(r#"{"a": 1, "a": 1}"#).as_deref(), Some("a"));
        let deep =
            r#"{"plan": {"steps": [{"id": "a"}, {"arguments": {"path": 1, "p": 2, "path": 3}}]}}"#;
        assert_eq!(found(deep).as_deref(), Some("plan.steps[1].arguments.path"));
        assert_eq!(found(r#"[[{"a": {}, "a": []}]]"#).as_deref(), Some("[0][0].a"));
        assert_eq!(found(r#"{"a": {"b": 1, "b": 2}, "a": 3}"#).as_deref(), Some("a.b"));
    }

    #[test]
    fn the_same_name_written_differently_is_the_same() {
        assert_eq!(found(r#"{"a": 1, "\u0061": 2}"#).as_deref(), Some("a"));
    }

    #[test]
    fn what_is_no_json_is_for_others_to_refuse() {
        for text in ["", "{", "null", "[1, 2.5, -3, true, \"a\"]", r#"{"a": 1e999}"#] {
            assert_eq!(found(text), None, "{text}");
        }
        // Deeper than any reader goes.
        assert_eq!(found(&"[".repeat(100_000)), None);
    }
}
