//! Queries on a real node: pipelines by command line and over HTTP, with real files and real commands.

mod crashes;
mod events;
mod limits;
mod orders;
mod pages;
mod pipelines;
mod refusals;
mod survival;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::answers::{LONG, items, text};
use crate::support::node::{Node, perennial};
use crate::support::wait::eventually;

const NO_ENGINE: &str = "[docker]\nhost = \"unix:///nowhere/docker.sock\"\n";

/// A node with a folder that its queries may write, and commands that they may run there.
struct World {
    node: Node,
    /// What the folder is in, and the files that the commands of a test are given.
    directory: TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Commands for queries: one that sleeps, one with children, one that waits for a file, and one that
/// writes down when it begins and ends.
fn commands(folder: &Path) -> String {
    let seconds = "parameters = { seconds = { pattern = '[0-9.]+' } }";
    let folder = folder.display();
    format!(
        r#"commands = [
            {{ name = "nap", argv = ["sleep", "{{seconds}}"], timeout = "2m", {seconds} }},
            {{ name = "family", argv = ["sh", "-c", "sleep {{seconds}} & sleep {{seconds}}"], timeout = "2m", {seconds} }},
            {{ name = "wait", argv = ["sh", "-c", "until test -e {{name}}; do sleep 0.02; done"], timeout = "2m",
               directory = "{folder}", parameters = {{ name = {{ pattern = '[a-z]+' }} }} }},
            {{ name = "mark", argv = ["sh", "-c", "echo start >> marks; sleep 0.05; echo stop >> marks"],
               timeout = "2m", directory = "{folder}" }},
        ]"#
    )
}

impl World {
    async fn start() -> World {
        World::with("").await
    }

    /// The same, with more lines in the section `[query]`.
    async fn with(lines: &str) -> World {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let folder = directory.path().join("files");
        fs::create_dir(&folder).expect("a folder can be made");
        let root = format!("{{ name = \"files\", path = \"{}\", write = true }}", folder.display());
        let toml = format!(
            "{NO_ENGINE}[query]\ntimeout = \"5m\"\n{lines}\n[query.file]\nroots = [{root}]\n\
             [query.shell]\n{}\n",
            commands(&folder)
        );
        fs::write(directory.path().join("node.toml"), &toml).expect("a file can be written");
        let node = Node::builder().toml(&toml).start_listening().await;
        World { node, directory }
    }

    /// The path of a file of the folder that queries write.
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("files").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Runs `perennial query` with these arguments, asking this node.
    fn query(&self, arguments: &[&str]) -> Ran {
        let url = self.node.url("");
        self.command(&[arguments, &["--node", &url]].concat())
    }

    /// Runs `perennial query` with these arguments.
    fn command(&self, arguments: &[&str]) -> Ran {
        let output = perennial(self.directory.path(), &[&["query"], arguments].concat());
        Ran {
            code: output.status.code().expect("the command ended by itself"),
            stdout: String::from_utf8(output.stdout).expect("the output is text"),
            stderr: String::from_utf8(output.stderr).expect("the output is text"),
        }
    }

    /// Writes `pipeline` to a file and has it checked.
    fn validate(&self, pipeline: &str) -> Ran {
        self.file(pipeline);
        self.command(&["validate", "plan.yaml", "--config", "node.toml", "--json"])
    }

    /// Writes `pipeline` to a file and has it done, with these inputs.
    fn run(&self, pipeline: &str, inputs: &[&str]) -> Ran {
        self.file(pipeline);
        let inputs = inputs.iter().flat_map(|input| ["--input", input]);
        let arguments: Vec<&str> =
            ["run", "plan.yaml", "--json"].into_iter().chain(inputs).collect();
        self.query(&arguments)
    }

    fn file(&self, pipeline: &str) {
        fs::write(self.directory.path().join("plan.yaml"), pipeline)
            .expect("a file can be written");
    }

    /// Has `pipeline` accepted over HTTP, and returns its id.
    async fn submit(&self, pipeline: &str) -> String {
        let (status, body) = self.node.post("/v1/queries", &json!({"yaml": pipeline})).await;
        assert_eq!(status, 202, "{body}");
        let taken: Value = serde_json::from_str(&body).expect("an answer is JSON");
        text(&taken["id"]).to_owned()
    }

    async fn document(&self, id: &str) -> Value {
        self.node.get_json(&format!("/v1/queries/{id}")).await
    }

    /// Waits until the document of a query is as `wanted`, and returns it.
    async fn when(&self, id: &str, awaited: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("a query that {awaited}"), LONG, async || {
            let document = self.document(id).await;
            if wanted(&document) { Ok(document) } else { Err(document) }
        })
        .await
    }

    async fn ended(&self, id: &str) -> Value {
        self.when(id, "has ended", |document| document["status"] == "finished").await
    }

    /// Posts an order on a query, with an optional body, and returns the status and the answer.
    async fn order(&self, id: &str, order: &str, body: Value) -> (u16, String) {
        self.node.post(&format!("/v1/queries/{id}/{order}"), &body).await
    }

    /// All events of a query that has ended.
    async fn events(&self, id: &str) -> Vec<Value> {
        let (status, body) = self.node.get(&format!("/v1/queries/{id}/events")).await;
        assert_eq!(status, 200, "{body}");
        let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|event| serde_json::from_str(event).expect("an event is JSON")).collect()
    }
}

/// A step of a query's document.
fn step<'a>(document: &'a Value, id: &str) -> &'a Value {
    let steps = document["steps"].as_array().expect("a query has steps");
    steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("no {id} in {document}"))
}

/// The status of each step, in the order of the plan.
fn statuses(document: &Value) -> Vec<String> {
    items(&json!({"items": document["steps"]}))
        .iter()
        .map(|step| text(&step["status"]).to_owned())
        .collect()
}

/// Ids of running processes of which an argument is exactly `argument`.
fn processes_with(argument: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc can be listed") {
        let path = entry.expect("/proc can be listed").path();
        // A process may be gone by now. One that has ended and waits for its parent has no arguments.
        let Ok(line) = fs::read(path.join("cmdline")) else { continue };
        let mut arguments = line.split(|byte| *byte == 0);
        if arguments.any(|part| part == argument.as_bytes()) {
            found.push(format!("{}: {}", path.display(), String::from_utf8_lossy(&line)));
        }
    }
    found
}

/// Waits until a command with this argument runs.
async fn runs(argument: &str) {
    eventually(&format!("a process with {argument}"), LONG, async || {
        if processes_with(argument).is_empty() { Err(()) } else { Ok(()) }
    })
    .await;
}

/// Waits until no process has this argument.
async fn gone(argument: &str) {
    eventually(&format!("no process with {argument}"), LONG, async || {
        let left = processes_with(argument);
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

/// A number of seconds that no other command on this machine sleeps for: `whole` and a part that is this
/// test's own.
fn own_seconds(whole: u32, test: u32) -> String {
    format!("{whole}.{test:02}{:07}", std::process::id())
}
