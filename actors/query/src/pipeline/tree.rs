//! A document as a tree that knows its lines, whether it was YAML or JSON.

use std::collections::BTreeMap;
use std::iter::successors;

use serde_json::{Map, Number, Value};

use crate::check::place::Place;

/// Lists and mappings within each other.
pub(crate) const NESTING: usize = 32;
/// Bytes of a document with all aliases written out, each value counted with its text and [`VALUE`]: a few
/// lines of aliases of aliases come to more than any memory.
pub(crate) const LARGEST: usize = 4 << 20;
/// Bytes that a value is counted with beside its text.
pub(crate) const VALUE: usize = 64;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// From 1; of text only.
    pub(crate) line: Option<usize>,
    pub(crate) data: Data,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the document, without duplicates.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) line: Option<usize>,
    pub(crate) text: String,
}

impl Node {
    /// The tree of a JSON value, or why it is too large; `room` is what of [`LARGEST`] is left.
    pub(crate) fn of_json(value: &Value, depth: usize, room: &mut usize) -> Result<Self, String> {
        let text = value.as_str().map_or(0, str::len);
        take(room, VALUE + text)?;
        if depth > NESTING {
            return Err(format!("is more than {NESTING} levels deep"));
        }
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(value) => Data::Bool(*value),
            Value::Number(number) => Data::Number(number.clone()),
            Value::String(text) => Data::Text(text.clone()),
            Value::Array(items) => {
                let items = items.iter().map(|item| Self::of_json(item, depth + 1, room));
                Data::List(items.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, field)| {
                    take(room, VALUE + name.len())?;
                    let key = Key { line: None, text: name.clone() };
                    Ok((key, Self::of_json(field, depth + 1, room)?))
                });
                Data::Map(fields.collect::<Result<_, String>>()?)
            }
        };
        Ok(Self { line: None, data })
    }

    pub(crate) fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Data::Map(fields) => {
                let fields = fields.iter().map(|(key, field)| (key.text.clone(), field.to_json()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "true or false",
            Data::Number(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let Data::Map(fields) = &self.data else { return None };
        fields.iter().find(|(key, _)| key.text == name).map(|(_, field)| field)
    }
}

/// Takes `size` bytes of `room`, or says that it is used up.
pub(crate) fn take(room: &mut usize, size: usize) -> Result<(), String> {
    *room = room.checked_sub(size).ok_or_else(|| {
        format!("comes to more than {LARGEST} bytes, {VALUE} for each value beside its text")
    })?;
    Ok(())
}

/// In which lines the parts of a document stand.
#[derive(Debug, Default)]
pub(crate) struct Lines(BTreeMap<(Option<usize>, String), usize>);

impl Lines {
    /// Those of all that is in `root`.
    pub(crate) fn of(root: &Node) -> Self {
        let mut lines = Self::default();
        lines.add(&Place::default(), root.line, root);
        if let Some(Node { data: Data::List(steps), .. }) = root.field("steps") {
            for (at, step) in steps.iter().enumerate() {
                let place = Place { at: Some(at), ..Place::default() };
                lines.add(&place, step.line, step);
            }
        }
        lines
    }

    /// The line of `place`, or of the nearest thing around it that has one.
    pub(crate) fn line(&self, place: &Place) -> Option<usize> {
        let mut around = successors(Some(place.clone()), Place::parent);
        around.find_map(|place| self.0.get(&(place.at, place.path)).copied())
    }

    /// Adds `node` as `place`, with all that is in it.
    pub(crate) fn add(&mut self, place: &Place, line: Option<usize>, node: &Node) {
        let Some(line) = line else { return };
        self.0.insert((place.at, place.path.clone()), line);
        match &node.data {
            Data::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.add(&place.item(at), item.line, item);
                }
            }
            Data::Map(fields) => {
                for (key, field) in fields {
                    self.add(&place.field(&key.text), key.line, field);
                }
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {}
        }
    }
}
