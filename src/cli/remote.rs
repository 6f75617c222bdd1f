//! Commands that speak to a running node.

use std::future::Future;
use std::path::Path;

use hyper::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use perennial_secret::Secret;
use serde_json::{Value, json};

use super::{Command, DeadLetters, NodeArgs, print, show};
use crate::client::{Client, ClientError};
use crate::config::{Config, Sources};
use crate::exit::{Exit, Failure};

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Address(_) => Exit::Usage,
            ClientError::Unreachable { .. }
            | ClientError::Foreign { .. }
            | ClientError::OtherNode { .. } => Exit::Unavailable,
            ClientError::Refused { .. } => Exit::Failed,
            ClientError::Kept(_) => Exit::Io,
        };
        let hint = match &error {
            ClientError::Refused { status: StatusCode::UNAUTHORIZED, .. } => {
                "; set PERENNIAL__HTTP__TOKEN or name a file with --token-file"
            }
            ClientError::Address(_)
            | ClientError::Unreachable { .. }
            | ClientError::Foreign { .. }
            | ClientError::OtherNode { .. }
            | ClientError::Kept(_)
            | ClientError::Refused { .. } => "",
        };
        Self::new(exit, format!("{error}{hint}"))
    }
}

/// How an answer is shown to a person.
pub(super) type Show = fn(&Value) -> String;

pub(super) fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Health { live, node } => wait_for(health(live, node)),
        Command::Tree(node) => wait_for(get(node, "/v1/tree".into(), show::tree)),
        Command::Containers(node) => wait_for(get(node, "/v1/containers".into(), show::containers)),
        Command::Incidents { id: Some(id), node, .. } => {
            wait_for(get(node, format!("/v1/incidents/{}", escaped(&id)), show::incident))
        }
        Command::Incidents { id: None, status, severity, limit, node } => {
            let limit = limit.map(|limit| limit.to_string());
            let query = query(&[("status", status), ("severity", severity), ("limit", limit)]);
            wait_for(get(node, format!("/v1/incidents{query}"), show::incidents))
        }
        Command::Acknowledge { id, by, note, node } => {
            let path = format!("/v1/incidents/{}/acknowledge", escaped(&id));
            let body = json!({ "by": by, "note": note });
            wait_for(change(
                node,
                (Method::POST, Some(body)),
                path,
                format!("{by} has taken {id} on"),
            ))
        }
        Command::Actions { limit, verify, node } => {
            let verify = verify.then(|| "all".to_owned());
            let limit = limit.map(|limit| limit.to_string());
            let query = query(&[("limit", limit), ("verify", verify)]);
            wait_for(get(node, format!("/v1/actions{query}"), show::actions))
        }
        Command::Act { action, container, reason, once, node, argv } => {
            let mut body = json!({ "container": container, "action": action, "reason": reason });
            if !argv.is_empty() {
                body["argv"] = json!(argv);
            }
            wait_for(order(node, body, once))
        }
        Command::DeadLetters { action } => dead_letters(action),
        Command::Run(_)
        | Command::Drill(_)
        | Command::DrillNode(_)
        | Command::Query { .. }
        | Command::Ask(_)
        | Command::Documents { .. }
        | Command::Conversations { .. }
        | Command::Audit(_)
        | Command::Keys { .. }
        | Command::Schedules { .. }
        | Command::ToolGuard { .. }
        | Command::CheckConfig { .. }
        | Command::DumpConfig { .. }
        | Command::CheckData { .. }
        | Command::Backup { .. }
        | Command::Restore { .. } => {
            Err(Failure::new(Exit::Software, "this command does not speak to a node"))
        }
    }
}

fn dead_letters(action: DeadLetters) -> Result<(), Failure> {
    let path = |id: &str| format!("/v1/dead-letters/{}", escaped(id));
    match action {
        DeadLetters::List { limit, node } => {
            let query = query(&[("limit", limit.map(|limit| limit.to_string()))]);
            wait_for(get(node, format!("/v1/dead-letters{query}"), show::dead_letters))
        }
        DeadLetters::Show { id, node } => wait_for(get(node, path(&id), show::dead_letter)),
        DeadLetters::Redrive { id, node } => {
            let path = format!("{}/redrive", path(&id));
            wait_for(change(node, (Method::POST, None), path, format!("{id} was sent again")))
        }
        DeadLetters::Discard { id, node } => {
            wait_for(change(node, (Method::DELETE, None), path(&id), format!("{id} was discarded")))
        }
    }
}

pub(super) fn wait_for(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    wait_for_value(work)?
}

/// Waits for `work`, the only thing that is done.
pub(super) fn wait_for_value<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::new(Exit::Software, format!("could not start: {error}")))?;
    Ok(runtime.block_on(work))
}

pub(super) async fn get(node: NodeArgs, path: String, show: Show) -> Result<(), Failure> {
    let answer = client(&node)?.call(Method::GET, &path, None).await?;
    if node.json { print(&format!("{answer:#}")) } else { print(&show(&answer)) }
}

async fn order(node: NodeArgs, body: Value, once: Option<String>) -> Result<(), Failure> {
    let answer = client(&node)?.submit("/v1/actions", &body, once.as_deref()).await?;
    if node.json { print(&format!("{answer:#}")) } else { print(&show::ordered(&answer)) }
}

pub(super) async fn change(
    node: NodeArgs,
    (method, body): (Method, Option<Value>),
    path: String,
    done: String,
) -> Result<(), Failure> {
    client(&node)?.call(method, &path, body.as_ref()).await?;
    if node.json { print("{}") } else { print(&done) }
}

async fn health(live: bool, node: NodeArgs) -> Result<(), Failure> {
    let path = if live { "/livez" } else { "/readyz?verbose" };
    let (status, text) = client(&node)?.text(path).await?;
    if node.json {
        let lines: Vec<&str> = text.lines().collect();
        print(&format!("{:#}", json!({ "ok": status.is_success(), "lines": lines })))?;
    } else {
        print(&text)?;
    }
    if status.is_success() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("the node answered {status}")))
}

/// The node that the options name, or else the one that the configuration describes.
pub(super) fn client(node: &NodeArgs) -> Result<Client, Failure> {
    let config = Config::load(&Sources::of_process(node.config.clone()))?;
    let token = match (&node.token, &node.token_file) {
        (Some(token), _) => Secret::new(token.clone()),
        (None, Some(file)) => token_in(file)?,
        (None, None) => config.http.token,
    };
    Ok(match &node.node {
        Some(url) => Client::new(url, token)?,
        None => Client::of_listener(config.http.listen, token),
    })
}

fn token_in(file: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let why = format!("the token file {} cannot be read: {error}", file.display());
        Failure::new(Exit::Usage, why)
    })?;
    Ok(Secret::new(text.trim()))
}

pub(super) fn query(parameters: &[(&str, Option<String>)]) -> String {
    let set = parameters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let pairs: Vec<String> =
        set.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Text as part of a URL.
pub(super) fn escaped(text: &str) -> String {
    const ESCAPED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_becomes_a_query() {
        let limit = Some("5".to_owned());
        assert_eq!(query(&[("status", None), ("limit", limit)]), "?limit=5");
        assert_eq!(query(&[("status", None)]), "");
        assert_eq!(query(&[("status", Some("a b/c".into()))]), "?status=a%20b%2Fc");
    }
}
