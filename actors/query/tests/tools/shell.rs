//! Real commands under a real guard.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use perennial_query::plan::ErrorKind;
use perennial_query::tool::{Tool, ToolAnswer, ToolError, Trace};
use perennial_query::tools::shell::{Allowed, Config, GuardProgram, Placeholder, Shell};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PATIENCE, call, until};

const GUARD: &str = env!("CARGO_BIN_EXE_guard");

/// A tool with one command, and a mark in that command's environment which finds its processes.
struct Bench {
    shell: Shell,
    mark: String,
    _folder: TempDir,
}

fn allowed(argv: &[&str]) -> Allowed {
    Allowed {
        name: "run".to_owned(),
        argv: argv.iter().map(|part| (*part).to_owned()).collect(),
        environment: vec!["MARK".to_owned()],
        timeout: PATIENCE,
        ..Allowed::default()
    }
}

impl Bench {
    fn new(command: Allowed) -> Self {
        let guard = GuardProgram { program: GUARD.into(), arguments: vec!["guard".to_owned()] };
        // Its name is nobody else's.
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().display().to_string();
        let variables = |name: &str| match name {
            "MARK" => Some(mark.clone()),
            "LANG" => Some("C.UTF-8".to_owned()),
            "SECRET" => Some("hunter2".to_owned()),
            _ => None,
        };
        let shell = Shell::new(&Config { commands: vec![command] }, guard, variables).unwrap();
        Self { shell, mark, _folder: folder }
    }

    fn script(script: &str) -> Self {
        Self::new(allowed(&["sh", "-c", script]))
    }

    async fn run(&self, mut arguments: Value) -> Result<ToolAnswer, ToolError> {
        arguments["command"] = json!("run");
        self.shell.call(&call("shell", arguments)).await
    }

    async fn answer(&self, arguments: Value) -> Value {
        self.run(arguments).await.unwrap().value.0
    }

    async fn error(&self) -> ToolError {
        self.run(json!({})).await.unwrap_err()
    }

    /// The command lines of what is alive of the command, its guard included.
    fn alive(&self) -> Vec<String> {
        alive(&self.mark)
    }

    async fn until_gone(&self) {
        until("the end of every process of the command", || self.alive().is_empty()).await;
    }
}

/// Of what has ended and was not reaped, there is no environment.
fn alive(mark: &str) -> Vec<String> {
    let mark = format!("MARK={mark}");
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let marked = processes.filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    });
    let lines = marked.map(|process| fs::read(process.path().join("cmdline")).unwrap_or_default());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

/// Whether a process with `argument` is among `lines`.
fn runs(lines: &[String], argument: &str) -> bool {
    lines.iter().any(|line| line.starts_with("sleep") && line.contains(argument))
}

#[tokio::test]
async fn a_command_gets_its_arguments_and_input_and_its_output_is_the_answer() {
    let n = Placeholder { pattern: "[a-z ;]+".to_owned(), ..Placeholder::default() };
    let mut command = allowed(&["sh", "-c", "echo \"$1\"; cat; echo bad >&2", "sh", "{words}"]);
    command.parameters.insert("words".to_owned(), n);
    let bench = Bench::new(command);
    let arguments = json!({"arguments": {"words": "a; exit"}, "input": "in\nput"});
    assert_eq!(
        bench.answer(arguments).await,
        json!({
            "exit_code": 0,
            "stdout": "a; exit\nin\nput",
            "stderr": "bad\n",
            "truncated": false,
            "stdout_bytes": 14,
            "stderr_bytes": 4,
        })
    );
    bench.until_gone().await;
}

#[tokio::test]
async fn a_command_sees_of_the_environment_what_is_listed_and_what_names_its_call() {
    let bench = Bench::new(allowed(&["env"]));
    let answer = bench.answer(json!({})).await;
    let variables = answer["stdout"].as_str().unwrap().lines();
    let mut names: Vec<&str> =
        variables.filter_map(|line| line.split_once('=')).map(|v| v.0).collect();
    names.sort_unstable();
    assert_eq!(names, ["LANG", "MARK", "PATH", "PERENNIAL_CALL", "PERENNIAL_KEY"]);
}

#[tokio::test]
async fn a_command_does_not_hold_the_control_of_its_guard() {
    // What the test itself was started with is passed on by whoever runs the tests.
    let own = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let own: Vec<_> = own.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    let bench = Bench::script("for fd in /proc/$$/fd/*; do readlink $fd; done; true");
    let answer = bench.answer(json!({"input": "x"})).await;
    let held: Vec<&str> = answer["stdout"].as_str().unwrap().lines().collect();
    assert!(held.len() >= 3, "{held:?}");
    let own = |link: &str| own.iter().any(|known| known.as_os_str() == link);
    assert!(!held.iter().any(|link| link.starts_with("socket:") && !own(link)), "{held:?}");
}

#[tokio::test]
async fn an_exit_code_is_a_failure_unless_the_command_accepts_it() {
    let mut command = allowed(&["sh", "-c", "echo first >&2; echo why >&2; exit 3"]);
    let error = Bench::new(command.clone()).error().await;
    assert_eq!(error.kind, ErrorKind::Failed);
    assert_eq!(error.message, "`run` ended with exit code 3: first\nwhy");
    command.exit_codes = vec![0, 3];
    assert_eq!(Bench::new(command).answer(json!({})).await["exit_code"], json!(3));
    let error = Bench::script("kill -9 $$").error().await;
    assert_eq!(error.message, "`run` was killed by signal 9");
}

