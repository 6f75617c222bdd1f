//! Real files below real roots.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::PathBuf;

use perennial_query::plan::ErrorKind;
use perennial_query::tool::{Call, ToolAnswer, ToolError, Toolbox, Trace};
use perennial_query::tools::file::{Config, Root, add};
use perennial_runtime::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::call;

/// A root that may be written and one that may not, side by side in a folder.
struct Bench {
    tools: Toolbox,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let roots = [("data", true), ("archive", false)].map(|(name, write)| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            Root { name: String::new(), path, write }
        });
        let config = Config { roots: roots.to_vec(), max_bytes: 1000 };
        Self { tools: add(Toolbox::default(), &config).unwrap(), folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("data").join(path)
    }

    fn holds(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    async fn make(&self, call: &Call) -> Result<ToolAnswer, ToolError> {
        self.tools.get(&call.tool).unwrap().call(call).await
    }

    async fn run(&self, tool: &str, arguments: Value) -> Result<ToolAnswer, ToolError> {
        let call = call(tool, arguments);
        let spec = self.tools.get(tool).unwrap().spec();
        assert_eq!(spec.problems(&call.arguments.0, false), []);
        self.make(&call).await
    }

    async fn read(&self, path: &str) -> Result<Value, ToolError> {
        self.run("file_read", json!({"path": path})).await.map(|answer| answer.value.0)
    }

    async fn write(&self, path: &str, content: &str, mode: &str) -> Result<Value, ToolError> {
        let arguments = json!({"path": path, "content": content, "mode": mode});
        self.run("file_write", arguments).await.map(|answer| answer.value.0)
    }

    async fn reconcile(&self, call: &Call) -> Trace {
        self.tools.get(&call.tool).unwrap().reconcile(call).await
    }

    /// The names in the root, those of temporary files too.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

fn appending(content: &str, step: &str, attempt: u32) -> Call {
    let arguments = json!({"path": "log", "content": content, "mode": "append"});
    Call { key: step.to_owned(), attempt, ..call("file_write", arguments) }
}

#[tokio::test]
async fn what_is_written_is_read_byte_for_byte() {
    let bench = Bench::new();
    let content = " Header\n\r\n\t\u{0}ä€😀\n\n";
    bench.write("a.txt", content, "create").await.unwrap();
    assert_eq!(fs::read(bench.path("a.txt")).unwrap(), content.as_bytes());
    let read = bench.read("a.txt").await.unwrap();
    assert_eq!(read["content"], json!(content));
    assert_eq!(read["bytes"], json!(content.len()));
    assert_eq!(bench.names(), ["a.txt"], "no temporary file is left");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let bench = Bench::new();
    let error = bench.read("some/where.txt").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("`some/where.txt` in root `data`"), "{error}");
    let error = bench.write("some/where.txt", "x", "replace").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn folders_that_are_missing_are_made_on_request() {
    let bench = Bench::new();
    let arguments = json!({"path": "a/b/c.txt", "content": "x", "make_folders": true});
    bench.run("file_write", arguments).await.unwrap();
    assert_eq!(bench.holds("a/b/c.txt"), "x");
}

#[tokio::test]
async fn no_path_and_no_link_leads_out_of_a_root() {
    let bench = Bench::new();
    let outside = bench.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "hunter2").unwrap();
    symlink(&outside, bench.path("folder")).unwrap();
    symlink(outside.join("secret"), bench.path("file")).unwrap();
    symlink(outside.join("new"), bench.path("dangling")).unwrap();
    let outside_path = outside.join("secret").display().to_string();
    for path in ["../outside/secret", &outside_path, "folder/secret", "file", "folder/../folder"] {
        let error = bench.read(path).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{path}: {error}");
        assert!(!error.message.contains("hunter2"));
    }
    for path in ["../outside/new", "folder/new", "file", "dangling"] {
        for mode in ["create", "replace", "append"] {
            let refused = bench.write(path, "x", mode).await;
            assert!(refused.is_err(), "{path} {mode}");
        }
    }
    let error = bench.run("file_list", json!({"path": "folder"})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "hunter2");
}

