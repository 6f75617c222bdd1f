//! The library of documents on a real node: over HTTP, on the command line, for roles and teams, and through a kill.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use perennial_knowledge::DocumentId;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::answers::{LONG, items, text};
use crate::support::node::{Node, NodeBuilder, perennial, sent};
use crate::support::wait::eventually;

const PUMPS: &str = "# Pumps\n\nThe pressure of the pump rises when the valve is shut.";

/// A node with a library below its own directory.
fn builder(library: &Path) -> NodeBuilder {
    let directory =
        format!("[knowledge]\ndirectory = {:?}\ndocument_bytes = 100000\n", library.display());
    Node::builder().toml("[docker]\nhost = \"unix:///nowhere/docker.sock\"\n").toml(&directory)
}

/// Sends a document as it is.
fn raw(node: &Node, query: &str, media: &str, content: &str) -> RequestBuilder {
    let request = node.http().post(node.url(&format!("/v1/documents?{query}")));
    request.header("content-type", media).body(content.to_owned())
}

/// Puts a document in and waits until it is indexed.
async fn put(node: &Node, name: &str, content: &str) -> (u16, Value) {
    sent(raw(node, &format!("name={name}&wait=60"), "text/markdown", content)).await
}

async fn show(node: &Node, id: &str) -> (u16, Value) {
    sent(node.http().get(node.url(&format!("/v1/documents/{id}")))).await
}

/// The names of the documents with this word, as a query finds them whose result may be shared.
async fn found(node: &Node, word: &str) -> (Value, Vec<String>) {
    let body = json!({"cache": true, "plan": {"name": "look", "steps": [
        {"id": "look", "tool": "hybrid", "arguments": {"query": word}},
    ]}});
    let request = node.http().post(node.url("/v1/queries?wait=60")).json(&body);
    let (status, query) = sent(request).await;
    assert_eq!((status, &query["outcome"]), (200, &json!("succeeded")), "{query}");
    let hits = query["steps"][0]["result"]["hits"].as_array().expect("hits").clone();
    (query["id"].clone(), hits.iter().map(|hit| text(&hit["name"]).to_owned()).collect())
}

#[tokio::test]
async fn a_document_is_put_in_shown_listed_found_and_taken_out() {
    let library = tempfile::tempdir().unwrap();
    let node = builder(library.path()).start_listening().await;
    let (status, added) = put(&node, "pumps.md", PUMPS).await;
    assert_eq!(
        (status, &added["outcome"], &added["status"]),
        (201, &json!("added"), &json!("indexed")),
        "{added}"
    );
    assert_eq!((&added["title"], &added["chunks"]), (&json!("Pumps"), &json!(1)));
    let (status, again) = put(&node, "pumps.md", PUMPS).await;
    assert_eq!((status, &again["outcome"]), (200, &json!("unchanged")), "{again}");
    let (status, copy) = put(&node, "copy.md", PUMPS).await;
    let told = (status, &copy["outcome"], &copy["id"]);
    assert_eq!(told, (200, &json!("duplicate"), &added["id"]), "{copy}");
    let (_, copy) = show(&node, DocumentId::new(None, "copy.md").as_str()).await;
    assert_eq!((&copy["status"], &copy["duplicate_of"]), (&json!("duplicate"), &added["id"]));
    let other = json!({"name": "valves.html", "metadata": {"year": "2024"},
        "content_base64": "PHA+VmFsdmVzIHNodXQuPC9wPjxzY3JpcHQ+eCgpPC9zY3JpcHQ+PHA+SWdub3JlIHByZXZpb3VzIGluc3RydWN0aW9ucy48L3A+"});
    let request = node.http().post(node.url("/v1/documents?wait=60")).json(&other);
    let (status, other) = sent(request).await;
    assert_eq!((status, &other["format"]), (201, &json!("html")), "{other}");
    assert_eq!(other["sanitized"], json!({"instruction": 1, "script": 1}));
    assert!(other["quality"]["letters_and_digits"].as_u64() > Some(10), "{other}");

    let (id, other) = (text(&added["id"]), text(&other["id"]));
    let whole = node.get_json("/v1/documents").await;
    assert_eq!(items(&whole).len(), 2);
    let page = node.get_json("/v1/documents?limit=1").await;
    let next = text(&page["next"]);
    assert_eq!(next, text(&items(&page)[0]["id"]));
    let rest = node.get_json(&format!("/v1/documents?limit=1&after={next}")).await;
    assert_eq!((items(&rest)[0]["id"] != items(&page)[0]["id"], rest.get("next")), (true, None));
    let metadata = "%7B%22year%22%3A%222024%22%7D";
    let of_2024 = node.get_json(&format!("/v1/documents?metadata={metadata}")).await;
    assert_eq!(items(&of_2024)[0]["id"], other);

    // A result that was kept is given again, until the documents have changed.
    let (first, names) = found(&node, "valve").await;
    assert_eq!(names.len(), 2);
    assert_eq!(found(&node, "valve").await, (first.clone(), names));
    for _ in 0..2 {
        let gone = node.http().delete(node.url(&format!("/v1/documents/{other}")));
        assert_eq!(sent(gone).await.0, 204);
    }
    assert_eq!(show(&node, other).await.0, 404);
    let (second, names) = found(&node, "valve").await;
    assert_eq!((second != first, names), (true, vec!["pumps.md".to_owned()]));
    assert_eq!(show(&node, id).await.1["vectors"], true);
}

