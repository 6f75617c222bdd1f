//! What a node does at which times, as an operator sees it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::node::{Node, perennial};
use crate::support::wait::eventually;

const NO_ENGINE: &str = "[docker]\nhost = \"unix:///nowhere/docker.sock\"\n";

const PIPELINE: &str = "
name: note
inputs: {due: {type: string}}
steps:
  - id: note
    tool: file_write
    arguments: {path: notes.txt, mode: append, content: \"{{ inputs.due }}\\n\"}
";

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looked = async || if holds().await { Ok(()) } else { Err("not yet") };
    eventually(what, Duration::from_secs(60), looked).await;
}

async fn schedule(node: &Node) -> Value {
    node.get_json("/v1/schedules/tick").await
}

#[tokio::test]
async fn a_node_that_is_killed_does_each_time_of_a_schedule_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::create_dir(path("pipelines")).unwrap();
    fs::write(path("pipelines/note.yaml"), PIPELINE).unwrap();
    let toml = format!(
        "[query]\npipelines = {:?}\n[[query.schedule]]\nname = \"tick\"\ncron = \"* * * * * *\"\n\
         pipeline = \"note\"\nrole = \"admin\"\ncatch_up = \"all\"\nat_most = 1000\n\
         [[query.file.roots]]\nname = \"notes\"\npath = {:?}\nwrite = true\n",
        path("pipelines"),
        path("")
    );
    let notes = || fs::read_to_string(path("notes.txt")).unwrap_or_default();
    let mut node = Node::builder().toml(NO_ENGINE).toml(&toml).start_listening().await;
    for _ in 0..2 {
        let enough = notes().lines().count() + 2;
        until("it is done", async || notes().lines().count() >= enough).await;
        node.kill9();
        node.restart_listening().await;
    }
    let paused =
        perennial(Path::new("/"), &["schedules", "pause", "tick", "--node", &node.url("")]);
    assert!(paused.status.success(), "{paused:?}");
    until("what was begun is done", async || {
        let row = schedule(&node).await;
        assert_eq!(row["paused_by"], json!("operator"), "{row}");
        // What is not begun when it is paused is not made up for.
        row["last"]["status"] == "finished"
            && row["fired"].as_u64().unwrap() == notes().lines().count() as u64
    })
    .await;
    let notes = notes();
    let mut lines: Vec<&str> = notes.lines().collect();
    let (all, sorted) = (lines.len(), lines.is_sorted());
    lines.dedup();
    assert_eq!((lines.len(), sorted), (all, true), "{notes}");
}

#[tokio::test]
async fn an_operator_sees_fires_pauses_and_resumes_schedules() {
    let toml = "[[query.schedule]]\nname = \"tick\"\ncron = \"0 0 29 2 *\"\nrole = \"admin\"\n\
                question = \"Which tools are there?\"\ncatch_up = \"skip\"\n";
    let node = Node::builder().toml(NO_ENGINE).toml(toml).start_listening().await;
    let url = node.url("");
    let cli = |arguments: &[&str]| {
        let output =
            perennial(Path::new("/"), &[&["schedules"], arguments, &["--node", &url]].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, query) = cli(&["fire", "tick", "--once", "today"]);
    assert_eq!(code, Some(0), "{query}");
    assert_eq!(cli(&["fire", "tick", "--once", "today"]), (Some(0), query.clone()));
    until("it has ended", async || schedule(&node).await["last"]["outcome"] == "succeeded").await;
    let row = schedule(&node).await;
    assert_eq!((&row["fired"], &row["last"]["by"]), (&json!(1), &json!("operator")), "{row}");
    assert_eq!(row["last"]["query"], json!(query.trim()));
    let document = node.get_json(&format!("/v1/queries/{}", query.trim())).await;
    assert_eq!((&document["type"], &document["by"]), (&json!("schedule"), &json!("schedule:tick")));
    assert!(row["next"].as_str().is_some_and(|next| next.contains("-02-29T00:00:00")), "{row}");
    assert_eq!(cli(&["pause", "tick"]), (Some(0), "tick is paused\n".to_owned()));
    let (_, list) = cli(&["list"]);
    assert!(list.contains("paused") && list.contains(query.trim()), "{list}");
    assert_eq!(cli(&["resume", "tick"]), (Some(0), "tick goes on\n".to_owned()));
    let (_, shown) = cli(&["show", "tick"]);
    assert!(shown.contains("Which tools are there?"), "{shown}");
    assert_eq!(cli(&["show", "tock"]).0, Some(1));
    let (status, problem) = node.post("/v1/schedules/tock/fire", &json!({})).await;
    assert_eq!(status, 404, "{problem}");
}

#[test]
fn schedules_that_could_not_be_kept_are_refused_with_their_names_before_the_node_starts() {
    let directory = tempfile::tempdir().unwrap();
    let schedule = |name: &str, rest: &str| {
        format!("[[query.schedule]]\nname = \"{name}\"\nrole = \"admin\"\n{rest}\n")
    };
    let check = |text: &str| {
        fs::write(directory.path().join("node.toml"), text).unwrap();
        let output = perennial(directory.path(), &["check-config", "node.toml"]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let bad = schedule("a", "cron = \"99 * * * *\"\nzone = \"Nowhere\"\nquestion = \"Why?\"")
        + &schedule("b", "cron = \"@daily\"\npipeline = \"weekly\"\ncatch_up = \"skip\"")
        + &schedule("c", "cron = \"@daily\"\nquestion = \"Why?\"\ncatch_up = \"never\"");
    let (code, told) = check(&bad);
    assert_eq!(code, Some(78), "{told}");
    for expected in [
        "`a`: cron: `99 * * * *`",
        "`a`: zone: `Nowhere`",
        "`a`: catch_up: ",
        "`b`: pipeline: this node has no pipelines",
        "node.toml:18: catch_up: unknown value `never`",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    let (code, told) = check(&schedule(
        "d",
        "cron = \"@daily\"\nquestion = \"Why, oh why?\"\ncatch_up = \"skip\"",
    ));
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("`d`: question: No answer to this is known here."), "{told}");

    let pipelines = directory.path().join("pipelines");
    fs::create_dir(&pipelines).unwrap();
    fs::write(pipelines.join("bad.yaml"), "name: bad\nsteps:\n  - {id: a, tool: nothing}\n")
        .unwrap();
    let config = format!("[query]\npipelines = \"{}\"\n", pipelines.display());
    let broken = "cron = \"@daily\"\npipeline = \"bad\"\ncatch_up = \"skip\"";
    let (code, told) = check(&(config + &schedule("e", broken)));
    assert_eq!(code, Some(78), "{told}");
    assert_eq!(told.matches("there is no tool `nothing`").count(), 1, "{told}");
}