#[tokio::test]
async fn what_is_no_ordinary_file_is_refused_without_waiting_for_it() {
    let bench = Bench::new();
    let made = std::process::Command::new("mkfifo").arg(bench.path("pipe")).status().unwrap();
    assert!(made.success());
    assert_eq!(bench.read("pipe").await.unwrap_err().kind, ErrorKind::Denied);
    assert!(bench.write("pipe", "x", "replace").await.is_err());
    assert!(bench.write("pipe", "x", "append").await.is_err());
    assert!(fs::symlink_metadata(bench.path("pipe")).unwrap().file_type().is_fifo());
    fs::create_dir(bench.path("folder")).unwrap();
    for mode in ["create", "replace", "append"] {
        assert!(bench.write("folder", "x", mode).await.is_err(), "{mode}");
    }
    assert_eq!(bench.read("folder").await.unwrap_err().kind, ErrorKind::Failed);
}

#[tokio::test]
async fn only_a_root_that_may_be_written_is_written() {
    let bench = Bench::new();
    let arguments = json!({"root": "archive", "path": "a", "content": "x"});
    let error = bench.run("file_write", arguments).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    fs::write(bench.folder.path().join("archive/a"), "old").unwrap();
    let arguments = json!({"root": "archive", "path": "a"});
    assert_eq!(bench.run("file_read", arguments).await.unwrap().value.0["content"], json!("old"));
}

#[tokio::test]
async fn more_than_the_limit_is_cut_when_it_is_read_and_refused_when_it_is_written() {
    let bench = Bench::new();
    fs::write(bench.path("long"), "aä".repeat(1000)).unwrap();
    let arguments = json!({"path": "long", "max_bytes": 5});
    let answer = bench.run("file_read", arguments).await.unwrap();
    assert_eq!(answer.value.0["content"], json!("aäa"), "a character is not cut in two");
    assert_eq!(answer.value.0["bytes"], json!(3000));
    assert_eq!(answer.value.0["truncated"], json!(true));
    assert_eq!(answer.warnings.len(), 1);
    assert_eq!(bench.read("long").await.unwrap()["content"].as_str().unwrap().len(), 1000);
    let error = bench.write("new", &"x".repeat(1001), "create").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(bench.names(), ["long"]);
}

#[tokio::test]
async fn what_is_no_text_is_refused_rather_than_changed() {
    let bench = Bench::new();
    fs::write(bench.path("image"), b"ab\xff\xd8").unwrap();
    let error = bench.read("image").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.message.contains("byte 2"), "{error}");
}

