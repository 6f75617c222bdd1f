use std::path::Path;

use super::*;
use crate::document::DocumentId;
use crate::library::Key;

fn document(name: &str) -> DocumentId {
    DocumentId::new(None, name)
}

fn chunk(name: &str) -> ChunkId {
    ChunkId::new(&document("any"), name)
}

fn vectors(entries: &[(&str, [f32; 2])]) -> DocumentVectors {
    let chunks = entries.iter().map(|(name, _)| chunk(name)).collect();
    DocumentVectors::new(chunks, entries.iter().map(|(_, vector)| vector.to_vec()).collect())
        .unwrap()
}

/// Looks at the documents of these names, in this order.
fn nearest(query: &[f32], documents: &[&str], most: usize) -> Neighbours {
    let a = vectors(&[("east", [2.0, 0.0]), ("north", [0.0, 1.0])]);
    let b = vectors(&[("northeast", [5.0, 5.0])]);
    let mut search = Search::new(query, most);
    for name in documents {
        search.look(match *name {
            "a" => Some(&a),
            "b" => Some(&b),
            _ => None,
        });
    }
    search.found()
}

fn names(found: &Neighbours) -> Vec<ChunkId> {
    found.nearest.iter().map(|neighbour| neighbour.chunk).collect()
}

#[test]
fn the_nearest_by_direction_comes_first() {
    let found = nearest(&[3.0, 1.0], &["a", "b"], 2);
    assert_eq!(names(&found), [chunk("east"), chunk("northeast")]);
    assert!((found.nearest[0].score - 0.948_683).abs() < 1e-5);
}

#[test]
fn of_equals_the_lower_id_comes_first() {
    let found = nearest(&[1.0, 1.0], &["b", "a"], 3);
    let mut equals = [chunk("east"), chunk("north")];
    equals.sort();
    assert_eq!(names(&found)[1..], equals);
}

#[test]
fn documents_with_no_vectors_of_this_length_are_counted() {
    assert_eq!(nearest(&[1.0, 0.0], &["a", "c"], 9).missing, 1);
    assert_eq!(nearest(&[1.0, 0.0, 0.0], &["a", "c"], 9).missing, 2);
}

type Seen = BTreeMap<Key, Option<Kept>>;

fn open(root: &Path, embedder: &str) -> (VectorFiles, Seen) {
    let mut seen = Seen::new();
    let opened = VectorFiles::open(root.to_owned(), embedder, &mut |key, kept| {
        seen.insert(*key, kept);
        true
    });
    (opened.unwrap(), seen)
}

#[test]
fn vectors_are_the_same_after_they_were_written_and_those_of_another_embedder_are_not_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (a, vectors) =
        (document("a").key(), vectors(&[("east", [2.0, 0.0]), ("north", [0.0, 1.0])]));
    let written = Kept { version: [7; 32], vectors };
    open(dir.path(), "e").0.put([(a, &written)].into_iter()).unwrap();
    let (files, seen) = open(dir.path(), "e");
    assert_eq!(seen, [(a, Some(written))].into());
    assert!(open(dir.path(), "other").1.is_empty());
    files.remove(&document("a")).unwrap();
    assert_eq!(open(dir.path(), "e").1, [(a, None)].into());
}

#[test]
fn what_is_no_vectors_is_none() {
    let whole = vectors(&[("east", [2.0, 0.0])]).bytes().to_vec();
    assert!(DocumentVectors::decode(&whole).is_some());
    for cut in (0..whole.len()).filter(|cut| *cut != FRONT) {
        assert!(DocumentVectors::decode(&whole[..cut]).is_none(), "cut at {cut}");
    }
}

/// Texts as a person writes them, more or less.
fn texts(many: usize) -> Vec<String> {
    let words = ["pump", "valve", "pressure", "seal", "turbine", "leak", "restart", "night", "oil"];
    let word = |number: usize| words[number * 2_654_435_761 % 8191 % words.len()];
    (0..many)
        .map(|number| {
            (0..9).map(move |at| format!("{}{}", word(number + 31 * at), (number + at) % 7))
        })
        .enumerate()
        .map(|(number, words)| format!("{} no{number}", words.collect::<Vec<_>>().join(" ")))
        .collect()
}

