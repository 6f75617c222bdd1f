//! Questions in words to a real node, over HTTP and on the command line.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::node::{Node, perennial};

mod models;

const NO_ENGINE: &str = "[docker]\nhost = \"unix:///nowhere/docker.sock\"\n";

/// What can be asked of a node with notes.
const TABLE: &str = r#"
default: note
examples: [What does the note a.txt say?]
intents:
  - id: note
    keywords: [note]
    patterns: ['note (?P<path>\S+\.txt)']
    steps:
      - {id: note, tool: file_read, arguments: {path: "{{ inputs.path or 'a.txt' }}"}}
    answer: "It says: {{ steps.note.result.content }}"
"#;

fn ask(node: &Node, question: &str, more: &[&str]) -> (i32, String) {
    let url = node.url("");
    let output = perennial(Path::new("/"), &[&["ask", question, "--node", &url], more].concat());
    let text = String::from_utf8(output.stdout).expect("the answer is text");
    (output.status.code().expect("the command ended by itself"), text)
}

/// A question over HTTP, and the document of its query once it has ended.
async fn posted(node: &Node, body: &Value) -> (u16, Value) {
    let (status, text) = node.post("/v1/queries?wait=20", body).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[tokio::test]
async fn a_node_answers_questions_from_its_table_and_asks_back_who_asks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("a.txt"), "all is well").unwrap();
    fs::write(path("intents.yaml"), TABLE).unwrap();
    let toml = format!(
        "[query]\nintents = {:?}\n[[query.file.roots]]\nname = \"notes\"\npath = {:?}\n",
        path("intents.yaml"),
        path("")
    );
    let node = Node::builder().toml(NO_ENGINE).toml(&toml).start_listening().await;
    let (status, query) =
        posted(&node, &json!({"question": "What does the note a.txt say?"})).await;
    assert_eq!((status, &query["outcome"]), (200, &json!("succeeded")), "{query}");
    assert_eq!(query["answer"]["text"], "It says: all is well");
    assert_eq!((&query["type"], &query["inputs"]["path"]), (&json!("question"), &json!("a.txt")));
    fs::write(path("a.txt"), "all is better").unwrap();
    let again = ask(&node, " what does the NOTE a.txt say", &[]);
    assert_eq!(again, (0, "It says: all is well\n\n[[a.txt]] a.txt\n".to_owned()));
    let fresh = ask(&node, "what does the note a.txt say?", &["--fresh"]);
    assert_eq!(fresh, (0, "It says: all is better\n\n[[a.txt]] a.txt\n".to_owned()));
    let (status, query) = posted(&node, &json!({"question": " hello "})).await;
    assert_eq!((status, &query["outcome"]), (200, &json!("clarification")), "{query}");
    assert_eq!((&query["steps"], &query["success"]), (&json!([]), &json!(false)));
    let (code, text) = ask(&node, "?", &[]);
    assert_eq!(code, 1);
    assert!(text.contains("- What does the note a.txt say?"), "{text}");
}

#[tokio::test]
async fn a_node_without_a_table_answers_what_it_knows_of_its_containers() {
    let node = Node::builder().toml(NO_ENGINE).start_listening().await;
    let (code, text) = ask(&node, "Which containers are there, and what was done?", &[]);
    assert_eq!((code, text.as_str()), (0, "No container is known here.\n\nNothing was done.\n"));
    let (code, text) = ask(&node, "Which tools are there?", &["--json"]);
    let query: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0, "{text}");
    assert!(query["answer"]["text"].as_str().unwrap().contains("fleet"), "{text}");
}

#[tokio::test]
async fn a_question_that_cannot_be_asked_is_refused() {
    let node = Node::builder().toml(NO_ENGINE).start_listening().await;
    let cases = [
        json!({"question": ""}),
        json!({"question": "x".repeat(1_001)}),
        json!({"question": "Which tools are there?", "inputs": {}}),
        json!({"question": "Which tools are there?", "yaml": "name: a"}),
    ];
    for body in cases {
        assert_eq!(node.post("/v1/queries", &body).await.0, 400, "{body}");
    }
}

#[test]
fn a_table_with_mistakes_keeps_the_node_from_starting_and_names_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("intents.yaml");
    fs::write(&table, TABLE.replace("file_read", "file_raed")).unwrap();
    let config = directory.path().join("perennial.toml");
    fs::write(&config, format!("{NO_ENGINE}[query]\nintents = {:?}\n", table.display())).unwrap();
    let config = config.display().to_string();
    let output = perennial(directory.path(), &["run", "--config", &config, "--data-dir", "data"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("line 9: step `note`: tool: there is no tool `file_raed`"), "{text}");
}
