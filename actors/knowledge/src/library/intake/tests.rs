mod order;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use futures::future::BoxFuture;
use serde_json::json;

use super::*;
use crate::library::{Config, Recorder, Taken};
use crate::testing::{Constant, call, hits, identity, ingest, long, open, public, submission};

/// Far above what it takes, for machines that do much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again until `seen` gives something.
async fn eventually<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = seen() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Takes in everything that was accepted, and stops.
async fn taken_in(library: &Library) {
    let working = tokio::spawn(library.clone().take_in());
    let nobody = identity(&["*"]);
    eventually("everything is taken in", || library.waiting(&nobody).is_empty().then_some(()))
        .await;
    working.abort();
    assert!(working.await.unwrap_err().is_cancelled());
}

/// Passages with this word, by the names of their documents.
async fn found(library: &Library, word: &str) -> Vec<String> {
    hits(&call(library, "search", json!({"query": word, "top_k": 100}), &["*"]).await.unwrap())
}

fn accepted(folder: &Path) -> Vec<PathBuf> {
    crate::files::list(&folder.join("accepted")).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in crate::files::list(from).unwrap() {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_accepted_before_a_crash_is_indexed_once_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let nobody = identity(&[]);
    library.accept(submission("a.md", &long("quinces", 6)), &nobody).await.unwrap();
    assert_eq!(library.progress(&public("a.md"), &nobody).unwrap().stage, Stage::Pending);
    assert!(found(&library, "quinces").await.is_empty());
    drop(library);
    let library = open(dir.path());
    assert_eq!(library.waiting(&nobody).len(), 1);
    taken_in(&library).await;
    let chunks = library.status().chunks;
    assert_eq!(found(&library, "quinces").await, vec!["a.md"; chunks]);
    assert!(accepted(dir.path()).is_empty());
    drop(library);
    assert_eq!(found(&open(dir.path()), "quinces").await, vec!["a.md"; chunks]);
}

/// Each folder is what a crash leaves behind that comes after one more thing was written.
#[tokio::test]
async fn wherever_a_crash_cuts_an_accepted_document_is_there_wholly_and_once() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let library = open(before.path());
    ingest(&library, "old.md", &long("medlars", 6)).await;
    library.accept(submission("new.md", &long("quinces", 6)), &identity(&[])).await.unwrap();
    drop(library);
    copy(before.path(), after.path());
    let library = open(after.path());
    taken_in(&library).await;
    let whole = library.status();
    drop(library);
    let embedder = crate::files::list(&before.path().join("vectors")).unwrap().remove(0);
    let embedder = embedder.file_name().unwrap().to_str().unwrap().to_owned();
    let (vectors, documents) =
        (format!("vectors/{embedder}/00000000.log"), "documents/00000000.log".to_owned());
    type Step<'a> = &'a dyn Fn(&Path);
    let put = |folder: &Path, name: &str| {
        fs::copy(after.path().join(name), folder.join(name)).unwrap();
    };
    // A record is cut in the middle.
    let put_half = |folder: &Path, name: &str| {
        let there = fs::read(folder.join(name)).unwrap().len();
        let bytes = fs::read(after.path().join(name)).unwrap();
        fs::write(folder.join(name), &bytes[..there + (bytes.len() - there) / 2]).unwrap();
    };
    let steps: [Step<'_>; 7] = [
        &|_| {},
        &|folder| put_half(folder, &vectors),
        &|folder| put(folder, &vectors),
        &|folder| put_half(folder, &documents),
        &|folder| put(folder, &documents),
        &|folder| {
            fs::remove_dir_all(folder.join("index")).unwrap();
            copy(&after.path().join("index"), &folder.join("index"));
        },
        &|folder| accepted(folder).iter().for_each(|path| fs::remove_file(path).unwrap()),
    ];
    for cut in 0..steps.len() {
        let dir = tempfile::tempdir().unwrap();
        copy(before.path(), dir.path());
        steps[..=cut].iter().for_each(|step| step(dir.path()));
        let library = open(dir.path());
        taken_in(&library).await;
        assert_eq!(library.status(), whole, "cut {cut}");
        for (word, name) in [("quinces", "new.md"), ("medlars", "old.md")] {
            assert_eq!(found(&library, word).await, vec![name; whole.chunks / 2], "cut {cut}");
        }
        assert!(accepted(dir.path()).is_empty(), "cut {cut}");
    }
}

