//! Whose turn it is, and who holds whom up.

use super::*;
use crate::Embedder;
use crate::files::UNSYNCABLE;
use crate::library::Outcome;

/// An embedder that fails at texts with `refused` and waits at texts with `gated`, each until it is told otherwise, and
/// panics at the first text with `startling`.
struct Moody {
    refuses: AtomicBool,
    startled: AtomicBool,
    open: watch::Sender<bool>,
}

impl Moody {
    fn library(folder: &Path) -> (Library, Arc<Self>) {
        let open = watch::channel(false).0;
        let (refuses, startled) = (AtomicBool::new(true), AtomicBool::new(false));
        let moody = Arc::new(Self { refuses, startled, open });
        let config = Config { embedder: moody.clone(), ..Config::default() };
        (Library::open(folder, config).unwrap(), moody)
    }
}

impl Embedder for Moody {
    fn name(&self) -> &str {
        "moody"
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, ToolError>> {
        let says = |word| texts.iter().any(|text| text.contains(word));
        let refused = says("refused") && self.refuses.load(Ordering::SeqCst);
        let startled = says("startling") && !self.startled.swap(true, Ordering::SeqCst);
        let gated = says("gated");
        Box::pin(async move {
            assert!(!startled, "what a surprise");
            if refused {
                return Err(ToolError::new(ErrorKind::Unavailable, "not today"));
            }
            if gated {
                self.open.subscribe().wait_for(|open| *open).await.unwrap();
            }
            Ok(texts.iter().map(|_| vec![1.0, 0.0]).collect())
        })
    }
}

async fn accept(library: &Library, name: &str, word: &str) -> Ticket {
    library.accept(submission(name, &long(word, 3)), &identity(&[])).await.unwrap()
}

/// Waits until the document has ended.
async fn end(library: &Library, ticket: Ticket) -> Result<Ingested, ToolError> {
    tokio::time::timeout(PATIENCE, library.ended(ticket)).await.expect("it does not end")
}

async fn delayed(library: &Library, name: &str) {
    let stage = || library.progress(&public(name), &identity(&[])).map(|progress| progress.stage);
    let is = || matches!(stage(), Some(Stage::Delayed(_))).then_some(());
    eventually("it is delayed", is).await;
}

async fn stop(working: tokio::task::JoinHandle<()>) {
    working.abort();
    assert!(working.await.unwrap_err().is_cancelled());
}

/// What is found now, and after the library was opened again and all was taken in.
async fn lasts(library: Library, folder: &Path, word: &str, not: &str) {
    assert!(!found(&library, word).await.is_empty(), "{word} is not there");
    assert!(found(&library, not).await.is_empty(), "{not} is there");
    drop(library);
    let library = Moody::library(folder).0;
    taken_in(&library).await;
    assert!(!found(&library, word).await.is_empty(), "{word} did not last");
    assert!(found(&library, not).await.is_empty(), "{not} came back");
}

#[tokio::test]
async fn what_its_caller_was_told_had_failed_is_not_taken_in_and_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (library, _) = Moody::library(dir.path());
    let book = Arc::new(Book::default());
    library.record_with(book.clone());
    let in_the_way = dir.path().join("accepted").join(UNSYNCABLE);
    fs::write(&in_the_way, "").unwrap();
    let old = submission("a.md", &long("quinces", 3));
    let error = library.accept(old, &identity(&[])).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let working = tokio::spawn(library.clone().take_in());
    delayed(&library, "a.md").await;
    fs::remove_file(&in_the_way).unwrap();
    let newer = accept(&library, "a.md", "medlars").await;
    assert_eq!(end(&library, newer).await.unwrap().outcome, Outcome::Added);
    stop(working).await;
    assert!(accepted(dir.path()).is_empty());
    // Only what was accepted is told of.
    assert_eq!(*book.told.lock().unwrap(), ["a.md by analyst: added"]);
    lasts(library, dir.path(), "medlars", "quinces").await;
}

#[tokio::test]
async fn a_later_version_waits_until_what_could_not_be_accepted_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (library, _) = Moody::library(dir.path());
    // Neither can it be written there nor removed from there.
    let in_the_way = dir.path().join("accepted").join(format!("{:016x}.accepted", 1));
    fs::create_dir(&in_the_way).unwrap();
    let old = submission("a.md", &long("quinces", 3));
    library.accept(old, &identity(&[])).await.unwrap_err();
    let newer = accept(&library, "a.md", "medlars").await;
    let working = tokio::spawn(library.clone().take_in());
    // What could go past it would have by then.
    for name in ["b.md", "c.md", "d.md"] {
        let other = accept(&library, name, name).await;
        end(&library, other).await.unwrap();
    }
    assert!(found(&library, "medlars").await.is_empty());
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(end(&library, newer).await.unwrap().outcome, Outcome::Added);
    stop(working).await;
    lasts(library, dir.path(), "medlars", "quinces").await;
}

#[tokio::test]
async fn documents_that_cannot_be_taken_in_now_hold_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (library, moody) = Moody::library(dir.path());
    let mut tickets = Vec::new();
    for number in 0..=AT_A_TIME {
        tickets.push(accept(&library, &format!("{number}.md"), &format!("refused {number}")).await);
    }
    let other = accept(&library, "other.md", "quinces").await;
    let working = tokio::spawn(library.clone().take_in());
    assert_eq!(end(&library, other).await.unwrap().outcome, Outcome::Added);
    moody.refuses.store(false, Ordering::SeqCst);
    for ticket in tickets {
        assert_eq!(end(&library, ticket).await.unwrap().outcome, Outcome::Added);
    }
    stop(working).await;
}

