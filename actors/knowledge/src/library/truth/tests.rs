use perennial_query::plan::ErrorKind;

use crate::testing::{Constant, identity, ingest, open, public, submission};
use crate::{Config, Library};

/// What could not be cut off may be any document, so none is said not to be there; and nobody learns more of it.
#[tokio::test]
async fn while_it_is_not_known_what_is_stored_no_removal_says_that_there_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let library = open(dir.path());
    ingest(&library, "a.md", "# Apples\n\nApples keep in the cellar.").await;
    library.inner.truth.log.give_up();
    for who in [identity(&[]), identity(&["*"])] {
        for name in ["a.md", "b.md"] {
            let error = library.remove(&public(name), &who).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unavailable);
            assert!(error.message.contains("restart the node"), "{error}");
        }
    }
    drop(library);
    let library = open(dir.path());
    assert!(!library.remove(&public("b.md"), &identity(&[])).await.unwrap());
    assert!(library.remove(&public("a.md"), &identity(&[])).await.unwrap());
}

#[tokio::test]
async fn no_vectors_are_made_of_what_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = std::sync::Arc::new(Constant { name: "down", works: false });
    let library = Library::open(dir.path(), Config { embedder, ..Config::default() }).unwrap();
    library.inner.truth.log.give_up();
    let apples = submission("a.md", "# Apples\n\nApples keep in the cellar.");
    let error = library.ingest(apples, &identity(&[])).await.unwrap_err();
    assert!(error.message.contains("restart the node"), "{error}");
}