#[test]
fn rounding_changes_likeness_by_less_than_a_hundredth_and_rounding_again_by_nothing() {
    let texts = texts(300);
    let exact: Vec<Vec<f32>> = texts.iter().map(|text| crate::HashedNgrams::vector(text)).collect();
    let chunks: Vec<ChunkId> = texts.iter().map(|text| chunk(text)).collect();
    let kept = DocumentVectors::new(chunks.clone(), exact.clone()).unwrap();
    let mut by_chunk = kept.by_chunk();
    let again = chunks.iter().map(|chunk| by_chunk.remove(chunk).unwrap()).collect();
    let again = DocumentVectors::new(chunks.clone(), again).unwrap();
    for (first, second) in kept.iter().zip(again.iter()) {
        assert_eq!(first.numbers, second.numbers);
    }
    for query in ["pump pressure", "the valve leaks at night", "oil"] {
        let query = crate::HashedNgrams::vector(query);
        let mut search = Search::new(&query, 20);
        search.look(Some(&kept));
        let mut scores: Vec<f32> = Vec::new();
        for near in search.found().nearest {
            let at = chunks.iter().position(|chunk| *chunk == near.chunk).unwrap();
            let score: f32 = query.iter().zip(&exact[at]).map(|(a, b)| a * b).sum();
            assert!((score - near.score).abs() < 0.01, "{score} {}", near.score);
            scores.push(score);
        }
        // What is left out is not nearer than what is found by more than the rounding.
        let mut all: Vec<f32> =
            exact.iter().map(|one| one.iter().zip(&query).map(|(a, b)| a * b).sum()).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        let least = scores.iter().copied().fold(1.0, f32::min);
        assert!(least > all[19] - 0.02, "{least} {}", all[19]);
    }
}

#[test]
fn a_search_among_many_finds_what_looking_at_each_finds() {
    let texts = texts(2000);
    let one = |text: &String| {
        DocumentVectors::new(vec![chunk(text)], vec![crate::HashedNgrams::vector(text)]).unwrap()
    };
    let query = crate::HashedNgrams::vector("the seal of the turbine");
    let scored = |text: &String| {
        let vectors = one(text);
        let each =
            |vector: Vector<'_>| query.iter().zip(vector.values()).map(|(a, b)| a * b).sum::<f32>();
        let score = vectors.iter().map(each).sum();
        (vectors, Neighbour { chunk: chunk(text), score })
    };
    let mut all: Vec<(DocumentVectors, Neighbour)> = texts.iter().map(scored).collect();
    // The nearest come last, so none of them is found by being there first.
    all.sort_by(|(_, a), (_, b)| a.score.total_cmp(&b.score));
    let mut search = Search::new(&query, 10);
    all.iter().for_each(|(vectors, _)| search.look(Some(vectors)));
    let mut each: Vec<Neighbour> = all.into_iter().map(|(_, neighbour)| neighbour).collect();
    keep(&mut each, 10);
    for (found, expected) in search.found().nearest.iter().zip(&each) {
        assert_eq!(found.chunk, expected.chunk);
        assert!((found.score - expected.score).abs() < 1e-5);
    }
}

#[test]
fn removing_reads_the_log_of_another_embedder_once() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Kept { version: [7; 32], vectors: vectors(&[("east", [2.0, 0.0])]) };
    let names = ["a", "b", "c"];
    let keys = names.map(|name| document(name).key());
    for embedder in ["e", "other"] {
        open(dir.path(), embedder).0.put(keys.map(|key| (key, &kept)).into_iter()).unwrap();
    }
    let files = open(dir.path(), "e").0;
    assert!(files.remove(&document("a")).unwrap());
    let other = dir.path().join(crate::text::short_digest(&["embedder", "other"], 8));
    // It cannot be opened now, only be written to by who has it open.
    let (log, away) = (other.join("00000000.log"), other.join("away"));
    std::fs::rename(&log, &away).unwrap();
    std::fs::create_dir(&log).unwrap();
    assert!(files.remove(&document("b")).unwrap());
    std::fs::remove_dir(&log).unwrap();
    std::fs::rename(&away, &log).unwrap();
    let expected = [(keys[0], None), (keys[1], None), (keys[2], Some(kept))];
    assert_eq!(open(dir.path(), "other").1, expected.into());
    assert!(!files.remove(&document("b")).unwrap());
}
