//! `graph`: how documents and their parts belong together.

use futures::FutureExt;
use futures::future::BoxFuture;
use perennial_query::plan::ValueType;
use perennial_query::tool::{
    Call, Citation, Identity, Parameter, Tool, ToolAnswer, ToolError, ToolSpec,
};
use serde_json::json;

use super::arguments::{choice, number, required};
use super::{GROUP, library_warnings, not_found};
use crate::document::DocumentId;
use crate::graph::{
    Bounds, MOST_DEPTH, NodeKind, Part, Reference, Relation, Walk, document_of, names, walk,
};
use crate::library::{Filter, Library, LibraryError, State, blocking};

/// Nodes that a walk gives unless it is asked for another number, and at most.
const LIMIT: u64 = 100;
const MOST_LIMIT: u64 = 1000;

/// The tool.
#[derive(Debug)]
pub(super) struct GraphWalk {
    documents: Library,
    spec: ToolSpec,
}

impl GraphWalk {
    pub(super) fn new(library: &Library) -> Self {
        let description = "Walks from a document or a part of one to what belongs to it: sections, terms of \
                           its index, pages, and documents that it refers to or that refer to it.";
        let relations = Relation::ALL.map(|(name, _)| name);
        let spec = ToolSpec { group: GROUP.to_owned(), ..ToolSpec::new("graph", description) }
            .parameter(Parameter::required(
                "from",
                ValueType::String,
                "The name or id of a document, or the id of a node.",
            ))
            .parameter(
                Parameter::optional(
                    "relation",
                    ValueType::String,
                    "Only along this; along all if not given.",
                )
                .of(&relations),
            )
            .parameter(
                Parameter::optional("depth", ValueType::Integer, "Steps; 1 if not given.")
                    .between(1.0, f64::from(MOST_DEPTH)),
            )
            .parameter(
                Parameter::optional(
                    "limit",
                    ValueType::Integer,
                    "At most as many nodes; 100 if not given.",
                )
                .between(1.0, 1000.0),
            );
        Self { documents: library.clone(), spec }
    }
}

impl Tool for GraphWalk {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn data_version(&self) -> u64 {
        self.documents.version()
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        async move {
            let from = required(call, "from")?;
            let bounds = Bounds {
                relation: choice(call, "relation", &Relation::ALL)?,
                depth: u32::try_from(number(call, "depth", 1, u64::from(MOST_DEPTH))?).unwrap_or(1),
                limit: usize::try_from(number(call, "limit", LIMIT, MOST_LIMIT)?).unwrap_or(1),
            };
            let (library, identity) = (self.documents.clone(), call.identity.clone());
            blocking(move || walked(&library, &identity, &from, bounds)).await
        }
        .boxed()
    }
}

fn walked(
    library: &Library,
    identity: &Identity,
    from: &str,
    bounds: Bounds,
) -> Result<ToolAnswer, ToolError> {
    let state = library.state();
    let all = Filter::default();
    let sight = Sight { state: &state, identity, all: &all };
    let start = match document_of(from) {
        Some(_) => Some(from.to_owned()),
        None => sight.named(from).map(|(id, _)| id.to_string()),
    };
    let mut load = |id: &DocumentId| sight.load(library, id);
    let found = match start {
        Some(start) => walk(&start, bounds, &mut load)?,
        None => None,
    };
    let found = found.ok_or_else(|| {
        not_found(format!("there is no document or node `{from}`, or it may not be seen; ask for a document by its name"))
    })?;
    Ok(answer(&state, found))
}

fn answer(state: &State, found: Walk) -> ToolAnswer {
    let mut warnings = library_warnings(state);
    if found.truncated {
        warnings.push("there is more than the limit; raise it, or name a relation".to_owned());
    }
    let documents = found.nodes.iter().filter(|node| node.kind == NodeKind::Document);
    let citation = |node: &crate::graph::Node| Citation {
        id: node.id.clone(),
        source: node.label.clone(),
        place: String::new(),
    };
    let citations = documents.map(citation).collect();
    let value = json!({"nodes": found.nodes, "edges": found.edges, "truncated": found.truncated});
    ToolAnswer { value: value.into(), citations, warnings }
}

/// The documents that one who asks may see, by what links call them.
struct Sight<'a> {
    state: &'a State,
    identity: &'a Identity,
    /// What admits every document.
    all: &'a Filter,
}

impl<'a> Sight<'a> {
    /// One name may be that of several teams' documents; the first by id is meant.
    fn named(&self, name: &str) -> Option<Reference> {
        let called = self.state.called(name).into_iter();
        let mut seen = called.filter_map(|slot| Some((slot, slot.entry.front()?)));
        let (slot, front) =
            seen.find(|(_, front)| front.name == name && front.is_visible_to(self.identity))?;
        Some((slot.entry.id(), front.title.to_owned()))
    }

    /// The document that a link's target means.
    fn target(&self, target: &str) -> Option<Reference> {
        names(target).into_iter().find_map(|name| self.named(name))
    }

    fn load(&self, library: &Library, id: &DocumentId) -> Result<Option<Part>, LibraryError> {
        if self.state.get(id, self.identity).is_none() {
            return Ok(None);
        }
        let document = library.read(id)?;
        let refers = |target: &str| self.target(target).is_some_and(|(found, _)| found == *id);
        let seen = self.state.visible(self.identity, self.all).map(|slot| &slot.entry);
        let linking = seen.filter(|entry| entry.front().is_some_and(|front| front.links));
        let headers = linking.filter_map(|entry| entry.header());
        let others = headers.filter(|header| header.id != *id);
        let linked_from: Vec<Reference> = others
            .filter(|header| header.links.iter().any(|link| refers(&link.target)))
            .map(|header| (header.id, header.title))
            .collect();
        Ok(Some(Part::new(&document, &|target| self.target(target), &linked_from)))
    }
}
