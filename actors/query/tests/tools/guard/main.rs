//! What the node does in processes of its own, for tests: the guard of commands, and a node that can be
//! killed while it runs one.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use perennial_query::json::Json;
use perennial_query::tool::{Call, Identity, Tool};
use perennial_query::tools::shell::{Allowed, Config, GuardProgram, Shell, guard};
use perennial_runtime::Timestamp;
use serde_json::json;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let role = arguments.next().unwrap_or_default();
    let behind = arguments.skip_while(|argument| argument != "--").skip(1);
    match role.to_str() {
        Some("guard") => guard(behind),
        Some("node") => {
            let argv = behind.map(|part| part.to_string_lossy().into_owned()).collect();
            let played = play_node(argv);
            if played.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Some(_) | None => ExitCode::FAILURE,
    }
}

/// Runs `argv` by the tool, with the mark that finds it, and waits for its end.
fn play_node(argv: Vec<String>) -> Result<(), Box<dyn Error>> {
    let command = Allowed {
        name: "run".to_owned(),
        argv,
        environment: vec!["MARK".to_owned()],
        timeout: Duration::from_secs(600),
        ..Allowed::default()
    };
    let config = Config { commands: vec![command] };
    let guard = GuardProgram::this("guard");
    let variable = |name: &str| std::env::vars().find(|(known, _)| known == name).map(|(_, v)| v);
    let shell = Shell::new(&config, guard, variable)?;
    let call = Call {
        tool: "shell".to_owned(),
        arguments: Json(json!({"command": "run"})),
        identity: Identity::default(),
        key: "key".to_owned(),
        label: "query/step".to_owned(),
        attempt: 1,
        since: Timestamp::EPOCH,
        deadline: Timestamp::MAX,
        timeout: Duration::from_secs(600),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(shell.call(&call)).map(|_| ()).map_err(|error| error.to_string().into())
}