#[tokio::test]
async fn what_was_half_written_was_never_accepted_and_what_is_damaged_is_left_for_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    for name in ["a.md", "b.md"] {
        library.accept(submission(name, &long(name, 6)), &identity(&[])).await.unwrap();
    }
    drop(library);
    let [first, second] = <[PathBuf; 2]>::try_from(accepted(dir.path())).unwrap();
    let bytes = fs::read(&first).unwrap();
    fs::remove_file(&first).unwrap();
    fs::write(first.with_extension("new"), &bytes[..bytes.len() - 1]).unwrap();
    let mut bytes = fs::read(&second).unwrap();
    bytes[100] ^= 1;
    fs::write(&second, bytes).unwrap();
    let library = open(dir.path());
    assert!(library.waiting(&identity(&[])).is_empty());
    assert_eq!(accepted(dir.path()), std::slice::from_ref(&second));
    // What comes later takes another place.
    library.accept(submission("c.md", &long("pears", 6)), &identity(&[])).await.unwrap();
    taken_in(&library).await;
    assert_eq!((library.status().documents, accepted(dir.path())), (1, vec![second]));
}

#[tokio::test]
async fn a_document_that_is_removed_while_it_waits_never_comes() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let nobody = identity(&[]);
    ingest(&library, "a.md", &long("quinces", 6)).await;
    let ticket = library.accept(submission("a.md", &long("medlars", 6)), &nobody).await.unwrap();
    assert!(library.remove(&public("a.md"), &nobody).await.unwrap());
    taken_in(&library).await;
    assert_eq!(library.ended(ticket).await.unwrap_err().kind, ErrorKind::Cancelled);
    assert_eq!(library.status().documents, 0);
    // And what is accepted after that does come.
    library.accept(submission("a.md", &long("pears", 6)), &nobody).await.unwrap();
    taken_in(&library).await;
    assert!(!found(&library, "pears").await.is_empty());
}

#[tokio::test]
async fn of_several_versions_the_one_that_was_accepted_last_stays() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    for number in 0..20 {
        let text = long(&format!("version{number}"), 3);
        library.accept(submission("a.md", &text), &identity(&[])).await.unwrap();
    }
    taken_in(&library).await;
    assert_eq!(library.status().documents, 1);
    assert!(!found(&library, "version19").await.is_empty());
    assert!(found(&library, "version18").await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_taken_in_now_is_kept_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Arc::new(Constant { name: "down", works: false });
    let library = Library::open(dir.path(), Config { embedder, ..Config::default() }).unwrap();
    let nobody = identity(&[]);
    library.accept(submission("a.md", &long("quinces", 3)), &nobody).await.unwrap();
    let working = tokio::spawn(library.clone().take_in());
    let why =
        eventually("it is delayed", || match library.progress(&public("a.md"), &nobody)?.stage {
            Stage::Delayed(why) => Some(why),
            Stage::Pending | Stage::Chunked(_) | Stage::Ended(_) => None,
        })
        .await;
    assert!(why.contains("the service is down"), "{why}");
    working.abort();
    drop((working.await, library));
    assert_eq!(accepted(dir.path()).len(), 1);
    let library = open(dir.path());
    taken_in(&library).await;
    assert!(!found(&library, "quinces").await.is_empty());
}

