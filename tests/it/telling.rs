//! What people are told: notifications on real channels, in order and once, whatever the channels do.

mod dead_letters;
mod email;
mod groups;
mod outage;
mod secrets;
mod slack;
mod webhook;

use serde_json::Value;

use crate::support::answers::{LONG, incident_where as incident, items, text};
use crate::support::engine::{Container, ContainerSpec, Engine};
use crate::support::node::{Node, NodeBuilder};
use crate::support::sink::{Answer, Received, Sink};
use crate::support::smtp::Smtp;
use crate::support::wait::eventually;

/// A node that watches this test's containers only, with these options of `[alert]`.
///
/// Coverage reports, which no test here is about, settle too late to be told.
fn node(engine: &Engine, alert: &str) -> NodeBuilder {
    Node::builder()
        .toml(&format!("[docker]\nhost = \"{}\"\ndeadline = \"5s\"", engine.host()))
        .toml(&format!("[monitor]\ninclude = [\"{}\"]", engine.names()))
        .toml("relist_every = \"1s\"\nsample_every = \"500ms\"\nsettle_time = \"1h\"")
        .toml("cpu_window = \"2s\"")
        .toml("[analyzer]\nrediagnose_after = \"500ms\"\nstabilisation = \"2s\"")
        .toml("[responder]\nstabilisation = \"2s\"\nbackoff = \"1s\"\nrestarts = 1")
        .toml(&format!("[alert]\nenvironment = \"proving ground\"\n{alert}"))
}

/// The section that tells `sink` as Slack.
fn slack(sink: &Sink) -> String {
    format!("[alert.slack]\nurl = \"{}\"", sink.url("/services/T0/B0/token"))
}

/// The section that tells `smtp`, with `more` options.
fn email(smtp: &Smtp, more: &str) -> String {
    let (user, password) = Smtp::LOGIN;
    format!(
        "[alert.email]\nhost = \"127.0.0.1\"\nport = {}\nca_file = \"{}\"\nuser = \"{user}\"\n\
         password = \"{password}\"\nfrom = \"Perennial <node@example.org>\"\n\
         to = [\"ops@example.org\"]\n{more}",
        smtp.port(),
        smtp.ca_file().display(),
    )
}

/// A service that ends with an error at once and that nothing is done about: it is told as `opened`
/// and as `suppressed`, both critical.
fn failing(name: &str) -> ContainerSpec {
    ContainerSpec::new(name, "exit 3").mode("observe")
}

/// A service that ends with an error once, and runs when it is started again.
fn curable(name: &str) -> ContainerSpec {
    let script = "trap 'exit 0' TERM; if test -e /tmp/was; then while :; do sleep 3600 & wait $!; \
                  done; fi; touch /tmp/was; exit 3";
    ContainerSpec::new(name, script).mode("auto")
}

/// One incident in a message to Slack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Post {
    incident: String,
    change: String,
    container: String,
}

/// The value of a field of a Slack attachment.
fn field<'a>(attachment: &'a Value, name: &str) -> Option<&'a str> {
    let fields = attachment["fields"].as_array().expect("an attachment has fields");
    fields.iter().find(|field| field["title"] == name)?["value"].as_str()
}

/// What each attachment of these messages told, in order.
fn posts(received: &[Received]) -> Vec<Post> {
    let bodies = received.iter().map(Received::json);
    let attachments = bodies.flat_map(|body| {
        body["attachments"].as_array().expect("a message has attachments").clone()
    });
    let known = |attachment: &Value, name| {
        field(attachment, name).unwrap_or_else(|| panic!("no {name} in {attachment}")).to_owned()
    };
    attachments
        .map(|attachment| Post {
            incident: known(&attachment, "Incident"),
            change: known(&attachment, "Event Type"),
            container: known(&attachment, "Container"),
        })
        .collect()
}

/// The messages that the sink took with a 200.
fn taken(sink: &Sink) -> Vec<Received> {
    let mut received = sink.received();
    received.retain(|request| request.answer == Answer::Status(200));
    received
}

/// Waits until the sink has taken messages with at least `count` attachments, and returns these.
async fn told(sink: &Sink, count: usize) -> Vec<Post> {
    eventually(&format!("{count} changes told to Slack"), 2 * LONG, async || {
        let posts = posts(&taken(sink));
        if posts.len() >= count { Ok(posts) } else { Err(posts) }
    })
    .await
}

/// The steps of an incident's journal about notifications: channel, change and state.
fn fates(incident: &Value) -> Vec<(&str, &str, &str)> {
    let journal = incident["journal"].as_array().expect("an incident has a journal");
    let steps = journal.iter().filter(|step| step["kind"] == "notification");
    steps
        .map(|step| (text(&step["channel"]), text(&step["change"]), text(&step["state"])))
        .collect()
}

/// Waits until the container's incident says of a notification that this became of it.
async fn fated(node: &Node, container: &Container, fate: (&str, &str, &str)) -> Value {
    let awaited = format!("told: {fate:?}");
    incident(node, container, &awaited, |incident| fates(incident).contains(&fate)).await
}
