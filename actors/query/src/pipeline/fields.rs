//! The fields of a mapping, each read by its name; what is not read is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use humantime_serde::re::humantime::parse_duration;
use serde_json::Value;

use super::tree::{Data, Node};
use crate::check::place::{Findings, Place};
use crate::plan::StepId;

/// What the same is called in other systems, and here.
const FOREIGN: [(&str, &str); 23] = [
    ("action", "tool"),
    ("args", "arguments"),
    ("condition", "if"),
    ("continue_on_error", "on_failure"),
    ("dependencies", "needs"),
    ("depends_on", "needs"),
    ("for_each", "each"),
    ("foreach", "each"),
    ("framework", "tool"),
    ("max_concurrency", "max_parallel"),
    ("max_retries", "retry"),
    ("on_error", "on_failure"),
    ("parameters", "arguments"),
    ("parameters", "inputs"),
    ("params", "arguments"),
    ("retries", "retry"),
    ("retry_count", "retry"),
    ("roles", "required_roles"),
    ("rule", "id"),
    ("title", "name"),
    ("when", "if"),
    ("when", "conditions"),
    ("with", "arguments"),
];

/// A mapping that is being read.
pub(crate) struct Fields<'n, 'f> {
    fields: &'n [(super::tree::Key, Node)],
    known: BTreeSet<&'static str>,
    pub(crate) place: Place,
    pub(crate) findings: &'f mut Findings,
}

impl<'n, 'f> Fields<'n, 'f> {
    /// Begins to read `node`, if it is a mapping.
    pub(crate) fn of(node: &'n Node, place: &Place, findings: &'f mut Findings) -> Option<Self> {
        let Data::Map(fields) = &node.data else {
            wrong_type(node, place, "a mapping", findings);
            return None;
        };
        Some(Self { fields, known: BTreeSet::new(), place: place.clone(), findings })
    }

