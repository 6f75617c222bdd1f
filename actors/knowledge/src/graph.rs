//! How documents and their parts belong together: a graph that is made from them when it is asked for. Pure.
//!
//! Ids are made from content, so they are the same wherever and whenever a document was read: a document's own
//! id, then for its parts the id, a slash and a hash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use crate::document::{Document, DocumentId};
use crate::text::short_digest;

/// How far a walk may go.
pub const MOST_DEPTH: u32 = 5;

/// How two nodes belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// A document or a section has a section, by its headings.
    HasSection,
    /// A document has a term, by its index.
    HasTerm,
    /// A term or a section is on a page.
    AppearsOn,
    /// A document refers to another, or to an address.
    LinksTo,
    /// A document is referred to by another.
    LinkedFrom,
}

impl Relation {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 5] = [
        ("has_section", Self::HasSection),
        ("has_term", Self::HasTerm),
        ("appears_on", Self::AppearsOn),
        ("links_to", Self::LinksTo),
        ("linked_from", Self::LinkedFrom),
    ];
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A document.
    Document,
    /// A part of one, by its headings.
    Section,
    /// An entry of its index.
    Term,
    /// A page of it.
    Page,
    /// An address outside, or a name that no document has.
    Address,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Names it.
    pub id: String,
    /// What it is.
    pub kind: NodeKind,
    /// For people.
    pub label: String,
    /// Steps from where the walk began.
    pub depth: u32,
}

/// Two nodes that belong together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// The id of one.
    pub from: String,
    /// How.
    pub relation: Relation,
    /// The id of the other.
    pub to: String,
}

/// What a walk came across.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// In the order in which they were met; the first is where it began.
    pub nodes: Vec<Node>,
    /// Between them.
    pub edges: Vec<Edge>,
    /// Whether there was more than the limit.
    pub truncated: bool,
}

/// A document as a link or a node shows it: its id and title.
pub(crate) type Reference = (DocumentId, String);

/// One document's part of the graph.
#[derive(Debug, Default)]
pub(crate) struct Part {
    nodes: BTreeMap<String, (NodeKind, String)>,
    edges: BTreeMap<String, Vec<(Relation, String)>>,
}

impl Part {
    /// The graph of a document. `resolve` finds the document that a link's target names, and `linked_from` are
    /// those that refer to this one.
    pub(crate) fn new(
        document: &Document,
        resolve: &dyn Fn(&str) -> Option<Reference>,
        linked_from: &[Reference],
    ) -> Self {
        let mut part = Self::default();
        let root = document.header.id.to_string();
        part.node(&root, NodeKind::Document, &document.header.title);
        part.sections(document, &root);
        part.terms(document, &root);
        for link in &document.header.links {
            let (id, kind, label) = match resolve(&link.target) {
                Some((id, title)) => (id.to_string(), NodeKind::Document, title),
                None => (address(&link.target), NodeKind::Address, link.target.clone()),
            };
            part.node(&id, kind, &label);
            part.edge(&root, Relation::LinksTo, &id);
        }
        for (id, title) in linked_from {
            part.node(id.as_str(), NodeKind::Document, title);
            part.edge(&root, Relation::LinkedFrom, id.as_str());
        }
        part
    }

    fn node(&mut self, id: &str, kind: NodeKind, label: &str) {
        self.nodes.entry(id.to_owned()).or_insert_with(|| (kind, label.to_owned()));
    }

    fn edge(&mut self, from: &str, relation: Relation, to: &str) {
        let edges = self.edges.entry(from.to_owned()).or_default();
        let edge = (relation, to.to_owned());
        if !edges.contains(&edge) {
            edges.push(edge);
        }
    }

    fn page(&mut self, root: &str, from: &str, page: u32) {
        let id = format!("{root}/page-{page}");
        self.node(&id, NodeKind::Page, &format!("page {page}"));
        self.edge(from, Relation::AppearsOn, &id);
    }