#[tokio::test]
async fn a_program_or_directory_that_is_not_there_is_named() {
    let error = Bench::new(allowed(&["no-such-program"])).error().await;
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.message.contains("could not be started: No such file"), "{error}");
    let mut command = allowed(&["true"]);
    command.directory = "/no/such/folder".into();
    let error = Bench::new(command).error().await;
    assert!(error.message.contains("/no/such/folder is not there"), "{error}");
}

#[tokio::test]
async fn only_what_is_listed_is_run() {
    let bench = Bench::new(allowed(&["true"]));
    let other = call("shell", json!({"command": "other"}));
    assert_eq!(bench.shell.call(&other).await.unwrap_err().kind, ErrorKind::Denied);
    let error = bench.run(json!({"arguments": {"script": "id"}})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn output_is_bounded_and_counted_to_its_end() {
    let bench = Bench::script("head -c 3000000 /dev/zero | tr '\\0' a; echo end >&2");
    let answer = bench.run(json!({})).await.unwrap();
    assert_eq!(answer.value.0["stdout"].as_str().unwrap().len(), 64 * 1024);
    assert_eq!(answer.value.0["stdout_bytes"], json!(3_000_000));
    assert_eq!(answer.value.0["truncated"], json!(true));
    assert_eq!(answer.warnings.len(), 1);
}

#[tokio::test]
async fn input_that_nobody_reads_holds_nothing_up_and_input_that_is_read_is_whole() {
    let input = "0123456789abcdef".repeat(64 * 1024 - 1);
    let deaf = Bench::new(allowed(&["true"]));
    assert_eq!(deaf.answer(json!({"input": input})).await["exit_code"], json!(0));
    let count = Bench::new(allowed(&["wc", "-c"]));
    let counted = count.answer(json!({"input": input})).await;
    assert_eq!(counted["stdout"], json!(format!("{}\n", input.len())));
    let echo = Bench::new(allowed(&["cat"]));
    assert_eq!(echo.answer(json!({"input": input})).await["stdout_bytes"], json!(input.len()));
}

#[tokio::test]
async fn at_its_timeout_a_command_is_killed_with_its_children() {
    let mut command = allowed(&["sh", "-c", "sleep 6001 & sleep 6002; sleep 6003"]);
    command.timeout = Duration::from_secs(1);
    let bench = Bench::new(command.clone());
    let error = bench.error().await;
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(bench.alive(), Vec::<String>::new(), "after the call nothing is left");
    command.changes_world = true;
    assert_eq!(Bench::new(command).error().await.kind, ErrorKind::Unknown);
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_behind() {
    let bench =
        Bench::script("sleep 6001 & (setsid sleep 6002 &) ; trap '' TERM INT HUP; sleep 6003");
    let running = |bench: &Bench| {
        let alive = bench.alive();
        ["6001", "6002", "6003"].iter().all(|sleep| runs(&alive, sleep))
    };
    tokio::select! {
        ended = bench.run(json!({})) => panic!("it has ended: {ended:?}"),
        () = until("the command", || running(&bench)) => {}
    }
    bench.until_gone().await;
}

#[tokio::test]
async fn what_a_command_leaves_running_ends_with_it() {
    let bench = Bench::script("setsid sleep 6001 >/dev/null 2>&1 & sleep 6002 & echo done");
    assert_eq!(bench.answer(json!({})).await["stdout"], json!("done\n"));
    assert_eq!(bench.alive(), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_that_signals_its_group_does_not_reach_its_guard() {
    let bench = Bench::script("trap 'echo caught' TERM; kill 0; echo on");
    assert_eq!(bench.answer(json!({})).await["stdout"], json!("caught\non\n"));
}

#[tokio::test]
async fn a_command_whose_guard_is_killed_is_killed_as_well() {
    let bench = Bench::script("kill -9 $PPID; sleep 6001");
    let error = bench.error().await;
    assert!(error.message.contains("guard was killed"), "{error}");
    bench.until_gone().await;
}

#[tokio::test]
async fn a_command_does_not_outlive_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().display().to_string();
    let script = "sleep 6001 & (setsid sleep 6002 &) ; sleep 6003";
    let mut node = Command::new(GUARD)
        .args(["node", "--", "sh", "-c", script])
        .env("MARK", &mark)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let running = || ["6001", "6002", "6003"].iter().all(|sleep| runs(&alive(&mark), sleep));
    until("the command", running).await;
    // SIGKILL: nothing of the node runs any more that could clean up.
    node.kill().unwrap();
    node.wait().unwrap();
    until("the end of the command", || alive(&mark).is_empty()).await;
}

#[tokio::test]
async fn after_a_crash_only_a_command_that_changes_nothing_is_run_again() {
    let mut command = allowed(&["true"]);
    let asked = call("shell", json!({"command": "run"}));
    let bench = Bench::new(command.clone());
    assert_eq!(bench.shell.reconcile(&asked).await, Trace::NotDone);
    command.changes_world = true;
    let bench = Bench::new(command);
    assert!(matches!(bench.shell.reconcile(&asked).await, Trace::Unknown(_)));
    assert!(bench.shell.spec().changes_world);
}
