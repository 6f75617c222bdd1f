//! Libraries of format 1, in which each document was a file of its own and so were its vectors.
//! `tests/fixtures/knowledge/format-1` is one that a node wrote: three documents, of which one was replaced once.

use super::*;

const NAMES: [&str; 3] = ["apples.md", "guide.md", "red.md"];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in files::list(from).unwrap() {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn fixture() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/knowledge/format-1");
    copy(&root, dir.path());
    dir
}

/// The files of format 1.
fn left(folder: &Path) -> Vec<PathBuf> {
    let old =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "jsonl" || end == "vectors");
    tree(folder).into_keys().filter(old).collect()
}

/// What the node that wrote it told of the documents.
async fn is_as_it_was(library: &Library, what: &str) {
    let status = library.status();
    assert_eq!((status.documents, status.chunks, status.without_vectors), (3, 3, 0), "{what}");
    assert_eq!(status.damaged, [], "{what}");
    assert_eq!(found(library, "cellar").await, ["apples.md", "red.md"], "{what}");
    assert_eq!(found(library, "sand").await, ["guide.md"], "{what}");
    let arguments = json!({"query": "cellar"});
    let near = call(library, "vector", arguments, &[]).await.unwrap();
    assert_eq!(hits(&near), ["red.md", "apples.md", "guide.md"], "{what}");
    for (hit, score) in
        near.value.0["hits"].as_array().unwrap().iter().zip([0.3838, 0.2997, -0.0447])
    {
        assert!((hit["score"].as_f64().unwrap() - score).abs() < 0.005, "{what}: {hit}");
    }
}

#[tokio::test]
async fn a_library_of_format_1_is_brought_to_the_newer_format_with_everything_in_it() {
    let dir = fixture();
    let versions: Vec<String> = left(&dir.path().join("documents"))
        .iter()
        .map(|path| crate::Document::decode(&fs::read(path).unwrap()).unwrap().1)
        .collect();
    for what in ["at first", "once more"] {
        let library = open(dir.path());
        is_as_it_was(&library, what).await;
        let all = library.list(&identity(&[]), &crate::Filter::default(), None, 9);
        let now =
            all.iter().map(|header| library.find(&header.id, &identity(&[])).unwrap().version);
        assert_eq!(now.collect::<Vec<_>>(), versions);
        let year = crate::Filter {
            metadata: BTreeMap::from([("year".to_owned(), "2025".to_owned())]),
            ..crate::Filter::default()
        };
        assert_eq!(library.list(&identity(&[]), &year, None, 9)[0].name, "red.md");
        assert_eq!(left(dir.path()), Vec::<PathBuf>::new());
    }
    let library = open(dir.path());
    let text = "# Red\n\nThe cellar of the year is red.";
    let mut again = submission("red.md", text);
    again.metadata = BTreeMap::from([("year".to_owned(), "2025".to_owned())]);
    let again = library.ingest(again, &identity(&[])).await.unwrap();
    assert_eq!(again.outcome, Outcome::Unchanged);
    assert_eq!(fs::read_to_string(dir.path().join("FORMAT")).unwrap(), FORMAT);
}

/// A crash leaves files that are in the log already, and others that are not.
#[tokio::test]
async fn wherever_a_crash_stops_that_the_next_opening_completes_it() {
    let whole = fixture();
    drop(open(whole.path()));
    let logs: Vec<(PathBuf, Vec<u8>)> = tree(whole.path())
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|end| end == "log"))
        .collect();
    assert_eq!(logs.len(), 2);
    for cut in 0..=left(fixture().path()).len() {
        for has_log in [false, true] {
            let dir = fixture();
            fs::write(dir.path().join("FORMAT"), FORMAT).unwrap();
            if has_log {
                for (path, bytes) in &logs {
                    let path = dir.path().join(path.strip_prefix(whole.path()).unwrap());
                    fs::write(path, bytes).unwrap();
                }
                left(dir.path()).iter().take(cut).for_each(|path| fs::remove_file(path).unwrap());
            }
            let library = open(dir.path());
            is_as_it_was(&library, &format!("cut {cut}, log {has_log}")).await;
            assert_eq!(left(dir.path()), Vec::<PathBuf>::new());
        }
    }
}

#[tokio::test]
async fn a_damaged_file_of_format_1_is_named_kept_and_replaced_by_ingesting_it_again() {
    let dir = fixture();
    let name = format!("{}.jsonl", public("guide.md"));
    let path = dir.path().join("documents").join(&name);
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, &bytes).unwrap();
    for _ in 0..2 {
        let damaged = open(dir.path()).status().damaged;
        assert_eq!(damaged.len(), 1);
        assert_eq!(
            (damaged[0].file.as_str(), damaged[0].why.contains("checksum")),
            (name.as_str(), true)
        );
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    let library = open(dir.path());
    assert_eq!(found(&library, "cellar").await, ["apples.md", "red.md"]);
    assert!(found(&library, "sand").await.is_empty());
    let text = "# The guide\n\nIn sand they keep longest.";
    assert_eq!(ingest(&library, "guide.md", text).await.outcome, Outcome::Added);
    is_as_it_was(&library, "mended").await;
    drop(library);
    is_as_it_was(&open(dir.path()), "opened again").await;
    assert_eq!(left(dir.path()), Vec::<PathBuf>::new());
    assert_eq!(
        NAMES.map(|name| open(dir.path()).find(&public(name), &identity(&[])).is_some()),
        [true; 3]
    );
}