#[test]
fn the_bytes_of_what_rests_do_not_count_and_its_later_versions_wait() {
    let mut jobs = Jobs::default();
    for (number, name) in [(1, "a.md"), (2, "b.md"), (3, "c.md"), (4, "a.md")] {
        let spooled = Spooled { submission: submission(name, ""), identity: identity(&[]) };
        let mut job = Job::of(&spooled);
        job.bytes = 16 << 20;
        jobs.add(number, job);
    }
    assert_eq!([jobs.next(), jobs.next(), jobs.next()], [Some(1), Some(2), None]);
    assert_eq!(jobs.delay(1, "not today".to_owned()), Duration::from_secs(1));
    assert_eq!([jobs.next(), jobs.next()], [Some(3), None]);
    jobs.delay(2, "not today".to_owned());
    // Of what is left the first rests, and the last is behind the first.
    assert_eq!(jobs.next(), None);
    jobs.wake(1);
    assert_eq!(jobs.next(), Some(1));
    assert_eq!(jobs.delay(1, "not today".to_owned()), Duration::from_secs(2));
}

#[tokio::test]
async fn a_document_at_which_something_panics_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (library, moody) = Moody::library(dir.path());
    let ticket = accept(&library, "a.md", "startling").await;
    let working = tokio::spawn(library.clone().take_in());
    assert_eq!(end(&library, ticket).await.unwrap().outcome, Outcome::Added);
    assert!(moody.startled.load(Ordering::SeqCst));
    stop(working).await;
}

#[tokio::test]
async fn what_is_handed_in_directly_comes_behind_what_was_accepted_before() {
    let dir = tempfile::tempdir().unwrap();
    let (library, _) = Moody::library(dir.path());
    let nobody = identity(&[]);
    accept(&library, "a.md", "quinces").await;
    let newer = library.ingest(submission("a.md", &long("medlars", 3)), &nobody);
    let mut newer = Box::pin(newer);
    // Others are not held up.
    for number in 0..5 {
        let name = format!("{number}.md");
        let other = Box::pin(ingest(&library, &name, &name));
        match futures::future::select(newer, other).await {
            futures::future::Either::Left(_) => panic!("it went past what was accepted"),
            futures::future::Either::Right((_, waiting)) => newer = waiting,
        }
    }
    let working = tokio::spawn(library.clone().take_in());
    let newer = tokio::time::timeout(PATIENCE, newer).await.unwrap().unwrap();
    assert_eq!(newer.outcome, Outcome::Replaced);
    stop(working).await;
    lasts(library, dir.path(), "medlars", "quinces").await;
}

#[tokio::test]
async fn what_is_handed_in_directly_does_not_go_past_what_is_delayed() {
    let dir = tempfile::tempdir().unwrap();
    let (library, moody) = Moody::library(dir.path());
    let older = accept(&library, "a.md", "refused").await;
    let working = tokio::spawn(library.clone().take_in());
    delayed(&library, "a.md").await;
    let newer = submission("a.md", &long("medlars", 3));
    let error = library.ingest(newer.clone(), &identity(&[])).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("an earlier version of `a.md`"), "{error}");
    assert!(error.message.contains("not today"), "{error}");
    assert!(found(&library, "medlars").await.is_empty());
    moody.refuses.store(false, Ordering::SeqCst);
    end(&library, older).await.unwrap();
    let replaced = library.ingest(newer, &identity(&[])).await.unwrap();
    assert_eq!(replaced.outcome, Outcome::Replaced);
    stop(working).await;
    lasts(library, dir.path(), "medlars", "refused").await;
}

#[tokio::test]
async fn what_is_accepted_while_another_version_is_handed_in_directly_comes_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let (library, moody) = Moody::library(dir.path());
    let of = library.clone();
    let older = tokio::spawn(async move { ingest(&of, "a.md", &long("gated", 3)).await });
    eventually("it is begun", || (moody.open.receiver_count() > 0).then_some(())).await;
    let newer = accept(&library, "a.md", "medlars").await;
    let other = accept(&library, "b.md", "pears").await;
    let working = tokio::spawn(library.clone().take_in());
    end(&library, other).await.unwrap();
    moody.open.send_replace(true);
    assert_eq!(older.await.unwrap().outcome, Outcome::Added);
    assert_eq!(end(&library, newer).await.unwrap().outcome, Outcome::Replaced);
    stop(working).await;
    lasts(library, dir.path(), "medlars", "gated").await;
}

#[tokio::test]
async fn who_goes_away_before_his_turn_changes_nothing_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (library, _) = Moody::library(dir.path());
    accept(&library, "a.md", "quinces").await;
    let nobody = identity(&[]);
    let mut given_up = Box::pin(library.ingest(submission("a.md", &long("medlars", 3)), &nobody));
    assert!(futures::poll!(&mut given_up).is_pending());
    let last = accept(&library, "a.md", "pears").await;
    drop(given_up);
    taken_in(&library).await;
    assert_eq!(end(&library, last).await.unwrap().outcome, Outcome::Replaced);
    lasts(library, dir.path(), "pears", "medlars").await;
}