#[tokio::test]
async fn replacing_keeps_the_permissions_and_can_be_repeated() {
    let bench = Bench::new();
    fs::write(bench.path("a"), "old").unwrap();
    fs::set_permissions(bench.path("a"), fs::Permissions::from_mode(0o640)).unwrap();
    let arguments = json!({"path": "a", "content": "new"});
    let write = call("file_write", arguments);
    for _ in 0..2 {
        assert_eq!(bench.reconcile(&write).await, Trace::NotDone);
        bench.make(&write).await.unwrap();
        assert_eq!(bench.holds("a"), "new");
    }
    let mode = fs::metadata(bench.path("a")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[tokio::test]
async fn creating_refuses_what_is_there_unless_an_earlier_attempt_made_it() {
    let bench = Bench::new();
    let first = call("file_write", json!({"path": "a", "content": "x", "mode": "create"}));
    assert_eq!(bench.reconcile(&first).await, Trace::NotDone);
    bench.make(&first).await.unwrap();
    assert!(matches!(bench.reconcile(&first).await, Trace::Done(Ok(_))));
    let again = Call { attempt: 2, ..first.clone() };
    bench.make(&again).await.unwrap();
    assert_eq!(bench.make(&first).await.unwrap_err().kind, ErrorKind::Failed);
    fs::write(bench.path("a"), "y").unwrap();
    assert_eq!(bench.reconcile(&again).await, Trace::NotDone);
    assert_eq!(bench.make(&again).await.unwrap_err().kind, ErrorKind::Failed);
    assert_eq!(bench.holds("a"), "y");
}

#[tokio::test]
async fn what_is_being_written_is_not_listed() {
    let bench = Bench::new();
    bench.write("a", "old", "create").await.unwrap();
    fs::write(bench.path(".perennial-00.tmp"), "half").unwrap();
    let listed = bench.run("file_list", json!({})).await.unwrap().value.0;
    assert_eq!(listed["entries"], json!([{"name": "a", "type": "file", "bytes": 3}]));
}

#[tokio::test]
async fn a_step_appends_once_however_often_it_is_tried() {
    let bench = Bench::new();
    let (one, two) = (appending("one\n", "step-1", 1), appending("two\n", "step-2", 1));
    assert_eq!(bench.reconcile(&one).await, Trace::NotDone);
    bench.make(&one).await.unwrap();
    bench.make(&two).await.unwrap();
    for call in [&one, &two] {
        assert!(matches!(bench.reconcile(call).await, Trace::Done(Ok(_))));
        bench.make(&Call { attempt: 2, ..call.clone() }).await.unwrap();
    }
    assert_eq!(bench.holds("log"), "one\ntwo\n");
    // The same words by another step are others.
    bench.make(&appending("two\n", "step-3", 1)).await.unwrap();
    assert_eq!(bench.holds("log"), "one\ntwo\ntwo\n");
}

#[tokio::test]
async fn an_append_that_a_crash_cut_off_is_completed() {
    for left in ["one\n", "one\ntw", "one\ntwo\n"] {
        let bench = Bench::new();
        bench.make(&appending("one\n", "step-1", 1)).await.unwrap();
        let two = appending("two\n", "step-2", 1);
        bench.make(&two).await.unwrap();
        let file = fs::OpenOptions::new().write(true).open(bench.path("log")).unwrap();
        file.set_len(left.len() as u64).unwrap();
        let whole = left == "one\ntwo\n";
        let trace = bench.reconcile(&two).await;
        assert_eq!(matches!(trace, Trace::Done(Ok(_))), whole, "{left:?}: {trace:?}");
        assert_eq!(trace == Trace::NotDone, !whole, "{left:?}: {trace:?}");
        bench.make(&Call { attempt: 2, ..two }).await.unwrap();
        assert_eq!(bench.holds("log"), "one\ntwo\n");
    }
}

#[tokio::test]
async fn an_append_that_cannot_be_told_is_not_repeated() {
    let bench = Bench::new();
    let one = appending("one\n", "step-1", 1);
    bench.make(&one).await.unwrap();
    fs::write(bench.path("log"), "two\n").unwrap();
    let again = Call { attempt: 2, ..one.clone() };
    assert!(matches!(bench.reconcile(&one).await, Trace::Unknown(_)));
    assert_eq!(bench.make(&again).await.unwrap_err().kind, ErrorKind::Unknown);
    assert_eq!(bench.holds("log"), "two\n");
    // Nor is one that is further back than the file remembers.
    fs::remove_file(bench.path("log")).unwrap();
    for step in 1..=20 {
        bench.make(&appending("x", &format!("step-{step}"), 1)).await.unwrap();
    }
    assert!(matches!(bench.reconcile(&appending("x", "step-2", 1)).await, Trace::Unknown(_)));
    assert!(matches!(bench.reconcile(&appending("x", "step-20", 1)).await, Trace::Done(Ok(_))));
}

#[tokio::test]
async fn an_append_that_never_began_is_told_from_one_that_is_forgotten_however_busy_the_file_is() {
    let bench = Bench::new();
    let begun = |second: u64, step: &str| {
        let since = Timestamp::from_micros(second * 1_000_000);
        Call { since, ..appending("x", step, 1) }
    };
    for step in 1..=40 {
        bench.make(&begun(step, &format!("step-{step}"))).await.unwrap();
    }
    let never = begun(41, "never");
    assert_eq!(bench.reconcile(&never).await, Trace::NotDone);
    bench.make(&Call { attempt: 2, ..never.clone() }).await.unwrap();
    assert!(matches!(bench.reconcile(&never).await, Trace::Done(Ok(_))));
    assert_eq!(bench.holds("log").len(), 41);
    let long_ago = [begun(3, "step-3"), begun(3, "never begun long ago")];
    for call in long_ago {
        assert!(matches!(bench.reconcile(&call).await, Trace::Unknown(_)), "{}", call.key);
        let again = bench.make(&Call { attempt: 2, ..call }).await;
        assert_eq!(again.unwrap_err().kind, ErrorKind::Unknown);
    }
}

#[tokio::test]
async fn what_became_of_appends_is_told_while_others_append_and_look() {
    let bench = Bench::new();
    let calls = |from: u32| -> Vec<Call> {
        (from..from + 6).map(|step| appending("line\n", &format!("step-{step}"), 1)).collect()
    };
    let (before, meanwhile) = (calls(0), calls(6));
    for call in &before {
        bench.make(call).await.unwrap();
    }
    let looked = futures::future::join_all(before.iter().map(|call| bench.reconcile(call)));
    let made = futures::future::join_all(meanwhile.iter().map(|call| bench.make(call)));
    let (looked, made) = futures::future::join(looked, made).await;
    assert!(looked.iter().all(|trace| matches!(trace, Trace::Done(Ok(_)))), "{looked:?}");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

#[tokio::test]
async fn appends_at_the_same_time_are_all_there() {
    let bench = Bench::new();
    let calls: Vec<Call> =
        (0..12).map(|step| appending("line\n", &format!("step-{step}"), 1)).collect();
    let made = futures::future::join_all(calls.iter().map(|call| bench.make(call))).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert_eq!(bench.holds("log"), "line\n".repeat(12));
}

#[tokio::test]
async fn a_folder_is_listed_by_name_with_types_and_sizes() {
    let bench = Bench::new();
    fs::write(bench.path("b"), "12345").unwrap();
    fs::create_dir(bench.path("a")).unwrap();
    symlink("b", bench.path("c")).unwrap();
    let listed = bench.run("file_list", json!({"root": "data"})).await.unwrap().value.0;
    assert_eq!(
        listed["entries"],
        json!([
            {"name": "a", "type": "folder", "bytes": null},
            {"name": "b", "type": "file", "bytes": 5},
            {"name": "c", "type": "link", "bytes": null},
        ])
    );
}

#[test]
fn without_roots_there_are_no_tools_and_without_writable_ones_none_that_writes() {
    let none = add(Toolbox::default(), &Config::default()).unwrap();
    assert!(none.catalogue().0.is_empty());
    let root = Root { path: "/srv/data".into(), ..Root::default() };
    let config = Config { roots: vec![root.clone()], ..Config::default() };
    let tools = add(Toolbox::default(), &config).unwrap().catalogue();
    assert_eq!(tools.0.keys().collect::<Vec<_>>(), ["file_list", "file_read"]);
    let twice = Config { roots: vec![root.clone(), root], ..Config::default() };
    assert!(add(Toolbox::default(), &twice).unwrap_err().to_string().contains("roots[1].name"));
    let relative = Root { path: "data".into(), ..Root::default() };
    let config = Config { roots: vec![relative], ..Config::default() };
    assert!(add(Toolbox::default(), &config).unwrap_err().to_string().contains("absolute"));
}
