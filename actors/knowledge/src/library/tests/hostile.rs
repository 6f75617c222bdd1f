//! Documents of those who mean no good: each is taken in or refused, and the library goes on.

use super::*;
use crate::Format;

/// Bytes of what is large: as large as a test without optimisation bears.
const LARGE: usize = 1 << 17;

/// Takes a document in, or refuses it for what it is.
async fn survives(library: &Library, what: &str, format: Format, content: Vec<u8>) {
    let name = format!("{what} as {}", format.as_str());
    let hostile = Submission { format, content, ..submission(&name, "") };
    let done = library.ingest(hostile, &identity(&[])).await;
    if let Err(error) = done {
        assert_eq!(error.kind, perennial_query::plan::ErrorKind::Invalid, "{name}: {error}");
    }
}

#[tokio::test]
async fn whatever_is_handed_in_is_taken_or_refused_and_the_rest_is_found_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { document_chunks: 4_000, ..Limits::default() };
    let library = Library::open(dir.path(), Config { limits, ..Config::default() }).unwrap();
    ingest(&library, "good.md", "# Good\n\nA lighthouse stands on the rock.").await;
    let times = |text: &str| text.repeat(LARGE / text.len()).into_bytes();
    let nested = |open: &str, close: &str| {
        format!("{}deep inside stands a word{}", open.repeat(100_000), close.repeat(100_000))
    };
    let deep = [
        ("brackets", nested("[", "]")),
        ("quoted quotes", nested(">", "")),
        ("elements", nested("<div>", "</div>")),
        ("elements that never end", nested("<b><a href=x>", "")),
    ];
    for (what, content) in deep {
        for format in [Format::Markdown, Format::Html] {
            survives(&library, what, format, content.clone().into_bytes()).await;
        }
    }
    let large = [
        ("one line of words", times("word ")),
        ("one word", times("w")),
        ("one line of marks", times("*_`[(")),
        ("quotes that never end", times("\"a,")),
        ("headings alone", times("# a heading\n\n")),
        ("nothing but NUL", vec![0; LARGE]),
        ("no UTF-8", vec![0xff; LARGE]),
        (
            "long names of columns",
            [vec![b'n'; LARGE], b"\n".to_vec(), b"a\n".repeat(4_000)].concat(),
        ),
        ("entities", times("&#x41;&lt;&nonsense;")),
        ("right to left and joined", times("\u{202e}a\u{0301}\u{200d}\u{feff}")),
    ];
    for (what, content) in large {
        for (_, format) in Format::ALL {
            survives(&library, what, format, content.clone()).await;
        }
        assert_eq!(found(&library, "lighthouse").await, ["good.md"], "{what}");
    }
    for byte in *b"\0\n \"<>[*,%a1\x7f\x80\xc3\xff" {
        for (_, format) in Format::ALL {
            survives(&library, &format!("byte {byte}"), format, vec![byte]).await;
        }
    }
    let documents = library.status().documents;
    drop(library);
    assert_eq!(open(dir.path()).status().documents, documents);
}

#[tokio::test]
async fn a_name_leads_nowhere_and_control_characters_are_in_none() {
    let dir = tempfile::tempdir().unwrap();
    let (outside, inside) = (dir.path().join("outside"), dir.path().join("library"));
    let library = open(&inside);
    fs::write(&outside, "as it was").unwrap();
    let names = [
        "../outside",
        "/etc/passwd",
        "..",
        ".",
        "a/../../outside",
        "C:\\outside",
        "%2e%2e/outside",
        "a b?c#d",
    ];
    for name in names {
        ingest(&library, name, &format!("The file of {name} has a lantern in it.")).await;
    }
    assert_eq!(found(&library, "lantern").await.len(), names.len());
    assert_eq!(fs::read_to_string(&outside).unwrap(), "as it was");
    let top: Vec<PathBuf> = files::list(dir.path()).unwrap();
    assert_eq!(top, [inside.clone(), outside]);
    for name in ["a\0b", "a\nb", "\u{1b}[2J"] {
        let refused =
            library.ingest(submission(name, "Some text."), &identity(&[])).await.unwrap_err();
        assert!(refused.message.contains("control characters"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn documents_that_many_put_in_take_out_and_look_for_at_once_are_wholly_there_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let texts = [long("quinces", 4), long("medlars", 7)];
    let work = (0..4).map(|worker| {
        let (library, texts) = (library.clone(), texts.clone());
        tokio::spawn(async move {
            for round in 0..6 {
                let text = &texts[(worker + round) % 2];
                match (worker + round) % 3 {
                    0 => drop(library.remove(&public("a.md"), &identity(&[])).await.unwrap()),
                    1 => drop(ingest(&library, "a.md", text).await),
                    _ => {
                        for tool in ["search", "vector", "hybrid"] {
                            let arguments = json!({"query": "paragraph", "top_k": 100});
                            let answer = call(&library, tool, arguments, &[]).await.unwrap();
                            let texts: Vec<String> = answer.value.0["hits"]
                                .as_array()
                                .unwrap()
                                .iter()
                                .map(|hit| hit["text"].to_string())
                                .collect();
                            let of = |word: &str| texts.iter().any(|text| text.contains(word));
                            assert!(!(of("quinces") && of("medlars")), "two versions at once");
                        }
                    }
                }
            }
        })
    });
    for done in work.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    let before = library.status();
    drop(library);
    assert_eq!(open(dir.path()).status(), before);
}

/// What is written is bounded by something in the way here, for a full disk is refused in the same way.
#[tokio::test]
async fn a_folder_that_cannot_be_written_refuses_and_what_is_there_is_found() {
    let dir = tempfile::tempdir().unwrap();
    ingest(&open(dir.path()), "good.md", "A lighthouse stands on the rock.").await;
    let embedder = Arc::new(Constant { name: "constant", works: true });
    let library = Library::open(dir.path(), Config { embedder, ..Config::default() }).unwrap();
    // Root may write everywhere, but nobody may make a file where a folder of its name is.
    let vectors = files::list(&dir.path().join("vectors")).unwrap();
    let without = vectors.iter().find(|folder| files::list(folder).unwrap().is_empty()).unwrap();
    let in_the_way = without.join("00000000.log");
    fs::create_dir(&in_the_way).unwrap();
    let id = public("bad.md");
    let nobody = identity(&[]);
    let bad = || library.ingest(submission("bad.md", "A lighthouse burns no oil."), &nobody);
    let error = bad().await.unwrap_err();
    assert_eq!(error.kind, perennial_query::plan::ErrorKind::Unavailable);
    assert!(error.message.contains("check the disk"), "{error}");
    assert_eq!(found(&library, "lighthouse").await, ["good.md"]);
    assert!(library.find(&id, &identity(&[])).is_none());
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(bad().await.unwrap().outcome, Outcome::Added);
    assert_eq!(found(&library, "lighthouse").await, ["bad.md", "good.md"]);
}

#[tokio::test]
async fn the_version_of_the_data_changes_with_every_change_and_not_with_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    let mut versions = vec![library.version()];
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    versions.push(library.version());
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    assert_eq!(library.version(), versions[1], "nothing was changed");
    ingest(&library, "a.md", "# Apples\n\nApples do not keep.").await;
    versions.push(library.version());
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    versions.push(library.version());
    library.remove(&public("a.md"), &identity(&[])).await.unwrap();
    versions.push(library.version());
    let all: std::collections::BTreeSet<u64> = versions.iter().copied().collect();
    assert_eq!(all.len(), versions.len(), "{versions:?}");
    drop(library);
    let version = open(dir.path()).version();
    assert_eq!(open(dir.path()).version(), version);
}
