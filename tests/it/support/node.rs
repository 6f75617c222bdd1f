//! The node's own binary, run as an operator runs it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use perennial_runtime::instant;
use serde_json::Value;
use tempfile::TempDir;

use super::process;
use super::wait::eventually;

/// Far above what a start takes, for machines that run many tests at once.
const START: Duration = Duration::from_secs(30);
/// After it an orderly stop counts as hung, and the node is killed.
const STOP: Duration = Duration::from_secs(30);

/// Far above what a command takes that is no node; one that goes on for longer hangs, or is one.
const COMMAND: Duration = Duration::from_secs(120);

/// How to start a node; a builder.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeBuilder {
    toml: String,
    environment: Vec<(String, String)>,
}

impl NodeBuilder {
    /// Adds a piece of configuration, such as a whole `[section]`.
    pub(crate) fn toml(mut self, fragment: &str) -> NodeBuilder {
        self.toml.push_str(fragment);
        self.toml.push('\n');
        self
    }

    /// Sets an environment variable of the node, which inherits none but PATH.
    pub(crate) fn env(mut self, name: &str, value: &str) -> NodeBuilder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the node on an empty data directory and waits until it is ready.
    pub(crate) async fn start(self) -> Node {
        let mut node = self.start_listening().await;
        node.wait_until_ready(START).await;
        node
    }

    /// Starts the node and returns as soon as it listens, ready or not.
    pub(crate) async fn start_listening(self) -> Node {
        self.start_in(tempfile::tempdir().expect("a temporary directory can be made")).await
    }

    /// The same in a directory that may hold data already, in `data`.
    pub(crate) async fn start_in(self, directory: TempDir) -> Node {
        fs::write(directory.path().join("perennial.toml"), &self.toml)
            .expect("the configuration can be written");
        let environment = self.environment;
        // A connection the node closed while the test blocked its thread would fail the next request.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(START);
        let http = http.build();
        let http = http.expect("an HTTP client can be built");
        let address = String::new();
        let mut node = Node { directory, environment, http, address, starts: 0, child: None };
        node.restart_listening().await;
        node
    }
}

/// A node on a temporary directory, running while `child` is there.
///
/// Its log is printed when the test panics; on drop it is killed.
#[derive(Debug)]
pub(crate) struct Node {
    directory: TempDir,
    environment: Vec<(String, String)>,
    http: reqwest::Client,
    /// `127.0.0.1:PORT`; another port after each start.
    address: String,
    starts: u32,
    child: Option<Child>,
}

impl Node {
    pub(crate) fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// Starts a stopped or killed node again on the same directory and waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        self.restart_listening().await;
        self.wait_until_ready(START).await;
    }

    /// Like [`Node::restart`], but returns as soon as the node listens.
    pub(crate) async fn restart_listening(&mut self) {
        assert!(self.child.is_none(), "the node is running already");
        self.starts += 1;
        let log = self.log_file(self.starts);
        let mut command = perennial_command();
        command
            .arg("run")
            .arg("--config")
            .arg(self.directory.path().join("perennial.toml"))
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--listen", "127.0.0.1:0"])
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let file = File::create(&log).expect("the node's log can be made");
        command.stdout(file.try_clone().expect("a file handle can be cloned")).stderr(file);
        let child = self.child.insert(command.spawn().expect("the node's binary runs"));
        self.address = eventually("the node to log where it listens", START, async || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let ended = child.try_wait().expect("a child can be asked for its state");
            assert!(ended.is_none(), "the node ended at once with {ended:?}; its log: {text}");
            text.lines().find_map(listen_address).ok_or(text)
        })
        .await;
    }

    /// Waits until `/readyz` answers 200.
    pub(crate) async fn wait_until_ready(&mut self, within: Duration) {
        let url = self.url("/readyz?verbose");
        eventually("the node to be ready", within, async || {
            match self.http.get(&url).send().await {
                Ok(answer) if answer.status() == 200 => Ok(()),
                Ok(answer) => Err(answer.text().await.unwrap_or_default()),
                Err(error) => Err(format!("{error:?}")),
            }
        })
        .await;
    }

    /// `http://127.0.0.1:PORT` with `path` behind it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The node's HTTP client and what it can do besides [`Node::get`] and [`Node::post`].
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The status and the body of a GET.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        answer(self.http.get(self.url(path))).await
    }

    /// The JSON body of a GET that must succeed.
    pub(crate) async fn get_json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path}: {error}: {body}"))
    }

    /// The status and the body of a POST with a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, String) {
        answer(self.http.post(self.url(path)).json(body)).await
    }

    /// Kills the node with SIGKILL, as a power cut would.
    pub(crate) fn kill9(&mut self) {
        let mut child = self.child.take().expect("the node is running");
        child.kill().expect("a running child can be killed");
        child.wait().expect("a killed child can be waited for");
    }

    /// Stops the node as an init system does; returns how and how soon it ended.
    pub(crate) fn sigterm(&mut self) -> (ExitStatus, Duration) {
        let child = self.child.take().expect("the node is running");
        let begin = instant();
        let status = process::end(child, STOP);
        (status, begin.elapsed())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node is running").id()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What the node has written since it was first started.
    pub(crate) fn log(&self) -> String {
        let read = |start| fs::read_to_string(self.log_file(start)).unwrap_or_default();
        (1..=self.starts).map(read).collect()
    }

    fn log_file(&self, start: u32) -> PathBuf {
        self.directory.path().join(format!("log.{start}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill9();
        }
        if std::thread::panicking() {
            eprintln!("--- the node's log ---\n{}--- end of the node's log ---", self.log());
        }
    }
}

/// Runs the binary with `arguments` to its end, in `directory`; panics if it does not end.
pub(crate) fn perennial(directory: &Path, arguments: &[&str]) -> Output {
    perennial_with(directory, arguments, &[])
}

/// The same with these variables of the environment.
pub(crate) fn perennial_with(
    directory: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Output {
    let mut command = perennial_command();
    let environment = environment.iter().copied();
    process::output(command.args(arguments).envs(environment).current_dir(directory), COMMAND)
}

/// Starts the program with these arguments, in this directory, and lets whoever called read what it writes.
pub(crate) fn perennial_started(directory: &Path, arguments: &[&str]) -> Child {
    let mut command = perennial_command();
    command.args(arguments).current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program runs")
}

/// The same for a command that takes `limit` at most, however busy the machine is.
pub(crate) fn perennial_within(limit: Duration, directory: &Path, arguments: &[&str]) -> Output {
    process::output(perennial_command().args(arguments).current_dir(directory), limit)
}

/// Starts a node on a data directory without waiting for anything.
pub(crate) fn spawn(data: &Path) -> Child {
    let mut command = perennial_command();
    command.arg("--data-dir").arg(data).args(["--listen", "127.0.0.1:0"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the node's binary runs")
}

fn perennial_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perennial"));
    // A developer's own settings must not decide a test.
    command.env_clear().stdin(Stdio::null());
    command.envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    command
}

/// The address in the log line `listening`, from its field `listen`.
fn listen_address(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    let listening = fields.get("message")?.as_str()? == "listening";
    listening.then(|| fields.get("listen")?.as_str().map(str::to_owned))?
}

/// The status of what the node answers, and its body: as text where it is no JSON.
pub(crate) async fn sent(request: reqwest::RequestBuilder) -> (u16, Value) {
    let (status, text) = answer(request).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.expect("the node answers");
    (answer.status().as_u16(), answer.text().await.expect("the answer is text"))
}
