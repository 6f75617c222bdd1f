//! YAML, 1.2 core schema, as a tree. What has no meaning in a pipeline is refused: tags, merge keys, keys
//! that are not text, and all that makes a document larger or deeper than a plan is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::scalar;
use super::tree::{self, Data, Key, LARGEST, NESTING, Node, VALUE};
use crate::check::place::{Findings, Place};

/// Bytes of a document.
pub(super) const LONGEST: usize = 1 << 20;
/// The tree of `text`, if it can be read at all. Everything that is refused is among the `findings`, and what
/// it would have been is left out.
pub(crate) fn read(text: &str, findings: &mut Findings) -> Option<Node> {
    let mut tree =
        Tree { findings, open: Vec::new(), root: None, anchors: BTreeMap::new(), room: LARGEST };
    if text.len() > LONGEST {
        tree.refuse(None, "too_large", format!("has {} bytes, more than {LONGEST}", text.len()));
        return None;
    }
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(found) => found,
            Err(error) => {
                let line = Some(error.marker().line());
                tree.refuse(line, "malformed", format!("is not YAML: {}", error.info()));
                return None;
            }
        };
        documents += usize::from(matches!(event, Event::DocumentStart(_)));
        if documents > 1 {
            let line = Some(span.start.line());
            tree.refuse(line, "malformed", "a second document begins; a file holds one");
            return None;
        }
        tree.event(event, span)?;
    }
    if tree.root.is_none() {
        tree.refuse(Some(1), "malformed", "there is nothing in it");
    }
    tree.root
}

struct Tree<'f> {
    findings: &'f mut Findings,
    /// Collections that have begun, from the outermost.
    open: Vec<Open>,
    root: Option<Node>,
    /// What aliases stand for, and the size of it.
    anchors: BTreeMap<usize, (Node, usize)>,
    /// What of the largest document is left.
    room: usize,
}

struct Open {
    line: usize,
    anchor: usize,
    /// When it began.
    room: usize,
    collection: Collection,
}

enum Collection {
    List(Vec<Node>),
    Map(Mapping),
}

#[derive(Default)]
struct Mapping {
    fields: Vec<(Key, Node)>,
    /// The lines of the keys so far.
    keys: BTreeMap<String, usize>,
    /// The key whose value comes next, if its turn has come.
    next: Option<Next>,
}

enum Next {
    Field(Key),
    /// The value of a key that is refused.
    Nothing,
}

impl Tree<'_> {
    /// Takes one event in; nothing if the document is given up.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(text, style, (anchor, tag), line)
            }
            Event::Alias(anchor) => self.alias(anchor, line),
            Event::SequenceStart(anchor, tag) => {
                self.begin(Collection::List(Vec::new()), anchor, tag, line)
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(Collection::Map(Mapping::default()), anchor, tag, line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Some(()),
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        (anchor, tag): (usize, Option<Cow<'_, Tag>>),
        line: usize,
    ) -> Option<()> {
        self.tag(tag, line);
        let size = VALUE + text.len();
        self.grow(size, line)?;
        let data = if style == ScalarStyle::Plain && !self.expects_key() {
            scalar::resolve(&text).unwrap_or_else(|why| {
                self.refuse(Some(line), "malformed", why);
                Data::Text(text.into_owned())
            })
        } else {
            Data::Text(text.into_owned())
        };
        self.put(Node { line: Some(line), data }, anchor, size)
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Option<()> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            self.refuse(Some(line), "malformed", "an alias stands within what it stands for");
            return None;
        };
        let (node, size) = (node.clone(), *size);
        self.grow(size, line)?;
        self.put(node, 0, size)
    }

    fn begin(
        &mut self,
        collection: Collection,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        line: usize,
    ) -> Option<()> {
        self.tag(tag, line);
        if self.open.len() >= NESTING {
            self.refuse(Some(line), "too_large", format!("is more than {NESTING} levels deep"));
            return None;
        }
        let room = self.room;
        self.grow(VALUE, line)?;
        self.open.push(Open { line, anchor, room, collection });
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        let Open { line, anchor, room, collection } = self.open.pop()?;
        let data = match collection {
            Collection::List(items) => Data::List(items),
            Collection::Map(mapping) => Data::Map(mapping.fields),
        };
        self.put(Node { line: Some(line), data }, anchor, room - self.room)
    }

    fn expects_key(&self) -> bool {
        match self.open.last().map(|open| &open.collection) {
            Some(Collection::Map(mapping)) => mapping.next.is_none(),
            Some(Collection::List(_)) | None => false,
        }
    }

    /// Puts a value that is whole where it belongs.
    fn put(&mut self, node: Node, anchor: usize, size: usize) -> Option<()> {
        if anchor > 0 {
            // A copy takes memory as well.
            self.grow(size, node.line.unwrap_or_default())?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.collection) {
            None => self.root = Some(node),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map(mapping)) => match mapping.next.take() {
                Some(Next::Field(key)) => mapping.fields.push((key, node)),
                Some(Next::Nothing) => {}
                None => {
                    let line = node.line;
                    if let Err((code, message)) = mapping.begin(node) {
                        self.refuse(line, code, message);
                    }
                }
            },
        }
        Some(())
    }

    fn tag(&mut self, tag: Option<Cow<'_, Tag>>, line: usize) {
        if let Some(tag) = tag {
            let message = format!("the tag `{tag}` has no meaning here; quote what is text");
            self.refuse(Some(line), "malformed", message);
        }
    }

    fn grow(&mut self, size: usize, line: usize) -> Option<()> {
        let taken = tree::take(&mut self.room, size);
        taken.map_err(|why| self.refuse(Some(line), "too_large", why)).ok()
    }

    fn refuse(&mut self, line: Option<usize>, code: &'static str, message: impl std::fmt::Display) {
        self.findings.error(&Place::default(), code, message);
        self.findings.in_line(line);
    }
}

impl Mapping {
    /// Takes in `node` as the next key, or says why it is none.
    fn begin(&mut self, node: Node) -> Result<(), (&'static str, String)> {
        self.next = Some(Next::Nothing);
        let Data::Text(text) = node.data else {
            let message = "a key must be text; a template must stand in quotes, as in \"{{ … }}\"";
            return Err(("malformed", message.to_owned()));
        };
        if text == "<<" {
            let message = "mappings are not merged; write the keys out";
            return Err(("malformed", message.to_owned()));
        }
        if let Some(line) = self.keys.get(&text) {
            let message = format!("`{text}` stands twice, here and in line {line}");
            return Err(("duplicate_key", message));
        }
        self.keys.insert(text.clone(), node.line.unwrap_or_default());
        self.next = Some(Next::Field(Key { line: node.line, text }));
        Ok(())
    }
}