    fn sections(&mut self, document: &Document, root: &str) {
        // The headings above, with their levels and ids.
        let mut above: Vec<(u8, String)> = Vec::new();
        let mut seen: BTreeMap<(String, String), u32> = BTreeMap::new();
        for heading in &document.headings {
            above.retain(|(level, _)| *level < heading.level);
            let parent = above.last().map_or_else(|| root.to_owned(), |(_, id)| id.clone());
            let again = seen.entry((parent.clone(), heading.text.clone())).or_default();
            *again += 1;
            let parts = ["section", &parent, &heading.text, &again.to_string()];
            let id = format!("{root}/section-{}", short_digest(&parts, 8));
            self.node(&id, NodeKind::Section, &heading.text);
            self.edge(&parent, Relation::HasSection, &id);
            heading.page.into_iter().for_each(|page| self.page(root, &id, page));
            above.push((heading.level, id));
        }
    }

    fn terms(&mut self, document: &Document, root: &str) {
        for term in &document.terms {
            let id = format!("{root}/term-{}", short_digest(&["term", &term.text], 8));
            self.node(&id, NodeKind::Term, &term.text);
            self.edge(root, Relation::HasTerm, &id);
            term.pages.iter().for_each(|page| self.page(root, &id, *page));
        }
    }
}

fn address(target: &str) -> String {
    format!("address-{}", short_digest(&["address", target], 8))
}

/// The document that a node belongs to.
pub(crate) fn document_of(node: &str) -> Option<DocumentId> {
    DocumentId::parse(node.split('/').next().unwrap_or_default())
}

/// How far a walk goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Only along these, if given.
    pub(crate) relation: Option<Relation>,
    pub(crate) depth: u32,
    /// Nodes.
    pub(crate) limit: usize,
}

/// Walks from a node, the near before the far. `load` gives the part of a document, if there is one to see. None
/// if there is no such node.
pub(crate) fn walk<E>(
    from: &str,
    bounds: Bounds,
    load: &mut dyn FnMut(&DocumentId) -> Result<Option<Part>, E>,
) -> Result<Option<Walk>, E> {
    let mut parts: BTreeMap<DocumentId, Option<Part>> = BTreeMap::new();
    let mut walk = Walk::default();
    let mut met = BTreeSet::new();
    let mut next = VecDeque::from([(from.to_owned(), 0_u32)]);
    met.insert(from.to_owned());
    while let Some((id, depth)) = next.pop_front() {
        let part = match document_of(&id) {
            Some(document) => match parts.entry(document) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut().as_ref(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let part = load(entry.key())?;
                    entry.insert(part).as_ref()
                }
            },
            None => None,
        };
        if depth == 0 {
            let Some((kind, label)) = part.and_then(|part| part.nodes.get(&id)) else {
                return Ok(None);
            };
            walk.nodes.push(Node { id: id.clone(), kind: *kind, label: label.clone(), depth });
        }
        let Some(part) = part.filter(|_| depth < bounds.depth) else { continue };
        for (relation, to) in part.edges.get(&id).into_iter().flatten() {
            if bounds.relation.is_some_and(|only| only != *relation) {
                continue;
            }
            if met.insert(to.clone()) {
                if walk.nodes.len() >= bounds.limit {
                    met.remove(to);
                    walk.truncated = true;
                    continue;
                }
                let Some((kind, label)) = part.nodes.get(to) else { continue };
                let (id, label) = (to.clone(), label.clone());
                walk.nodes.push(Node { id, kind: *kind, label, depth: depth + 1 });
                next.push_back((to.clone(), depth + 1));
            }
            walk.edges.push(Edge { from: id.clone(), relation: *relation, to: to.clone() });
        }
    }
    Ok(Some(walk))
}

/// The name that a link's target may be of: without what stands before the last slash, after a `#` or `?`.
pub(crate) fn names(target: &str) -> Vec<&str> {
    if target.contains("://") || target.starts_with("mailto:") || target.starts_with('#') {
        return Vec::new();
    }
    let path = target.split(['#', '?']).next().unwrap_or_default();
    let path = path.strip_prefix("./").unwrap_or(path);
    let last = path.rsplit('/').next().unwrap_or_default();
    let mut names = vec![path];
    if last != path {
        names.push(last);
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests;