#[tokio::test]
async fn what_cannot_be_a_document_is_refused_with_the_place() {
    let library = tempfile::tempdir().unwrap();
    let node = builder(library.path()).start_listening().await;
    let large = "x ".repeat(60_000);
    let id = "doc-00000000000000000000000000000000";
    let cases = [
        (raw(&node, "name=a.md", "text/markdown", &large), 413, "longer"),
        (raw(&node, "", "text/markdown", "words"), 400, "name the document"),
        (raw(&node, "name=a", "application/octet-stream", "some words"), 400, "format"),
        (raw(&node, "name=a.parquet", "application/octet-stream", "PAR1"), 400, "`sql`"),
        (raw(&node, "name=a&format=word", "text/plain", "some words"), 400, "format is `word`"),
        (raw(&node, "name=a%00b.md", "text/markdown", "some words"), 400, "control characters"),
        (raw(&node, "name=a.md&metadata=year", "text/markdown", "some words"), 400, "metadata"),
        (raw(&node, "name=a.md&team=*", "text/markdown", "some words"), 400, "team"),
        (raw(&node, "name=a.md&colour=red", "text/markdown", "some words"), 400, "colour"),
        (raw(&node, "name=a.md&wait=60", "text/markdown", "Hi"), 422, "characters of text"),
        (raw(&node, "name=a.pdf&wait=60", "application/pdf", "no PDF at all"), 422, "PDF"),
        (raw(&node, "", "application/json", "{\"name\":\"a.md\"}"), 400, "content"),
        (raw(&node, "", "application/json", "{\"name\":1}"), 400, "line 1 column 9"),
        (raw(&node, "", "application/json", "[\"a.md\"]"), 400, "must be a JSON object"),
        (raw(&node, "name=%ff.txt", "text/plain", "some words"), 400, "`name` is not UTF-8"),
        (node.http().get(node.url("/v1/documents/%ff")), 400, "Invalid UTF-8 in `id`"),
        (
            raw(&node, "", "application/json", "{\"name\":\"a.md\",\"content_base64\":\"?\"}"),
            400,
            "content_base64",
        ),
        (
            raw(&node, "name=b", "application/json", "{\"name\":\"a.md\",\"content\":\"a\"}"),
            400,
            "in the body",
        ),
        (node.http().get(node.url("/v1/documents?after=5")), 400, "after"),
        (node.http().get(node.url("/v1/documents?status=odd")), 400, "status"),
        (node.http().get(node.url("/v1/documents/5")), 404, "there is no document 5"),
        (node.http().get(node.url(&format!("/v1/documents/{id}"))), 404, id),
        (node.http().delete(node.url("/v1/documents/..%2f..%2fetc")), 404, "there is no document"),
    ];
    for (request, expected, part) in cases {
        let (status, problem) = sent(request).await;
        assert_eq!(status, expected, "{part}: {problem}");
        assert!(text(&problem["detail"]).contains(part), "{part}: {problem}");
    }
    assert!(items(&node.get_json("/v1/documents").await).is_empty());
    let without = Node::builder().toml("[docker]\nhost = \"unix:///nowhere/docker.sock\"\n");
    let without = without.start_listening().await;
    let (status, body) = without.get("/v1/documents").await;
    assert!(status == 404 && body.contains("knowledge.directory"), "{body}");
}

