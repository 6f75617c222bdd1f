mod faults;
mod format_1;
mod hostile;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::*;
use crate::testing::{Constant, call, hits, identity, ingest, long, open, public, submission};
use crate::{DocumentId, Format};

/// The files below a folder, from it, with their content.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in files::list(&folder).unwrap() {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Documents that are found by one word that all of them have, in any order.
async fn found(library: &Library, word: &str) -> Vec<String> {
    let answer = call(library, "search", json!({"query": word, "top_k": 100}), &[]).await.unwrap();
    let mut names = hits(&answer);
    names.sort();
    names.dedup();
    names
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn index_of(folder: &Path) -> PathBuf {
    folder.join("index")
}

/// Acceptance case C17.
#[tokio::test]
async fn a_document_that_is_ingested_twice_is_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let text = long("pumps", 8);
    let first = ingest(&library, "pumps.md", &text).await;
    assert_eq!((first.outcome, first.chunks > 2), (Outcome::Added, true));
    let before = (library.status(), tree(dir.path()));
    let second = ingest(&library, "pumps.md", &text).await;
    assert_eq!((second.outcome, second.chunks), (Outcome::Unchanged, first.chunks));
    assert_eq!((library.status(), tree(dir.path())), before);
    let answer =
        call(&library, "search", json!({"query": "pumps", "top_k": 100}), &[]).await.unwrap();
    assert_eq!(hits(&answer).len(), first.chunks);
}

/// Makes vectors for two at a time: each waits for the other.
struct Together(tokio::sync::Barrier);

impl Embedder for Together {
    fn name(&self) -> &str {
        "together"
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, ToolError>> {
        async move {
            self.0.wait().await;
            Ok(texts.iter().map(|_| vec![1.0]).collect())
        }
        .boxed()
    }
}

/// Acceptance case C17.
#[tokio::test]
async fn two_ingests_of_one_text_at_a_time_store_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Arc::new(Together(tokio::sync::Barrier::new(2)));
    let library = Library::open(dir.path(), Config { embedder, ..Config::default() }).unwrap();
    let text = long("valves", 8);
    let both = futures::join!(ingest(&library, "v.md", &text), ingest(&library, "v.md", &text));
    let mut chunks = both.0.chunks;
    let outcomes = [both.0.outcome, both.1.outcome];
    assert!(
        outcomes.contains(&Outcome::Added) && outcomes.contains(&Outcome::Unchanged),
        "{outcomes:?}"
    );
    let text = long("taps", 8);
    let both = futures::join!(ingest(&library, "s.md", &text), ingest(&library, "t.md", &text));
    let duplicate = |outcome: &Outcome| matches!(outcome, Outcome::Duplicate(_));
    assert_eq!(
        [both.0.outcome, both.1.outcome].iter().filter(|outcome| duplicate(outcome)).count(),
        1
    );
    chunks += both.0.chunks;
    assert_eq!((library.status().documents, library.status().chunks), (2, chunks));
    let answer =
        call(&library, "search", json!({"query": "valves taps", "top_k": 100}), &[]).await.unwrap();
    assert_eq!(hits(&answer).len(), chunks);
}

#[tokio::test]
async fn a_new_version_takes_the_place_of_the_old_one_and_keeps_the_ids_of_what_stayed() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let same = "word ".repeat(150);
    ingest(&library, "a.md", &format!("# A\n\n{same}\n\n# B\n\nThe old quince.")).await;
    let old = library.read(&public("a.md")).unwrap();
    let new = ingest(&library, "a.md", &format!("# A\n\n{same}\n\n# B\n\nThe new medlar.")).await;
    assert_eq!(new.outcome, Outcome::Replaced);
    assert!(found(&library, "quince").await.is_empty());
    assert_eq!(found(&library, "medlar").await, ["a.md"]);
    let new = library.read(&public("a.md")).unwrap();
    assert_eq!(old.chunks[0].id, new.chunks[0].id);
    assert_ne!(old.chunks[1].id, new.chunks[1].id);
    assert_eq!(library.status().documents, 1);
}

#[tokio::test]
async fn everything_is_there_after_it_was_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    ingest(&library, "b.md", "# Pears\n\nPears keep in the cellar too.").await;
    let before = library.status();
    drop(library);
    let library = open(dir.path());
    assert_eq!(library.status(), before);
    assert_eq!(before.without_vectors, 0);
    assert_eq!(found(&library, "cellar").await, ["a.md", "b.md"]);
}

