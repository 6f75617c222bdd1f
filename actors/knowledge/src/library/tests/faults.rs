//! A disk that does only part of what it is asked to do.

use super::*;
use crate::vectors::Kept;

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in tree(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
}

/// The logs of the one embedder.
fn vectors_of(folder: &Path) -> PathBuf {
    files::list(&folder.join("vectors")).unwrap().remove(0)
}

#[tokio::test]
async fn all_who_handed_in_what_could_not_be_written_are_told_also_those_who_said_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let in_the_way = vectors_of(dir.path()).join("00000000.log");
    fs::create_dir(&in_the_way).unwrap();
    let all = ["a.md", "a.md", "copy.md", "a.md"];
    let texts = [long("quinces", 3), long("quinces", 3), long("quinces", 3), long("medlars", 3)];
    // They wait together, for somebody else is writing.
    let (inner, (begun, has_begun)) = (Arc::clone(&library.inner), std::sync::mpsc::channel());
    let (release, released) = std::sync::mpsc::channel::<()>();
    let writing = tokio::task::spawn_blocking(move || {
        let _writing = inner.write_lock();
        begun.send(()).unwrap();
        released.recv().unwrap();
    });
    has_begun.recv().unwrap();
    let mut told = Vec::new();
    for (name, text) in all.iter().zip(&texts) {
        let (of, submission) = (library.clone(), submission(name, text));
        let waiting = library.inner.queue().waiting.len();
        told.push(tokio::spawn(async move { of.ingest(submission, &identity(&[])).await }));
        let queued = async {
            while library.inner.queue().waiting.len() == waiting {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), queued).await.unwrap();
    }
    release.send(()).unwrap();
    writing.await.unwrap();
    for one in told {
        let error = one.await.unwrap().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    }
    assert_eq!(library.status().documents, 0);
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(ingest(&library, "a.md", &texts[0]).await.outcome, Outcome::Added);
}

#[tokio::test]
async fn a_document_keeps_its_vectors_when_the_next_version_of_it_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    ingest(&library, "b.md", "# Pears\n\nPears keep in the cellar.").await;
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    drop(library);
    // After damage to the first record the next goes to another file, and that cannot be made.
    let documents = dir.path().join("documents");
    let mut bytes = fs::read(documents.join("00000000.log")).unwrap();
    bytes[20] ^= 1;
    fs::write(documents.join("00000000.log"), bytes).unwrap();
    let library = open(dir.path());
    assert_eq!((library.status().documents, library.status().without_vectors), (1, 0));
    fs::create_dir(documents.join("00000001.log")).unwrap();
    let next = submission("a.md", "# Apples\n\nApples do not keep in the attic.");
    library.ingest(next.clone(), &identity(&[])).await.unwrap_err();
    drop(library);
    fs::remove_dir(documents.join("00000001.log")).unwrap();
    let library = open(dir.path());
    assert_eq!((library.status().documents, library.status().without_vectors), (1, 0));
    assert_eq!(found(&library, "cellar").await, ["a.md"]);
    let replaced = library.ingest(next, &identity(&[])).await.unwrap();
    assert_eq!(replaced.outcome, Outcome::Replaced);
    assert_eq!(open_again(library, dir.path()).status().without_vectors, 0);
}

fn open_again(library: Library, folder: &Path) -> Library {
    drop(library);
    open(folder)
}