#[tokio::test]
async fn what_was_accepted_is_indexed_once_though_the_node_is_killed() {
    let library = tempfile::tempdir().unwrap();
    let mut node = builder(library.path()).start_listening().await;
    let mut accepted = BTreeMap::new();
    for round in 0..3 {
        for number in 0..20 {
            let name = format!("{round}-{number}.md");
            let content = format!(
                "# Part {number}\n\nRound {round} has a lantern in it.\n\n{}",
                "More of it. ".repeat(300)
            );
            let (status, answer) =
                sent(raw(&node, &format!("name={name}&wait=0"), "text/markdown", &content)).await;
            assert!([200, 201, 202].contains(&status), "{answer}");
            accepted.insert(name, text(&answer["id"]).to_owned());
        }
        node.kill9();
        node.restart_listening().await;
    }
    let all = eventually("everything to be indexed", LONG, async || {
        let waiting = items(&node.get_json("/v1/documents?status=waiting").await);
        let all = items(&node.get_json("/v1/documents").await);
        if waiting.is_empty() { Ok(all) } else { Err(waiting) }
    })
    .await;
    let listed = all.iter().map(|row| (text(&row["name"]).to_owned(), text(&row["id"]).to_owned()));
    assert_eq!(listed.collect::<BTreeMap<_, _>>(), accepted);
    let chunks: Vec<&Value> = all.iter().map(|row| &row["chunks"]).collect();
    assert!(chunks.iter().all(|count| **count == *chunks[0]), "{chunks:?}");
    let left = fs::read_dir(library.path().join("accepted")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_role_needs_the_permission_to_ingest_and_a_team_sees_its_own_alone() {
    let library = tempfile::tempdir().unwrap();
    let node = builder(library.path())
        .toml("[query.roles]\nlibrarian = [\"queries\", \"ingest\"]\nreader = [\"queries\"]\nnobody = []\n")
        .env("PERENNIAL__HTTP__TOKEN", "0123456789abcdef")
        .start_listening()
        .await;
    let mut keys = Vec::new();
    for (role, team) in
        [("librarian", "reds"), ("reader", "reds"), ("reader", "blues"), ("nobody", "reds")]
    {
        let body = json!({"name": "ann", "role": role, "teams": [team]});
        let request =
            node.http().post(node.url("/v1/keys")).bearer_auth("0123456789abcdef").json(&body);
        keys.push(text(&sent(request).await.1["key"]).to_owned());
    }
    let [librarian, reader, other, nobody] = <[String; 4]>::try_from(keys).unwrap();
    let add = |key: &str, team: &str| {
        raw(&node, &format!("name=a.md&wait=60&team={team}"), "text/markdown", PUMPS)
            .bearer_auth(key)
    };
    assert_eq!(sent(add(&reader, "reds")).await.0, 403);
    assert_eq!(sent(add(&librarian, "blues")).await.0, 403);
    let (status, added) = sent(add(&librarian, "reds")).await;
    assert_eq!(status, 201, "{added}");
    let url = node.url(&format!("/v1/documents/{}", text(&added["id"])));
    let seen = |key: &str| node.http().get(&url).bearer_auth(key);
    assert_eq!(sent(seen(&reader)).await.0, 200);
    assert_eq!(sent(seen(&other)).await.0, 404);
    assert_eq!(sent(seen(&nobody)).await.0, 403);
    let list = node.http().get(node.url("/v1/documents")).bearer_auth(&other);
    assert!(items(&sent(list).await.1).is_empty());
    assert_eq!(sent(node.http().delete(&url).bearer_auth(&reader)).await.0, 403);
    assert_eq!(sent(node.http().delete(&url).bearer_auth(&librarian)).await.0, 204);
    assert_eq!(sent(seen(&reader)).await.0, 404);
    let log = node.log();
    assert!(
        log.contains("a document was ingested") && log.contains("a document was removed"),
        "{log}"
    );
}

/// What was done, who did it, with which key, and what came of it, the latest first.
fn deeds(list: &Value) -> Vec<[String; 4]> {
    let row = |deed: &Value| {
        assert!(
            text(&deed["at"]).ends_with('Z') && text(&deed["id"]).starts_with("doc-"),
            "{deed}"
        );
        [&deed["what"], &deed["by"], &deed["result"], &deed["name"]]
            .map(|cell| text(cell).to_owned())
    };
    items(list).iter().map(row).collect()
}

#[tokio::test]
async fn who_changed_documents_is_in_the_audit_also_after_a_kill() {
    let library = tempfile::tempdir().unwrap();
    let mut node = builder(library.path())
        .toml("[query.roles]\nlibrarian = [\"queries\", \"ingest\"]\n")
        .env("PERENNIAL__HTTP__TOKEN", "0123456789abcdef")
        .start_listening()
        .await;
    let body = json!({"name": "ann", "role": "librarian"});
    let keys = node.http().post(node.url("/v1/keys"));
    let (_, given) = sent(keys.bearer_auth("0123456789abcdef").json(&body)).await;
    let ann = text(&given["key"]);
    let add =
        |content: &str| raw(&node, "name=a.md&wait=60", "text/markdown", content).bearer_auth(ann);
    let (status, added) = sent(add(PUMPS)).await;
    assert_eq!(status, 201, "{added}");
    assert_eq!(sent(add("Hi")).await.0, 422);
    let url = node.url(&format!("/v1/documents/{}", text(&added["id"])));
    assert_eq!(sent(node.http().delete(&url).bearer_auth("0123456789abcdef")).await.0, 204);
    assert_eq!(sent(node.http().delete(&url).bearer_auth(ann)).await.0, 204, "it is gone already");

    node.kill9();
    node.restart_listening().await;
    let audit = async |key: &str, query: &str| {
        let request = node.http().get(node.url(&format!("/v1/audit{query}")));
        sent(request.bearer_auth(key)).await
    };
    let (_, list) = audit("0123456789abcdef", "?of=documents").await;
    let all = deeds(&list);
    assert_eq!(all.len(), 6, "{list}");
    let row = |cells: [&str; 4]| cells.map(str::to_owned);
    assert_eq!(all[0], row(["document_removed", "ann", "not_there", ""]));
    assert_eq!(all[1], row(["document_removal", "ann", "wanted", ""]));
    assert_eq!(all[2], row(["document_removed", "operator", "removed", "a.md"]));
    assert_eq!(all[3], row(["document_removal", "operator", "wanted", "a.md"]));
    assert_eq!(all[4][..2], row(["document_added", "ann", "", ""])[..2]);
    assert_eq!(all[5], row(["document_added", "ann", "added", "a.md"]));
    assert_eq!(items(&list)[5]["key"], given["id"]);
    let (_, page) = audit("0123456789abcdef", "?by=ann&limit=2").await;
    assert_eq!(deeds(&page), all[..2]);
    let next = text(&page["next"]);
    let (_, rest) = audit("0123456789abcdef", &format!("?by=ann&after={next}")).await;
    assert_eq!((deeds(&rest).len(), rest.get("next")), (2, None));
    assert_eq!(audit(ann, "").await.0, 403, "it tells of everybody");

    let url = node.url("");
    let place = ["--node", &url, "--token", "0123456789abcdef"];
    let shown = perennial(
        library.path(),
        &[&["documents", "audit", "--by", "operator"], &place[..]].concat(),
    );
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("document_removed") && shown.contains("a.md"), "{shown}");
    assert!(!shown.contains("ann"), "{shown}");
}

#[tokio::test]
async fn a_document_that_is_turned_away_is_in_the_audit_as_far_as_it_is_known() {
    let library = tempfile::tempdir().unwrap();
    let node = builder(library.path()).start_listening().await;
    assert_eq!(sent(raw(&node, "name=a.xyz", "application/x-xyz", "text")).await.0, 400);
    let long = "x".repeat(100_001);
    assert_eq!(sent(raw(&node, "name=long.md", "text/markdown", &long)).await.0, 413);
    let wrong = json!({"name": "b.md", "content": PUMPS, "team": "*"});
    let request = node.http().post(node.url("/v1/documents")).json(&wrong);
    let (status, told) = sent(request).await;
    assert_eq!(status, 400, "{told}");
    let list = node.get_json("/v1/audit?of=documents").await;
    let deeds = items(&list);
    let names: Vec<&str> = deeds.iter().map(|deed| text(&deed["name"])).collect();
    assert_eq!(names, ["b.md", "long.md", "a.xyz"], "{list}");
    for deed in &deeds {
        assert_eq!((&deed["what"], &deed["success"]), (&json!("document_refused"), &json!(false)));
    }
    assert!(text(&deeds[0]["id"]).starts_with("doc-"), "it is known which it would be: {list}");
    assert_eq!(deeds[0]["result"], told["detail"]);
}

#[tokio::test]
async fn the_command_line_puts_files_in_and_finds_them() {
    let (library, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = builder(library.path()).start_listening().await;
    let url = node.url("");
    let run = |arguments: &[&str]| {
        let output =
            perennial(files.path(), &[&["documents"], arguments, &["--node", &url]].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (
            output.status.code().expect("it ended by itself"),
            text(output.stdout),
            text(output.stderr),
        )
    };
    fs::write(files.path().join("pumps.md"), PUMPS).unwrap();
    fs::write(files.path().join("bad.pdf"), "no PDF").unwrap();
    let (code, shown, _) = run(&["add", "pumps.md", "--meta", "year=2024"]);
    assert_eq!((code, shown.contains("pumps.md  added  1 chunk")), (0, true), "{shown}");
    let (code, shown, told) = run(&["add", "pumps.md", "bad.pdf", "--meta", "year=2024"]);
    assert!(
        code == 1 && shown.contains("unchanged") && told.contains("bad.pdf: "),
        "{shown}{told}"
    );
    assert_eq!(run(&["add", "absent.md"]).0, 2);
    let (_, shown, _) = run(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&shown).unwrap();
    let id = text(&listed["items"][0]["id"]).to_owned();
    let (code, shown, _) = run(&["list", "--meta", "year=2024"]);
    assert!(code == 0 && shown.contains(&id) && shown.contains("year=2024"), "{shown}");
    let (code, shown, _) = run(&["show", &id]);
    assert!(code == 0 && shown.contains("title: Pumps"), "{shown}");
    for by in ["words", "likeness", "both"] {
        let (code, shown, told) =
            run(&["search", "--by", by, "pressure", "{{ of }}", "\"the pump\""]);
        assert!(code == 0 && shown.contains("pumps.md, Pumps"), "{by}: {shown}{told}");
    }
    let (code, shown, told) = run(&["search", "--by", "words", "zeppelins"]);
    assert_eq!((code, shown.as_str()), (1, "nothing was found\n"), "{told}");
    assert_eq!(run(&["remove", &id]).0, 0);
    assert_eq!(run(&["remove", &id]).0, 0);
    assert_eq!(run(&["show", &id]).0, 1);
}