#[tokio::test]
async fn an_index_that_was_lost_or_cut_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    drop(library);
    // Files have other names after the index was made again, but as many, of the same kinds.
    let files = || {
        let mut files: Vec<(PathBuf, Vec<u8>)> = tree(&index_of(dir.path())).into_iter().collect();
        files.sort_by_key(|(name, _)| name.extension().map(std::ffi::OsStr::to_owned));
        files
    };
    assert!(files().len() > 5, "{:?}", files());
    for number in 0..files().len() {
        for damage in
            ["gone", "empty", "cut", "changed at the start", "in the middle", "near the end"]
        {
            let Some((name, bytes)) = files().into_iter().nth(number) else { continue };
            let name = name.as_path();
            let mut changed = bytes.clone();
            let at = match damage {
                "gone" => {
                    fs::remove_file(name).unwrap();
                    None
                }
                "empty" => Some((0, 0)),
                "cut" => Some((0, bytes.len() / 2)),
                "changed at the start" => Some((0, bytes.len())),
                "in the middle" => Some((bytes.len() / 2, bytes.len())),
                _ => Some((bytes.len() * 3 / 4, bytes.len())),
            };
            if let Some((at, end)) = at {
                changed.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x55);
                fs::write(name, &changed[..end]).unwrap();
            }
            let library = open(dir.path());
            let answer = call(&library, "search", json!({"query": "cellar"}), &[]).await.unwrap();
            let text = &library.read(&public("a.md")).unwrap().chunks[0].text;
            assert_eq!(answer.value.0["count"], 1, "{damage} {}", name.display());
            assert_eq!(
                answer.value.0["hits"][0]["text"],
                json!(text),
                "{damage} {}",
                name.display()
            );
        }
    }
    fs::remove_dir_all(index_of(dir.path())).unwrap();
    assert_eq!(found(&open(dir.path()), "cellar").await, ["a.md"]);
}

/// The record of a document is written before the index: this is what a crash between them leaves.
#[tokio::test]
async fn a_crash_between_the_record_and_the_index_loses_nothing() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [dir.path(), other.path()] {
        ingest(&open(folder), "a.md", "# Apples\n\nApples keep in the cellar.").await;
    }
    // One is stopped after the record of `b.md` and of a new version of `a.md`, so its index is that of before.
    let ahead = open(other.path());
    ingest(&ahead, "a.md", "# Apples\n\nApples do not keep in the attic.").await;
    ingest(&ahead, "b.md", "# Pears\n\nPears keep in the attic too.").await;
    drop(ahead);
    let documents = |folder: &Path| folder.join("documents");
    for path in files::list(&documents(other.path())).unwrap() {
        fs::copy(&path, documents(dir.path()).join(path.file_name().unwrap())).unwrap();
    }
    let library = open(dir.path());
    assert_eq!(found(&library, "attic").await, ["a.md", "b.md"]);
    assert!(found(&library, "cellar").await.is_empty());
    // Their vectors came too late as well, and are made when that is asked for.
    assert_eq!(library.status().without_vectors, 2);
    assert_eq!(library.catch_up().await.unwrap(), 2);
    assert_eq!(library.status().without_vectors, 0);
    let again = ingest(&library, "b.md", "# Pears\n\nPears keep in the attic too.").await;
    assert_eq!(again.outcome, Outcome::Unchanged);
}

#[tokio::test]
async fn a_retry_after_such_a_crash_changes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let first = ingest(&library, "a.md", &long("turbines", 6)).await;
    drop(library);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    fs::remove_dir_all(dir.path().join("vectors")).unwrap();
    let library = open(dir.path());
    let retried = ingest(&library, "a.md", &long("turbines", 6)).await;
    assert_eq!((retried.outcome, retried.chunks), (Outcome::Unchanged, first.chunks));
    assert_eq!(library.status().without_vectors, 0);
    let answer =
        call(&library, "search", json!({"query": "turbines", "top_k": 100}), &[]).await.unwrap();
    assert_eq!(hits(&answer).len(), first.chunks);
}

