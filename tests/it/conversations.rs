//! Questions that follow each other, to a real node.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::node::{Node, perennial, sent};
use crate::support::wait::eventually;

const NO_ENGINE: &str = "[docker]\nhost = \"unix:///nowhere/docker.sock\"\n";

const TABLE: &str = r#"
intents:
  - id: note
    keywords: [note]
    patterns: ['note (?P<name>\w+)']
    steps:
      - {id: note, tool: file_read, arguments: {path: "{{ inputs.name }}.txt"}}
    answer: "It says: {{ steps.note.result.content }}"
  - id: careful
    keywords: [careful]
    steps:
      - {id: sure, approval: {prompt: "Really?"}}
    answer: "It is done."
"#;

/// A node with two notes, and what may be asked of them.
async fn node(more: &str) -> (TempDir, Node) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("a.txt"), "all is well").unwrap();
    fs::write(path("b.txt"), "all is better").unwrap();
    fs::write(path("intents.yaml"), TABLE).unwrap();
    let toml = format!(
        "[query]\nintents = {:?}\n[[query.file.roots]]\nname = \"notes\"\npath = {:?}\n{more}",
        path("intents.yaml"),
        path("")
    );
    let node = Node::builder().toml(NO_ENGINE).toml(&toml).start_listening().await;
    (directory, node)
}