#[tokio::test]
async fn what_nobody_can_take_in_ends_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let mut pdf = submission("a.pdf", "no PDF at all");
    pdf.format = crate::Format::Pdf;
    let bad = library.accept(pdf, &identity(&[])).await.unwrap();
    let short = library.accept(submission("b.md", "Hi"), &identity(&[])).await.unwrap();
    taken_in(&library).await;
    assert_eq!(library.ended(bad).await.unwrap_err().kind, ErrorKind::Invalid);
    assert!(!library.ended(short).await.unwrap().outcome.is_kept());
    assert!(accepted(dir.path()).is_empty());
    let other = library.progress(&public("a.pdf"), &identity(&[])).unwrap();
    assert!(matches!(other.stage, Stage::Ended(Err(_))), "{other:?}");
}

#[tokio::test]
async fn how_far_a_document_is_is_told_to_its_team_only() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let mut secret = submission("a.md", &long("quinces", 3));
    secret.team = Some("red".to_owned());
    library.accept(secret, &identity(&["red"])).await.unwrap();
    let id = DocumentId::new(Some("red"), "a.md");
    assert!(library.progress(&id, &identity(&["red"])).is_some());
    assert!(library.progress(&id, &identity(&["blue"])).is_none());
    assert!(library.waiting(&identity(&["blue"])).is_empty());
    // Nor can another team take it back.
    assert!(!library.remove(&id, &identity(&["blue"])).await.unwrap());
    taken_in(&library).await;
    assert_eq!(library.status().documents, 1);
}

/// Writes down what is told to it, unless it is out of order.
#[derive(Debug, Default)]
struct Book {
    torn: bool,
    told: Mutex<Vec<String>>,
}

impl Recorder for Book {
    fn taken<'a>(&'a self, taken: &'a Taken) -> BoxFuture<'a, Result<(), String>> {
        let result = taken.result.as_ref().map_or("failed", |ingested| ingested.outcome.as_str());
        let told = format!("{} by {}: {result}", taken.name, taken.by.role);
        Box::pin(async move {
            if self.torn {
                return Err("torn".to_owned());
            }
            self.told.lock().unwrap().push(told);
            Ok(())
        })
    }
}

#[tokio::test]
async fn what_became_of_a_document_is_told_before_it_is_taken_off_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    library.record_with(Arc::new(Book { torn: true, ..Book::default() }));
    let who = Identity { role: "clerk".to_owned(), ..identity(&[]) };
    let pumps = submission("pumps.md", &long("pumps", 3));
    library.accept(pumps, &who).await.unwrap();
    let working = tokio::spawn(library.clone().take_in());
    let torn =
        || library.waiting(&who).iter().any(|one| one.stage == Stage::Delayed("torn".into()));
    eventually("nobody to keep what became of it", || torn().then_some(())).await;
    // The library has it, but nothing that comes later of it may be taken in before.
    library.accept(submission("pumps.md", &long("newer", 3)), &who).await.unwrap();
    assert_eq!(accepted(dir.path()).len(), 2);
    working.abort();
    assert!(working.await.unwrap_err().is_cancelled());
    drop(library);

    let library = open(dir.path());
    let book = Arc::new(Book::default());
    library.record_with(book.clone());
    library.accept(submission("valves.md", "Hi"), &who).await.unwrap();
    taken_in(&library).await;
    let mut told = book.told.lock().unwrap().clone();
    told.sort();
    assert_eq!(told[..2], ["pumps.md by clerk: replaced", "pumps.md by clerk: unchanged"]);
    assert!(told[2].starts_with("valves.md by clerk: ") && told.len() == 3, "{told:?}");
    assert!(accepted(dir.path()).is_empty());
}

#[tokio::test]
async fn what_was_removed_while_it_waited_does_not_come_back_with_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let who = identity(&["*"]);
    library.accept(submission("pumps.md", &long("pumps", 3)), &who).await.unwrap();
    assert!(library.remove(&DocumentId::new(None, "pumps.md"), &who).await.unwrap());
    drop(library);

    let library = open(dir.path());
    assert!(library.waiting(&who).is_empty());
    taken_in(&library).await;
    assert!(found(&library, "pumps").await.is_empty());
}