#[tokio::test]
async fn what_an_interrupted_write_left_is_swept_away() {
    let dir = tempfile::tempdir().unwrap();
    ingest(&open(dir.path()), "a.md", "# Apples\n\nApples keep in the cellar.").await;
    let (id, other) = (public("a.md"), public("b.md"));
    let left = [format!("documents/{id}.new"), format!("accepted/{other}.new")];
    for name in &left {
        fs::write(dir.path().join(name), b"{\"header\":{\"format\":1,").unwrap();
    }
    let library = open(dir.path());
    assert_eq!((library.status().documents, library.status().damaged.len()), (1, 0));
    assert!(left.iter().all(|name| !dir.path().join(name).exists()));
}

#[tokio::test]
async fn a_damaged_document_is_named_left_out_and_mended_by_ingesting_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let (good, bad) =
        ("# Apples\n\nApples keep in the cellar.", "# Pears\n\nPears keep in the cellar.");
    ingest(&library, "a.md", good).await;
    ingest(&library, "b.md", bad).await;
    drop(library);
    let path = dir.path().join("documents").join("00000000.log");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(5).rposition(|text| text == b"Pears").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let library = open(dir.path());
    let damaged = library.status().damaged;
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].document, Some(public("b.md")));
    assert_eq!(
        (damaged[0].file.as_str(), damaged[0].why.contains("checksum")),
        ("00000000.log", true)
    );
    let answer = call(&library, "search", json!({"query": "cellar"}), &[]).await.unwrap();
    assert_eq!(hits(&answer), ["a.md"]);
    assert!(answer.warnings[0].contains("1 files"), "{:?}", answer.warnings);
    assert_eq!(ingest(&library, "b.md", bad).await.outcome, Outcome::Added);
    assert!(library.status().damaged.is_empty());
    assert_eq!(found(&library, "cellar").await, ["a.md", "b.md"]);
}

#[tokio::test]
async fn a_removed_document_is_gone_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    ingest(&library, "b.md", "# Pears\n\nPears keep in the cellar.").await;
    assert!(library.remove(&public("b.md"), &identity(&[])).await.unwrap());
    assert!(!library.remove(&public("b.md"), &identity(&[])).await.unwrap());
    assert_eq!(found(&library, "cellar").await, ["a.md"]);
    drop(library);
    assert_eq!(found(&open(dir.path()), "cellar").await, ["a.md"]);
    let id = public("b.md").to_string();
    assert!(tree(dir.path()).keys().all(|path| !path.display().to_string().contains(&id)));
    assert!(tree(&dir.path().join("documents")).values().all(|bytes| !has(bytes, "Pears")));
    // As after a crash in the midst of it: the record is gone, the index has it still.
    let index = tree(&index_of(dir.path()));
    assert!(open(dir.path()).remove(&public("a.md"), &identity(&[])).await.unwrap());
    fs::remove_dir_all(index_of(dir.path())).unwrap();
    fs::create_dir(index_of(dir.path())).unwrap();
    index.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    assert!(found(&open(dir.path()), "cellar").await.is_empty());
}

#[tokio::test]
async fn the_same_text_under_another_name_is_a_duplicate_within_a_team_only() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let text = "# Apples\n\nApples keep in the cellar.";
    ingest(&library, "a.md", text).await;
    let copy = ingest(&library, "copy.md", text).await;
    assert_eq!(copy.outcome, Outcome::Duplicate(public("a.md")));
    let mut of_team = submission("copy.md", text);
    of_team.team = Some("red".to_owned());
    let other = library.ingest(of_team, &identity(&["red"])).await.unwrap();
    assert_eq!(other.outcome, Outcome::Added);
    assert_eq!(library.status().documents, 2);
}

#[tokio::test]
async fn chunks_that_repeat_within_a_document_are_kept_once_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let paragraph = "footer ".repeat(140);
    let mut repeating = submission("a.csv", "");
    repeating.format = Format::Csv;
    repeating.content = format!("x\n{paragraph}\n{paragraph}\n{paragraph}\n").into_bytes();
    let ingested = library.ingest(repeating, &identity(&[])).await.unwrap();
    assert_eq!((ingested.chunks, ingested.repeated), (1, 2));
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { document_bytes: 20_000, document_chunks: 4, chunks: 6 };
    let library = Library::open(dir.path(), Config { limits, ..Config::default() }).unwrap();
    let nobody = identity(&[]);
    let refused = |submission| library.ingest(submission, &nobody);
    let mut foreign = submission("a.md", "Some text of theirs.");
    foreign.team = Some("red".to_owned());
    let error = refused(foreign).await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("`red`")), (ErrorKind::Denied, true));
    let big = refused(submission("a.md", &"x ".repeat(20_000))).await.unwrap_err();
    assert_eq!((big.kind, big.message.contains("40000 bytes")), (ErrorKind::Invalid, true));
    let long_one = refused(submission("a.md", &long("x", 30))).await.unwrap_err();
    assert_eq!(long_one.kind, ErrorKind::Invalid);
    let unnamed = refused(submission(" ", "Some text.")).await.unwrap_err();
    assert!(unnamed.message.starts_with("name must"), "{unnamed}");
    ingest(&library, "a.md", &long("apples", 6)).await;
    ingest(&library, "b.md", &long("pears", 6)).await;
    assert!(refused(submission("c.md", &long("plums", 6))).await.is_err());
    assert_eq!(library.status().documents, 2);
    // What replaces itself needs no further room.
    assert_eq!(ingest(&library, "b.md", &long("quinces", 6)).await.outcome, Outcome::Replaced);
}