/// What is asked on the command line, with `more`; the answer, and what was said beside it.
fn ask(node: &Node, question: &str, more: &[&str]) -> (String, String) {
    let url = node.url("");
    let output = perennial(Path::new("/"), &[&["ask", question, "--node", &url], more].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// The API key that the node gives to somebody.
fn key(node: &Node, name: &str) -> String {
    let url = node.url("");
    let given = ["keys", "create", "--name", name, "--role", "admin", "--node", &url];
    String::from_utf8(perennial(Path::new("/"), &given).stdout).unwrap().trim().to_owned()
}

async fn posted(node: &Node, path: &str, body: &Value) -> (u16, Value) {
    sent(node.http().post(node.url(path)).json(body)).await
}

async fn sent_by(node: &Node, key: &str, request: (Method, &str), body: &Value) -> (u16, Value) {
    let (method, path) = request;
    sent(node.http().request(method, node.url(path)).bearer_auth(key).json(body)).await
}

/// What is answered to what is sent under a name.
async fn once(node: &Node, path: &str, name: &str, body: &Value) -> (u16, Value) {
    let request = node.http().post(node.url(path)).header("idempotency-key", name);
    sent(request.json(body)).await
}

/// D10, made right.
#[tokio::test]
async fn a_conversation_goes_on_where_it_was_after_its_node_is_killed_in_the_middle_of_a_turn() {
    let (_directory, mut node) = node("").await;
    let new = ["--conversation", "new", "--once", "begin"];
    let (answer, told) = ask(&node, "What does note a say?", &new);
    assert!(answer.starts_with("It says: all is well\n"), "{answer}");
    let id = told.lines().find_map(|line| line.strip_prefix("conversation ")).unwrap().to_owned();
    let (_, again) = ask(&node, "What does note a say?", &new);
    assert!(again.contains(&id), "{again}");
    let asked = |question: &str| json!({"question": question, "conversation": id});
    let (status, turn) = posted(&node, "/v1/queries", &asked("be careful")).await;
    assert_eq!((status, &turn["turn"], &turn["queued"]), (202, &json!(2), &json!(false)), "{turn}");
    let query = turn["id"].as_str().unwrap().to_owned();
    let (status, turn) = posted(&node, "/v1/queries?wait=0", &asked("What does note a say?")).await;
    assert_eq!((status, &turn["turn"], &turn["queued"]), (202, &json!(3), &json!(true)), "{turn}");
    assert!(turn.get("id").is_none(), "it has no query yet: {turn}");
    node.kill9();
    node.restart_listening().await;
    let path = format!("/v1/conversations/{id}");
    let document = node.get_json(&path).await;
    let statuses: Vec<&str> = document["turns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| turn["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["ended", "running", "waiting"], "{document}");
    let approve = format!("/v1/queries/{query}/approve");
    let approved = async || {
        // It is asked for before the node knows that the step waits.
        let (status, told) = node.post(&approve, &json!({"step": "sure", "by": "ann"})).await;
        if (200..300).contains(&status) { Ok(()) } else { Err(told) }
    };
    eventually("the step is approved", Duration::from_secs(60), approved).await;
    let (answer, _) = ask(&node, "and b?", &["--conversation", &id]);
    assert!(answer.starts_with("It says: all is better\n"), "{answer}");
    assert!(answer.contains("Taken from the earlier question: what is asked."), "{answer}");
    let said =
        ["all is well", "all is well", "all is better"].map(|said| format!("It says: {said}"));
    let wanted = [said[0].as_str(), "It is done.", &said[1], &said[2]];
    // The conversation is told the end of a query after whoever waits for the query.
    let all_answered = async || {
        let document = node.get_json(&path).await;
        let turns = document["turns"].as_array().unwrap().iter();
        let first =
            |turn: &Value| turn["answer"]["text"].as_str()?.lines().next().map(str::to_owned);
        let answers: Vec<Option<String>> = turns.map(first).collect();
        let same = answers.iter().map(Option::as_deref).eq(wanted.iter().copied().map(Some));
        if same { Ok(()) } else { Err(document.to_string()) }
    };
    eventually("every turn has its answer", Duration::from_secs(60), all_answered).await;
    let queries = node.get_json("/v1/queries").await;
    assert_eq!(queries["items"].as_array().unwrap().len(), 4, "{queries}");
}

#[tokio::test]
async fn a_conversation_is_there_for_its_owner_alone_and_takes_nothing_but_questions() {
    let (_directory, node) = node("").await;
    let body = json!({"question": "What does note a say?", "conversation": "new"});
    let (status, turn) = posted(&node, "/v1/queries?wait=20", &body).await;
    assert_eq!((status, &turn["outcome"]), (200, &json!("succeeded")), "{turn}");
    let id = turn["conversation"].as_str().unwrap();
    for wrong in [
        json!({"question": "a note", "conversation": id, "cache": true}),
        json!({"yaml": "name: a", "conversation": id}),
        json!({"question": "", "conversation": id}),
        json!({"question": "ü".repeat(1_001), "conversation": "new"}),
    ] {
        assert_eq!(node.post("/v1/queries", &wrong).await.0, 400, "{wrong}");
    }
    let worded = json!({"question": "a note", "conversation": id, "answer_by": "model"});
    assert_eq!(node.post("/v1/queries", &worded).await.0, 422);
    for unknown in
        ["c-1", "", "../keys", "c-1/turns", "\u{1}", "ключ", "node\u{1}", &"x".repeat(5_000)]
    {
        let body = json!({"question": "What does note a say?", "conversation": unknown});
        let (status, told) = node.post("/v1/queries", &body).await;
        assert_eq!(status, 404, "{unknown}: {told}");
    }
    let list = node.get_json("/v1/conversations").await;
    assert_eq!(
        list["items"].as_array().unwrap().len(),
        1,
        "nothing was begun by what is wrong: {list}"
    );
    let path = format!("/v1/conversations/{id}");
    let bob = key(&node, "bob");
    for request in [(Method::GET, path.as_str()), (Method::DELETE, path.as_str())] {
        let (status, told) = sent_by(&node, &bob, request, &Value::Null).await;
        assert_eq!(status, 404, "also for who may do everything: {told}");
        let never = told.to_string().replace(id, "c-1");
        let (_, unknown) =
            sent_by(&node, &bob, (Method::GET, "/v1/conversations/c-1"), &Value::Null).await;
        assert_eq!(never, unknown.to_string(), "nobody learns that there is one");
    }
    let body = json!({"question": "What does note a say?", "conversation": id});
    assert_eq!(sent_by(&node, &bob, (Method::POST, "/v1/queries"), &body).await.0, 404);
    let theirs = sent_by(&node, &bob, (Method::GET, "/v1/conversations"), &Value::Null).await;
    assert_eq!(theirs.1["items"], json!([]));
    let after = format!("/v1/conversations?after={id}");
    assert_eq!(sent_by(&node, &bob, (Method::GET, &after), &Value::Null).await.0, 404);
    assert_eq!(node.http().delete(node.url(&path)).send().await.unwrap().status(), 204);
    assert_eq!(node.get(&path).await.0, 404);
    assert_eq!(node.http().delete(node.url(&path)).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn who_waits_in_a_conversation_is_told_what_is_ahead_and_at_once_that_it_was_deleted() {
    let (_directory, node) = node("").await;
    let untitled = json!({});
    let begin = || once(&node, "/v1/conversations", "talk", &untitled);
    let begun = begin().await;
    assert_eq!(begun.0, 201, "{}", begun.1);
    assert_eq!(begin().await.1["id"], begun.1["id"]);
    let list = node.get_json("/v1/conversations").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    let id = begun.1["id"].as_str().unwrap();
    let asked = |question: &str| json!({"question": question, "conversation": id});
    let path = format!("/v1/conversations/{id}");
    // Nobody approves of it.
    let careful = asked("be careful");
    let first = || once(&node, "/v1/queries?wait=0", "first", &careful);
    assert_eq!(first().await.0, 202);
    let begun = async || {
        let document = node.get_json(&path).await;
        let query = document["turns"][0]["query"].is_string();
        if query { Ok(()) } else { Err(document.to_string()) }
    };
    eventually("the first turn has its query", Duration::from_secs(60), begun).await;
    let (status, turn) = first().await;
    assert_eq!((status, &turn["queued"]), (202, &json!(false)), "{turn}");
    assert_eq!((turn.get("ahead"), turn["id"].is_string()), (None, true), "{turn}");
    for ahead in 1..=2 {
        let (status, turn) = posted(&node, "/v1/queries?wait=0", &asked("a note")).await;
        assert_eq!((status, &turn["ahead"]), (202, &json!(ahead)), "{turn}");
    }
    let waiter = asked("What does note a say?");
    let waits = posted(&node, "/v1/queries?wait=100", &waiter);
    let deletes = async {
        let all_wait = async || {
            let document = node.get_json(&path).await;
            if document["waiting"] == 3 { Ok(()) } else { Err(document.to_string()) }
        };
        eventually("three turns wait", Duration::from_secs(60), all_wait).await;
        node.http().delete(node.url(&path)).send().await.unwrap().status().as_u16()
    };
    let ((status, told), deleted) = futures::join!(waits, deletes);
    assert_eq!((status, deleted), (410, 204), "{told}");
    assert!(told["detail"].as_str().unwrap().contains("was deleted"), "{told}");
}

#[tokio::test]
async fn the_commands_list_show_and_delete_conversations() {
    let (_directory, node) = node("").await;
    let (_, told) = ask(&node, "What does note a say?", &["--conversation", "new"]);
    let id = told.lines().find_map(|line| line.strip_prefix("conversation ")).unwrap().to_owned();
    ask(&node, "and b?", &["--conversation", &id]);
    let url = node.url("");
    let run = |command: &[&str]| {
        let place = ["--node", url.as_str()];
        let output = perennial(Path::new("/"), &[&["conversations"], command, &place].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, list, _) = run(&["list", "--limit", "1"]);
    assert_eq!(code, 0);
    assert!(list.contains(&id) && list.contains("What does note a say?"), "{list}");
    // The conversation is told the end of a query after whoever waits for the query.
    let all_answered = async || {
        let (code, shown, _) = run(&["show", &id]);
        let answered = shown.contains("\n  It says: all is better\n");
        if code == 0 && answered { Ok(shown) } else { Err(shown) }
    };
    let shown = eventually("both turns are shown", Duration::from_secs(60), all_answered).await;
    assert!(shown.contains("\n  and b?\n") && shown.contains("  succeeded  q-"), "{shown}");
    let document: Value = serde_json::from_str(&run(&["show", &id, "--json"]).1).unwrap();
    assert_eq!(document["turns_so_far"], 2, "{document}");
    assert_eq!(run(&["delete", &id]), (0, format!("{id} is deleted\n"), String::new()));
    for gone in [["show", id.as_str()], ["delete", id.as_str()]] {
        let (code, _, why) = run(&gone);
        assert_eq!(code, 1);
        assert!(why.contains("there is no conversation"), "{why}");
    }
    let kept = async || {
        let list = node.get_json("/v1/audit?of=conversations").await;
        if list["items"][0]["id"] == id { Ok(list) } else { Err(list.to_string()) }
    };
    let list = eventually("it is in the audit", Duration::from_secs(60), kept).await;
    assert_eq!(list["items"][0]["what"], "conversation_deleted", "{list}");
    assert!(!list.to_string().contains("note"), "but nothing that was said in it: {list}");
}

#[tokio::test]
async fn nobody_has_more_conversations_than_one_may_also_not_by_beginning_many_at_once() {
    let (_directory, node) = node("[query.conversations]\nper_key = 3\n").await;
    let (ann, bob) = (key(&node, "ann"), key(&node, "bob"));
    let body = json!({"title": "Ünïcode \u{202e} 🦉"});
    let begin = || sent_by(&node, &ann, (Method::POST, "/v1/conversations"), &body);
    let begun = futures::future::join_all((0..12).map(|_| begin())).await;
    let count = |wanted: u16| begun.iter().filter(|(status, _)| *status == wanted).count();
    assert_eq!((count(201), count(409)), (3, 9), "{begun:?}");
    let other = sent_by(&node, &bob, (Method::POST, "/v1/conversations"), &body).await;
    assert_eq!((other.0, &other.1["title"]), (201, &body["title"]), "{other:?}");
    let list = async |query: &str| {
        let path = format!("/v1/conversations{query}");
        let (status, list) = sent_by(&node, &ann, (Method::GET, &path), &Value::Null).await;
        assert_eq!(status, 200, "{list}");
        let items = list["items"].as_array().unwrap().clone();
        (items.iter().map(|item| item["id"].to_string()).collect::<Vec<_>>(), list["next"].clone())
    };
    let (all, next) = list("").await;
    assert_eq!((all.len(), &next), (3, &Value::Null));
    let (mut some, next) = list("?limit=2").await;
    some.extend(list(&format!("?limit=2&after={}", next.as_str().unwrap())).await.0);
    assert_eq!(some, all);
    let long = json!({"title": "x".repeat(201)});
    assert_eq!(sent_by(&node, &bob, (Method::POST, "/v1/conversations"), &long).await.0, 400);
    let path = format!("/v1/conversations/{}", all[0].trim_matches('"'));
    assert_eq!(sent_by(&node, &ann, (Method::DELETE, &path), &Value::Null).await.0, 204);
    assert_eq!(begin().await.0, 201, "there is room again");
}
