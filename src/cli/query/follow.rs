//! Having a query done, and following it to its end: through restarts of the node, too.

use std::io::{self, Write};
use std::time::Duration;

use hyper::{Method, StatusCode};
use perennial_runtime::instant;
use serde_json::{Value, json};

use super::{path, report, whole};
use crate::cli::remote::{client, escaped, wait_for_value};
use crate::cli::{NodeArgs, print};
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::signal::Signals;

/// How long a node that does not answer is waited for. What it has accepted it goes on with when it is back.
const AWAY: Duration = Duration::from_secs(60);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// Why a query was not taken in.
pub(super) enum Refusal {
    /// Everything that is wrong with it, a line each.
    Invalid(String),
    /// Anything else.
    Other(Failure),
}

/// Has a query taken in.
pub(super) fn submit(node: &NodeArgs, body: &Value, once: Option<&str>) -> Result<Value, Refusal> {
    let submitted = async {
        let client = client(node).map_err(Refusal::Other)?;
        client.submit("/v1/queries", body, once).await.map_err(|error| match error {
            ClientError::Refused { status: StatusCode::UNPROCESSABLE_ENTITY, detail } => {
                Refusal::Invalid(detail)
            }
            error @ (ClientError::Address(_)
            | ClientError::Unreachable { .. }
            | ClientError::Refused { .. }
            | ClientError::OtherNode { .. }
            | ClientError::Kept(_)
            | ClientError::Foreign { .. }) => Refusal::Other(error.into()),
        })
    };
    wait_for_value(submitted).map_err(Refusal::Other)?
}

/// Waits until a turn of a conversation that was `taken` in has a query, which it has not before those before it
/// have ended.
pub(super) fn turn(node: &NodeArgs, taken: Value) -> Result<Value, Failure> {
    let conversation = taken["conversation"].as_str().map(str::to_owned);
    let Some(conversation) = conversation.filter(|_| taken["queued"] == true) else {
        return Ok(taken);
    };
    let begun = async {
        let client = client(node)?;
        let path = format!("/v1/conversations/{}", escaped(&conversation));
        loop {
            let document = client.call(Method::GET, &path, None).await?;
            let turns = document["turns"].as_array().into_iter().flatten();
            let Some(turn) = turns.into_iter().find(|turn| turn["number"] == taken["turn"]) else {
                let why = format!("turn {} of {conversation} is not kept any more", taken["turn"]);
                return Err(Failure::new(Exit::Failed, why));
            };
            if turn["query"].is_string() {
                return Ok(json!({"id": turn["query"]}));
            }
            if turn["status"] == "ended" {
                let why = turn["reason"].as_str().unwrap_or_default().to_owned();
                return Err(Failure::new(Exit::Usage, why));
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    wait_for_value(begun)?
}

/// What is shown of a query that has ended, for people.
type Report = fn(&Value) -> String;

/// Shows the progress of a query until it ends, and then what came of it: as `report`, or in JSON.
pub(super) fn follow(node: &NodeArgs, id: &str, report: Report) -> Result<Exit, Failure> {
    wait_for_value(following(node, id, report))?
}

async fn following(node: &NodeArgs, id: &str, report: Report) -> Result<Exit, Failure> {
    let client = client(node)?;
    let mut signals =
        Signals::catch().map_err(|error| Failure::new(Exit::Software, error.to_string()))?;
    let mut progress = Progress::new(!node.json);
    let interrupted = tokio::select! {
        ended = to_the_end(&client, id, &mut progress) => { ended?; false }
        _ = signals.next() => true,
    };
    if interrupted {
        // It may have ended in this moment, which is as good.
        let _cancelled = client.call(Method::POST, &format!("{}/cancel", path(id)), None).await;
        // It has ended when it is known what became of what was under way. A second signal does not wait for that.
        tokio::select! {
            ended = to_the_end(&client, id, &mut progress) => ended?,
            _ = signals.next() => {}
        }
    }
    let document = whole::document(&client, id).await?;
    print(&if node.json { format!("{document:#}") } else { report(&document) })?;
    Ok(match document["outcome"].as_str() {
        Some("succeeded") => Exit::Success,
        Some("cancelled") => Exit::Cancelled,
        None if interrupted => Exit::Cancelled,
        Some(_) | None => Exit::Failed,
    })
}

/// Reads what happens until nothing more can.
async fn to_the_end(client: &Client, id: &str, progress: &mut Progress) -> Result<(), Failure> {
    let mut away = None;
    while !progress.ended {
        let before = progress.last;
        let events = format!("{}/events?after={before}", path(id));
        match client.download(&events, None, progress).await {
            Ok(()) => {}
            Err(ClientError::Unreachable { .. }) if progress.last > before => {}
            Err(error @ ClientError::Unreachable { .. }) => {
                let since = *away.get_or_insert_with(instant);
                if since.elapsed() > AWAY {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        if progress.last > before {
            away = None;
        }
        if !progress.ended {
            tokio::time::sleep(AGAIN).await;
        }
    }
    Ok(())
}

/// Takes the stream of events apart and shows each on the standard error.
struct Progress {
    show: bool,
    line: Vec<u8>,
    /// The number of the last event.
    last: u64,
    ended: bool,
}

impl Progress {
    fn new(show: bool) -> Self {
        Self { show, line: Vec::new(), last: 0, ended: false }
    }

    fn take(&mut self, line: &[u8]) {
        let data = line.strip_prefix(b"data:").and_then(|data| serde_json::from_slice(data).ok());
        let Some(event): Option<Value> = data else { return };
        self.last = event["number"].as_u64().unwrap_or(self.last);
        self.ended |= event["event"] == "finished";
        if self.show {
            // Standard error may be closed, which is no reason to fail.
            drop(writeln!(io::stderr().lock(), "{}", report::event(&event)));
        }
    }
}

impl Write for Progress {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.take(&line);
            } else {
                self.line.push(*byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_in_the_stream_however_it_is_cut() {
        let stream =
            b"id: 1\nevent: accepted\ndata: {\"number\":1,\"event\":\"accepted\"}\n\n:\n\n\
            id: 2\ndata: {\"number\":2,\"event\":\"finished\"}\n\n";
        let mut progress = Progress::new(false);
        for byte in stream {
            progress.write_all(&[*byte]).unwrap();
        }
        assert_eq!((progress.last, progress.ended), (2, true));
    }
}