#[tokio::test]
async fn a_document_whose_vectors_cannot_be_made_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Arc::new(Constant { name: "down", works: false });
    let library = Library::open(dir.path(), Config { embedder, ..Config::default() }).unwrap();
    let text = "# Apples\n\nApples keep in the cellar.";
    let error = library.ingest(submission("a.md", text), &identity(&[])).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(library.status().documents, 0);
    assert!(found(&library, "cellar").await.is_empty());
}

#[tokio::test]
async fn vectors_of_another_embedder_are_never_used() {
    let dir = tempfile::tempdir().unwrap();
    ingest(&open(dir.path()), "a.md", "# Apples\n\nApples keep in the cellar.").await;
    let embedder = Arc::new(Constant { name: "constant", works: true });
    let config = Config { embedder, ..Config::default() };
    let library = Library::open(dir.path(), config).unwrap();
    let arguments = json!({"query": "apples"});
    let answer = call(&library, "vector", arguments.clone(), &[]).await.unwrap();
    assert!(hits(&answer).is_empty());
    assert!(answer.warnings[0].contains("1 documents have no vectors of `constant`"));
    assert_eq!(library.catch_up().await.unwrap(), 1);
    let answer = call(&library, "vector", arguments.clone(), &[]).await.unwrap();
    assert_eq!(
        (hits(&answer), answer.value.0["embedder"].clone()),
        (vec!["a.md".to_owned()], json!("constant"))
    );
    drop(library);
    // Those of the first are still there.
    let library = open(dir.path());
    assert_eq!(library.status().without_vectors, 0);
    let answer = call(&library, "vector", arguments, &[]).await.unwrap();
    assert_eq!(answer.value.0["embedder"], json!("hashed-ngrams-256"));
}

#[tokio::test]
async fn a_library_is_opened_by_one_at_a_time_and_only_in_its_own_format() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let second = Library::open(dir.path(), Config::default()).unwrap_err();
    assert!(matches!(second, LibraryError::InUse(_)));
    drop(library);
    fs::write(dir.path().join("FORMAT"), "perennial-knowledge 3\n").unwrap();
    let other = Library::open(dir.path(), Config::default()).unwrap_err();
    assert!(matches!(other, LibraryError::Version(found) if found == "perennial-knowledge 3"));
}

#[tokio::test]
async fn an_ingest_that_nobody_waits_for_leaves_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let text = long("lathes", 20);
    let nobody = identity(&[]);
    let polls = [1, 2, 3, 5, 8];
    for (number, polls) in polls.into_iter().enumerate() {
        let name = format!("{number}.md");
        let mut given_up =
            Box::pin(library.ingest(submission(&name, &format!("{number} {text}")), &nobody));
        for _ in 0..polls {
            let polled = futures::poll!(&mut given_up);
            tokio::task::yield_now().await;
            if polled.is_ready() {
                break;
            }
        }
    }
    // What was begun on other threads ends first: it holds the lock.
    let retried = futures::future::join_all((0..polls.len()).map(|number| {
        let (library, text) = (library.clone(), format!("{number} {text}"));
        async move { ingest(&library, &format!("{number}.md"), &text).await.chunks }
    }));
    let chunks: usize = retried.await.iter().sum();
    assert_eq!((library.status().documents, library.status().chunks), (polls.len(), chunks));
    drop(library);
    assert_eq!(open(dir.path()).status().chunks, chunks);
}

#[test]
fn the_id_of_a_document_needs_no_library() {
    assert_eq!(DocumentId::new(None, "a.md"), public("a.md"));
}
