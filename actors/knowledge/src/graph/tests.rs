use std::convert::Infallible;

use super::*;
use crate::document::{FORMAT, Format, Header, Heading, Link, Term};

fn id(name: &str) -> DocumentId {
    DocumentId::new(None, name)
}

fn document(name: &str, links: &[&str]) -> Document {
    let heading = |level, text: &str, page| Heading { level, text: text.to_owned(), page };
    let header = Header {
        format: FORMAT,
        id: id(name),
        name: name.to_owned(),
        title: name.to_uppercase(),
        written_in: Format::Text,
        team: None,
        metadata: BTreeMap::new(),
        chunks: 0,
        content: String::new(),
        links: links
            .iter()
            .map(|target| Link { text: String::new(), target: (*target).to_owned() })
            .collect(),
        reading: Default::default(),
    };
    Document {
        header,
        headings: vec![
            heading(1, "One", Some(2)),
            heading(2, "Sub", None),
            heading(1, "Two", None),
        ],
        terms: vec![Term { text: "apple".to_owned(), pages: vec![2, 5] }],
        chunks: Vec::new(),
    }
}

/// Three documents in a ring.
fn walked(from: &str, relation: Option<Relation>, depth: u32, limit: usize) -> Option<Walk> {
    let ring = [("a", "b"), ("b", "c"), ("c", "a")];
    let mut load = |wanted: &DocumentId| {
        let found = ring.iter().find(|(name, _)| id(name) == *wanted);
        let part = found.map(|(name, target)| {
            let linked_from: Vec<Reference> = ring
                .iter()
                .filter(|(_, target)| target == name)
                .map(|(from, _)| (id(from), from.to_uppercase()))
                .collect();
            let resolve =
                |target: &str| target.len().eq(&1).then(|| (id(target), target.to_uppercase()));
            Part::new(&document(name, &[target, "https://x.example"]), &resolve, &linked_from)
        });
        Ok::<_, Infallible>(part)
    };
    walk(from, Bounds { relation, depth, limit }, &mut load).unwrap()
}

fn labels(walk: &Walk) -> Vec<(&str, u32)> {
    walk.nodes.iter().map(|node| (node.label.as_str(), node.depth)).collect()
}

#[test]
fn sections_stand_below_each_other_as_their_headings_do() {
    let walk = walked(id("a").as_str(), Some(Relation::HasSection), 5, 100).unwrap();
    assert_eq!(labels(&walk), [("A", 0), ("One", 1), ("Two", 1), ("Sub", 2)]);
    assert_eq!(walk.edges.len(), 3);
}

#[test]
fn terms_lead_to_their_pages() {
    let walk = walked(id("a").as_str(), Some(Relation::HasTerm), 1, 100).unwrap();
    assert_eq!(labels(&walk), [("A", 0), ("apple", 1)]);
    let term = walk.nodes[1].id.clone();
    let pages = walked(&term, None, 1, 100).unwrap();
    assert_eq!(labels(&pages), [("apple", 0), ("page 2", 1), ("page 5", 1)]);
}

#[test]
fn links_are_followed_over_documents_and_a_ring_ends() {
    let walk = walked(id("a").as_str(), Some(Relation::LinksTo), 5, 100).unwrap();
    let expected = [("A", 0), ("B", 1), ("https://x.example", 1), ("C", 2)];
    assert_eq!(labels(&walk), expected);
    // Each links to the next and to the address, the last to the first.
    assert_eq!(walk.edges.len(), 6);
    let back = walked(id("a").as_str(), Some(Relation::LinkedFrom), 1, 100).unwrap();
    assert_eq!(labels(&back), [("A", 0), ("C", 1)]);
}

#[test]
fn a_walk_ends_at_its_depth_and_its_limit_and_says_so() {
    let walk = walked(id("a").as_str(), Some(Relation::LinksTo), 1, 100).unwrap();
    assert_eq!((walk.nodes.len(), walk.truncated), (3, false));
    let walk = walked(id("a").as_str(), None, 5, 4).unwrap();
    assert_eq!((walk.nodes.len(), walk.truncated), (4, true));
    let known: BTreeSet<&str> = walk.nodes.iter().map(|node| node.id.as_str()).collect();
    assert!(walk.edges.iter().all(|edge| known.contains(edge.to.as_str())));
}

#[test]
fn ids_are_the_same_each_time_and_what_is_not_there_is_none() {
    let a = id("a");
    assert_eq!(walked(a.as_str(), None, 3, 99), walked(a.as_str(), None, 3, 99));
    let section =
        walked(a.as_str(), Some(Relation::HasSection), 1, 99).unwrap().nodes[1].id.clone();
    assert_eq!(section, "doc-7ec728b409a959e9592c8966fcfa7841/section-5cac19b4cb9e09dc");
    assert_eq!(walked("doc-12", None, 1, 9), None);
    assert_eq!(walked(&format!("{a}/term-0"), None, 1, 9), None);
    assert_eq!(walked(id("z").as_str(), None, 1, 9), None);
}

#[test]
fn targets_are_names_without_path_and_fragment() {
    assert_eq!(names("./docs/guide.md#use"), ["docs/guide.md", "guide.md"]);
    assert_eq!(names("guide.md?x=1"), ["guide.md"]);
    assert!(names("https://x.example/guide.md").is_empty());
    assert!(names("#use").is_empty());
}