#[tokio::test]
async fn a_crash_between_the_vectors_and_the_record_of_the_next_version_costs_no_vectors() {
    let (dir, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let library = open(dir.path());
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    let id = public("a.md");
    let log = vectors_of(dir.path()).join("00000000.log");
    let before = fs::read(&log).unwrap();
    let vectors = library.state().slot(&id).unwrap().vectors.clone().unwrap();
    let next = Kept { version: [7; 32], vectors };
    let then = || {
        copy(dir.path(), crashed.path());
        Ok::<(), FileError>(())
    };
    library.inner.vectors.put_then([(id.key(), &next)].into_iter(), then).unwrap();
    // When the record was written those of the old version are erased.
    let after = fs::read(&log).unwrap();
    assert!(after[before.len() - 100..before.len()].iter().all(|byte| *byte == 0));
    assert!(before[before.len() - 100..].iter().any(|byte| *byte != 0));
    for _ in 0..2 {
        assert_eq!(open(crashed.path()).status().without_vectors, 0);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_removed_by_who_sees_every_team_and_told_to_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let (red, everybody) = (identity(&["red"]), identity(&["*"]));
    let secret =
        Submission { team: Some("red".to_owned()), ..submission("a.md", "The red secret.") };
    library.ingest(secret, &red).await.unwrap();
    drop(library);
    let log = dir.path().join("documents").join("00000000.log");
    let mut bytes = fs::read(&log).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&log, &bytes).unwrap();
    let library = open(dir.path());
    assert_eq!(library.status().damaged.len(), 1);
    let id = DocumentId::new(Some("red"), "a.md");
    // Of which team it is nobody can say any more.
    for who in [identity(&[]), identity(&["blue"]), red] {
        assert!(!library.remove(&id, &who).await.unwrap());
    }
    assert!(has(&fs::read(&log).unwrap(), "secret"));
    assert!(library.remove(&id, &everybody).await.unwrap());
    assert!(!has(&fs::read(&log).unwrap(), "secret"));
    assert!(library.status().damaged.is_empty());
    assert!(!library.remove(&id, &everybody).await.unwrap());
    let library = open_again(library, dir.path());
    assert!(library.status().damaged.is_empty());
    assert!(!library.remove(&id, &everybody).await.unwrap());
}

/// Puts a file in the place of the index, into which nothing can be written then.
fn without_index(folder: &Path) {
    fs::rename(folder.join("index"), folder.join("away")).unwrap();
    fs::write(folder.join("index"), "").unwrap();
}

fn with_index(folder: &Path) {
    fs::remove_file(folder.join("index")).unwrap();
    fs::rename(folder.join("away"), folder.join("index")).unwrap();
}

#[tokio::test]
async fn a_document_that_the_index_could_not_take_is_there_and_found_with_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    without_index(dir.path());
    let pears = submission("b.md", "# Pears\n\nPears keep in the cellar.");
    for _ in 0..2 {
        let error = library.ingest(pears.clone(), &identity(&[])).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(library.find(&public("b.md"), &identity(&[])).is_some());
        assert_eq!(library.holds(pears.clone(), &identity(&[])).await.unwrap(), None);
    }
    with_index(dir.path());
    ingest(&library, "c.md", "# Plums\n\nPlums keep in the cellar.").await;
    let mut names = found(&library, "cellar").await;
    names.sort();
    assert_eq!(names, ["a.md", "b.md", "c.md"]);
    drop(library);
    let library = open(dir.path());
    assert_eq!(found(&library, "cellar").await.len(), 3);
    assert_eq!(library.ingest(pears, &identity(&[])).await.unwrap().outcome, Outcome::Unchanged);
}

#[tokio::test]
async fn a_document_that_the_index_could_not_take_and_that_is_removed_is_never_found() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    without_index(dir.path());
    let pears = submission("b.md", "# Pears\n\nPears keep in the cellar.");
    library.ingest(pears, &identity(&[])).await.unwrap_err();
    library.remove(&public("b.md"), &identity(&[])).await.unwrap_err();
    with_index(dir.path());
    assert!(library.remove(&public("b.md"), &identity(&[])).await.unwrap());
    ingest(&library, "c.md", "# Plums\n\nPlums keep in the cellar.").await;
    assert_eq!(found(&library, "cellar").await, ["c.md"]);
    drop(library);
    assert_eq!(found(&open(dir.path()), "cellar").await, ["c.md"]);
}

#[tokio::test]
async fn an_index_that_is_being_caught_up_is_not_taken_for_whole() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    ingest(&library, "b.md", "# Pears\n\nPears keep in the cellar.").await;
    // A removal is cut short before the index, and the opening after that in the middle of its work.
    library.inner.truth.remove(&public("b.md")).unwrap();
    drop(library);
    let index = TextIndex::open(&dir.path().join("index")).unwrap();
    let mut state = State::new(index.searcher());
    let truth = Truth::open(dir.path().join("documents"), &mut state).unwrap();
    index.add(&[], &truth).unwrap();
    drop((index, truth));
    assert_eq!(found(&open(dir.path()), "cellar").await, ["a.md"]);
}
