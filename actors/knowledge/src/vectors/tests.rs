use super::*;

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

#[test]
fn vectors_are_the_same_after_they_were_written_and_damage_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let files = VectorFiles::open(dir.path().join("vectors"), "e").unwrap();
    let (a, written) = (document("a"), vectors(&[("east", [2.0, 0.0]), ("north", [0.0, 1.0])]));
    files.write(&a, &written).unwrap();
    let read = files.read(&a).unwrap();
    assert_eq!((&read.chunks, &read.values), (&written.chunks, &written.values));
    let path = files.path(&a);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert!(files.read(&a).is_none(), "byte {at}");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(files.read(&a).is_none(), "cut at {at}");
    }
    assert!(VectorFiles::open(dir.path().join("vectors"), "other").unwrap().read(&a).is_none());
}
