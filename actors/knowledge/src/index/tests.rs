use proptest::prelude::*;

use super::*;
use crate::document::{Document, FORMAT, Format, Header, Place, content_hash};

fn document(name: &str, texts: &[&str]) -> Document {
    let id = DocumentId::new(None, name);
    let chunk = |text: &&str| Chunk {
        id: ChunkId::new(&id, text),
        place: Place::default(),
        text: (*text).to_owned(),
    };
    let chunks: Vec<Chunk> = texts.iter().map(chunk).collect();
    let header = Header {
        format: FORMAT,
        id: id.clone(),
        name: name.to_owned(),
        title: name.to_owned(),
        written_in: Format::Text,
        team: None,
        metadata: Default::default(),
        chunks: u32::try_from(chunks.len()).unwrap(),
        content: content_hash(texts.iter().copied()),
        links: Vec::new(),
        reading: Default::default(),
    };
    Document { header, headings: Vec::new(), terms: Vec::new(), chunks }
}

fn version(number: usize) -> String {
    format!("{number:064}")
}

fn entry(document: &Document, number: usize) -> Arc<Entry> {
    Entry::new(&document.header, &version(number)).unwrap()
}

fn index(documents: &[Document]) -> (tempfile::TempDir, TextIndex) {
    let dir = tempfile::tempdir().unwrap();
    let index = TextIndex::open(&dir.path().join("index")).unwrap();
    for document in documents {
        index.replace([(document, &*entry(document, 1))].into_iter(), "").unwrap();
    }
    (dir, index)
}

fn texts(index: &TextIndex, query: &str, most: usize) -> Vec<String> {
    let lexical = index.searcher().search(query, &Scope::default(), most).unwrap();
    lexical.found.into_iter().map(|found| found.text).collect()
}

#[test]
fn the_chunk_that_has_more_of_the_rarer_words_comes_first() {
    let (_dir, index) = index(&[document(
        "a",
        &["the pump runs", "the pump and the turbine run", "the weather", "a pump, a pump"],
    )]);
    assert_eq!(texts(&index, "turbines pumped", 2)[0], "the pump and the turbine run");
    assert_eq!(texts(&index, "\"turbine run\"", 9), ["the pump and the turbine run"]);
    assert!(texts(&index, "\"run turbine\"", 9).is_empty());
    assert!(texts(&index, "unknown", 9).is_empty());
}

#[test]
fn equals_come_in_the_same_order_however_the_index_was_written() {
    let all: Vec<Document> = ["a", "b", "c"]
        .iter()
        .map(|name| document(name, &["one pump here", "one pump there"]))
        .collect();
    let (_dir, forwards) = index(&all);
    let (_dir, backwards) = index(&all.iter().rev().cloned().collect::<Vec<_>>());
    let order = |index: &TextIndex| -> Vec<ChunkId> {
        index
            .searcher()
            .search("pump", &Scope::default(), 9)
            .unwrap()
            .found
            .iter()
            .map(|found| found.chunk)
            .collect()
    };
    assert_eq!(order(&forwards).len(), 6);
    assert_eq!(order(&forwards), order(&backwards));
    let first: Vec<ChunkId> = order(&forwards).into_iter().take(3).collect();
    let searcher = forwards.searcher();
    let fewer = searcher.search("pump", &Scope::default(), 3).unwrap();
    assert_eq!(fewer.found.iter().map(|found| found.chunk).collect::<Vec<_>>(), first);
}

#[test]
fn a_filter_takes_no_place_among_the_best() {
    let many: Vec<String> = (0..50).map(|number| format!("pump pump pump {number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (_dir, index) = index(&[
        document("many", &many),
        document("one", &["a text in which a pump is named once"]),
    ]);
    let one = DocumentId::new(None, "one");
    let within = |documents: &[DocumentId]| {
        let scope = Scope { documents: Some(documents.to_vec()), ..Scope::default() };
        index.searcher().search("pump", &scope, 1).unwrap().found
    };
    assert_eq!(within(std::slice::from_ref(&one))[0].document, one);
    assert!(within(&[]).is_empty());
}

#[test]
fn an_earlier_searcher_does_not_see_what_comes_later() {
    let (_dir, index) = index(&[document("a", &["the pump runs"])]);
    let before = index.searcher();
    let later = document("a", &["the valve shuts"]);
    index.replace([(&later, &*entry(&later, 2))].into_iter(), "").unwrap();
    assert_eq!(before.search("pump", &Scope::default(), 9).unwrap().found.len(), 1);
    assert!(before.search("valve", &Scope::default(), 9).unwrap().found.is_empty());
    assert_eq!(texts(&index, "valve", 9), ["the valve shuts"]);
}

#[test]
fn what_is_in_the_index_is_counted_without_what_was_taken_out() {
    let all = [document("a", &["one", "two"]), document("b", &["three"])];
    let (_dir, index) = index(&all);
    let count = || inventory::count(&index.reader.searcher(), index.fields.version).unwrap();
    let of = |name: &str| versioned(&DocumentId::new(None, name), &version(1));
    assert_eq!(count(), [(of("a"), 2), (of("b"), 1)].into());
    index.remove(&DocumentId::new(None, "a"), "").unwrap();
    assert_eq!(count().get(&of("a")).copied().unwrap_or_default(), 0);
    assert_eq!(count()[&of("b")], 1);
}

#[test]
fn of_a_change_that_fails_nothing_is_found_also_after_the_next_one() {
    let (_dir, index) = index(&[]);
    let (lost, kept) = (document("a", &["the pump runs"]), document("b", &["the valve shuts"]));
    let failed: Result<(), LibraryError> = index.change("", |writer| {
        index.put(writer, &lost, &version(1))?;
        let broken = std::io::Error::other("the disk is gone");
        Err(files::FileError::of("read a document")(broken).into())
    });
    failed.unwrap_err();
    index.replace([(&kept, &*entry(&kept, 1))].into_iter(), "").unwrap();
    assert_eq!(texts(&index, "pump valve", 9), ["the valve shuts"]);
}

#[tokio::test]
async fn parts_that_were_joined_leave_no_files_behind() {
    let all: Vec<Document> =
        (0..40).map(|number| document(&format!("{number}"), &["the pump runs"])).collect();
    let (dir, index) = index(&all);
    let parts = || index.index.searchable_segment_ids().unwrap().len();
    let stores = || {
        let files = files::list(&dir.path().join("index")).unwrap();
        files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "store")).count()
    };
    let joined = async {
        while parts() >= 8 || stores() > parts() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            index.refresh().unwrap();
            index.sweep().unwrap();
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), joined).await.unwrap();
    assert!(!index.refresh().unwrap(), "there is nothing more to let go of");
    assert_eq!(texts(&index, "pump", 50).len(), 40);
}

/// What a person might write, and what the query languages of search engines are made of.
fn queries() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[-+&|!(){}\\[\\]^\"~*?:\\\\/<>=a-c ]{0,30}"]
}

proptest! {
    #[test]
    fn whatever_is_asked_gives_results_or_none(query in queries()) {
        // Made once per thread: it is only read.
        thread_local!(static INDEX: (tempfile::TempDir, TextIndex) =
            index(&[document("a", &["the pump runs", "AND OR NOT * a b c", "12\" pipes (steel)"])]));
        INDEX.with(|(_dir, index)| {
            prop_assert!(index.searcher().search(&query, &Scope::default(), 10).is_ok());
            let quoted = format!("\"{query}\" pump");
            prop_assert!(index.searcher().search(&quoted, &Scope::default(), 10).is_ok());
            Ok(())
        })?;
    }
}
