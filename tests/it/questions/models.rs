//! Questions that models plan and answer, on a real node.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{NO_ENGINE, ask, posted};
use crate::support::model::{Act, ModelServer};
use crate::support::node::Node;

/// A node with notes, whose models are at `url`.
async fn node(notes: &TempDir, url: &str) -> Node {
    let path = |name: &str| notes.path().join(name).display().to_string();
    fs::write(path("a.txt"), "all is well").unwrap();
    fs::write(path("intents.yaml"), super::TABLE.replace("default: note\n", "")).unwrap();
    let toml = format!(
        "[query]\nintents = {:?}\n[[query.file.roots]]\nname = \"notes\"\npath = {:?}\n\
         [[query.llm.models]]\nname = \"small\"\nmodel = \"m-1\"\nbase_url = {url:?}\n\
         [query.questions]\nplanner = \"fallback\"\nanswers = \"wanted\"\n",
        path("intents.yaml"),
        path("")
    );
    Node::builder().toml(NO_ENGINE).toml(&toml).start_listening().await
}

#[tokio::test]
async fn a_model_plans_and_answers_what_the_table_does_not_know() {
    let plan = json!({"name": "how_it_is", "steps": [
        {"id": "look", "tool": "file_read", "arguments": {"path": "a.txt"}}
    ]});
    let answer = json!({"confidence": 0.9, "claims": [
        {"text": "All is well.", "citations": ["a.txt"]},
        {"text": "It will stay so.", "citations": ["b.txt"]},
    ]});
    let server = ModelServer::start([Act::say("Well…"), Act::say(plan), Act::say(answer)]).await;
    let notes = tempfile::tempdir().unwrap();
    let node = node(&notes, &server.url).await;
    let body = json!({"question": "How is everything?", "answer_by": "model"});
    let (status, query) = posted(&node, &body).await;
    assert_eq!((status, &query["outcome"]), (200, &json!("succeeded")), "{query}");
    let composed = json!({"text": "All is well. [[a.txt]]", "composed_by": "small"});
    assert_eq!(query["answer"]["text"], composed["text"], "{query}");
    assert_eq!(
        (&query["answer"]["composed_by"], &query["name"]),
        (&json!("small"), &json!("how_it_is"))
    );
    assert!(query["warnings"].to_string().contains("1 of 2 claims"), "{query}");
    let calls: Vec<&Value> = query["model_calls"].as_array().unwrap().iter().collect();
    let purposes: Vec<&Value> = calls.iter().map(|call| &call["purpose"]).collect();
    assert_eq!(purposes, ["plan", "plan", "answer"]);
    let id = query["id"].as_str().unwrap();
    let (_, events) = node.get(&format!("/v1/queries/{id}/events")).await;
    for event in ["planning_started", "planning_ended", "answering_started", "answering_ended"] {
        assert!(events.contains(&format!("event: {event}\n")), "{events}");
    }
    let (_, figures) = node.get("/metrics").await;
    for line in [
        "perennial_query_tokens_total{model=\"small\",direction=\"read\"} 90",
        "perennial_query_model_calls_total{purpose=\"plan\",outcome=\"refused\"} 1",
        "perennial_query_model_calls_total{purpose=\"answer\",outcome=\"used\"} 1",
        "perennial_query_model_calls_total{purpose=\"answer\",outcome=\"failed\"} 0",
    ] {
        assert!(figures.contains(line), "{line} in {figures}");
    }
}

#[tokio::test]
async fn where_no_model_answers_a_question_has_the_composed_answer_and_is_degraded() {
    let url = ModelServer::dead().await;
    let notes = tempfile::tempdir().unwrap();
    let node = node(&notes, &url).await;
    let (code, text) = ask(&node, "What does the note say?", &["--answer-by", "model"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.starts_with("degraded: no model worded the answer: "), "{text}");
    assert!(text.contains("\n\nIt says: all is well\n"), "{text}");
    let (_, list) = node.get("/v1/queries?outcome=degraded").await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(ask(&node, "What does the note say?", &[]).0, 0);
    let refused = json!({"yaml": "name: a\nsteps: []", "answer_by": "model"});
    assert_eq!(node.post("/v1/queries", &refused).await.0, 400);
}