    /// The field `name`, if it is there.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.insert(name);
        self.fields.iter().find(|(key, _)| key.text == name).map(|(_, field)| field)
    }

    /// The same, which must be there.
    pub(crate) fn need(&mut self, name: &'static str) -> Option<&'n Node> {
        let found = self.take(name);
        if found.is_none() {
            let place = self.place.field(name);
            self.findings.error(&place, "missing_field", format!("`{name}` is missing"));
        }
        found
    }

    /// Where the field `name` is.
    pub(crate) fn at(&self, name: &str) -> Place {
        self.place.field(name)
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        let node = self.take(name)?;
        text(node, &self.at(name), self.findings)
    }

    pub(crate) fn needed_text(&mut self, name: &'static str) -> Option<String> {
        let node = self.need(name)?;
        text(node, &self.at(name), self.findings)
    }

    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let node = self.take(name)?;
        let flag = match &node.data {
            Data::Bool(flag) => Some(*flag),
            Data::Null | Data::Number(_) | Data::Text(_) | Data::List(_) | Data::Map(_) => None,
        };
        self.typed(name, node, flag, "true or false")
    }

    /// An expression; `true` and `false` are ones that need no quotes.
    pub(crate) fn expression(&mut self, name: &'static str) -> Option<String> {
        let node = self.take(name)?;
        if let Data::Bool(value) = node.data {
            return Some(value.to_string());
        }
        text(node, &self.at(name), self.findings)
    }

    pub(crate) fn count(&mut self, name: &'static str) -> Option<u32> {
        let node = self.take(name)?;
        let count = match &node.data {
            Data::Number(number) => number.as_u64().and_then(|count| u32::try_from(count).ok()),
            Data::Null | Data::Bool(_) | Data::Text(_) | Data::List(_) | Data::Map(_) => None,
        };
        self.typed(name, node, count, "a whole number that is not negative")
    }

    pub(crate) fn number(&mut self, name: &'static str) -> Option<f64> {
        let node = self.take(name)?;
        let number = match &node.data {
            Data::Number(number) => number.as_f64(),
            Data::Null | Data::Bool(_) | Data::Text(_) | Data::List(_) | Data::Map(_) => None,
        };
        self.typed(name, node, number, "a number")
    }

    pub(crate) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        let node = self.take(name)?;
        let place = self.at(name);
        match &node.data {
            Data::Text(text) => match parse_duration(text) {
                Ok(duration) => return Some(duration),
                Err(error) => {
                    let message =
                        format!("`{text}` is no duration such as 500ms, 15s, 2m: {error}");
                    self.findings.error(&place, "invalid_value", message);
                }
            },
            Data::Number(number) => {
                let message = "must be a duration with its unit, such as 500ms, 15s, 2m";
                self.findings.error(&place, "wrong_type", message);
                self.findings.suggest(Some(format!("{number}s")));
            }
            Data::Null | Data::Bool(_) | Data::List(_) | Data::Map(_) => {
                wrong_type(node, &place, "a duration such as 500ms, 15s, 2m", self.findings);
            }
        }
        None
    }

    /// One id of a step.
    pub(crate) fn id(&mut self, name: &'static str) -> Option<StepId> {
        self.text(name).map(StepId)
    }

    /// A mapping as JSON.
    pub(crate) fn object(&mut self, name: &'static str) -> Option<Value> {
        let node = self.take(name)?;
        let object = matches!(node.data, Data::Map(_)).then(|| node.to_json());
        self.typed(name, node, object, "a mapping")
    }

    /// The elements of a list.
    pub(crate) fn list(&mut self, name: &'static str) -> Option<&'n [Node]> {
        let node = self.take(name)?;
        self.typed(name, node, as_list(node), "a list")
    }

    /// A list of texts; elements that are none are told of and left out.
    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<String> {
        let nodes = self.list(name).unwrap_or_default().iter().enumerate();
        let place = self.at(name);
        nodes.filter_map(|(at, node)| text(node, &place.item(at), self.findings)).collect()
    }

    /// Refuses a field that means nothing without another.
    pub(crate) fn misplaced(&mut self, name: &'static str, without: &str) {
        if self.take(name).is_some() {
            let place = self.at(name);
            let message = format!("`{name}` means nothing without {without}");
            self.findings.error(&place, "misplaced_field", message);
        }
    }

    /// Refuses all that was not read.
    pub(crate) fn finish(self) {
        for (key, _) in self.fields.iter().filter(|(key, _)| !self.known.contains(&*key.text)) {
            let known: Vec<&str> = self.known.iter().copied().collect();
            let message = format!("there is no field `{}`", key.text);
            self.findings.error(&self.place.field(&key.text), "unknown_field", message);
            let mut ours = FOREIGN.iter().filter(|(_, ours)| self.known.contains(ours));
            match ours.find(|(foreign, _)| *foreign == key.text) {
                Some((_, ours)) => self.findings.suggest(Some((*ours).to_owned())),
                None => self.findings.suggest_closest(&key.text, known),
            }
        }
    }

    fn typed<T>(&mut self, name: &str, node: &Node, found: Option<T>, wanted: &str) -> Option<T> {
        if found.is_none() {
            wrong_type(node, &self.at(name), wanted, self.findings);
        }
        found
    }
}

/// The text that `node` is.
pub(crate) fn text(node: &Node, place: &Place, findings: &mut Findings) -> Option<String> {
    match &node.data {
        Data::Text(text) => return Some(text.clone()),
        Data::Number(_) | Data::Bool(_) => {
            wrong_type(node, place, "text", findings);
            findings.suggest(Some(format!("\"{}\"", node.to_json())));
        }
        Data::Null | Data::List(_) | Data::Map(_) => wrong_type(node, place, "text", findings),
    }
    None
}

pub(crate) fn as_list(node: &Node) -> Option<&[Node]> {
    match &node.data {
        Data::List(items) => Some(items),
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Map(_) => None,
    }
}

pub(crate) fn wrong_type(node: &Node, place: &Place, wanted: &str, findings: &mut Findings) {
    findings.error(place, "wrong_type", format!("must be {wanted}, not {}", node.kind()));
}
