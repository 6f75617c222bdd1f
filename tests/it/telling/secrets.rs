//! Secrets stay where they are needed.

use std::fs;
use std::path::Path;

use super::{email, failing, fated, node};
use crate::support::engine::Engine;
use crate::support::node::perennial;
use crate::support::sink::{Answer, Sink};
use crate::support::smtp::Smtp;

const TOKEN: &str = "T0SECRETTOKEN7f3a";
const KEY: &str = "signing-key-91c2";

/// Where a secret is found in `bytes`; the password also as SMTP sends it.
fn leaks(bytes: &[u8]) -> Vec<&'static str> {
    // Base64 of "\0perennial\0correct horse", as in AUTH PLAIN, and of the password alone.
    let forms =
        [TOKEN, KEY, Smtp::LOGIN.1, "AHBlcmVubmlhbABjb3JyZWN0IGhvcnNl", "Y29ycmVjdCBob3JzZQ"];
    let found = |form: &&str| bytes.windows(form.len()).any(|part| part == form.as_bytes());
    forms.into_iter().filter(found).collect()
}

fn check_files(directory: &Path, checked: &mut usize) {
    for entry in fs::read_dir(directory).expect("the data directory can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            check_files(&path, checked);
        } else {
            *checked += 1;
            let bytes = fs::read(&path).expect("a data file can be read");
            assert_eq!(leaks(&bytes), [""; 0], "in {}", path.display());
        }
    }
}

/// Every way a channel can fail writes an error somewhere: none may carry an address or a password.
#[tokio::test]
async fn secrets_never_reach_the_log_the_answers_the_metrics_or_the_disk() {
    let (engine, smtp) = (Engine::connect(), Smtp::start());
    let (mut slack, webhook) = (Sink::start(), Sink::start());
    slack.answer(Answer::Status(500));
    webhook.answer(Answer::Status(404));
    smtp.refuse_recipients("550 5.1.1 no such user");
    let channels = format!(
        "fallback_after = \"0s\"\n[alert.slack]\nurl = \"{}\"\n[alert.webhook]\nurl = \"{}\"\n\
         key = \"{KEY}\"\n{}\n[log]\nlevel = \"debug\"",
        slack.url(&format!("/services/{TOKEN}")),
        webhook.url(&format!("/hook?token={TOKEN}")),
        email(&smtp, ""),
    );
    let mut node = node(&engine, &channels).start().await;
    let container = engine.run(failing("web"));
    fated(&node, &container, ("webhook", "opened", "failed")).await;
    fated(&node, &container, ("email", "opened", "failed")).await;
    slack.wait_for(1, super::LONG).await;
    slack.stop().await;
    // An attempt that is refused is seen in the log; the journal keeps only ends.
    crate::support::wait::eventually("a refused connection", super::LONG, async || {
        let log = node.log();
        if log.contains("could not be reached") { Ok(()) } else { Err(log.len()) }
    })
    .await;
    slack.resume();
    slack.answer(Answer::Status(200));
    let found = fated(&node, &container, ("slack", "suppressed", "delivered")).await;

    let path = format!("/v1/incidents/{}", found["id"].as_str().expect("an id"));
    for path in
        ["/metrics", "/v1/tree", "/v1/incidents", "/v1/dead-letters", "/readyz?verbose", &path]
    {
        let (status, body) = node.get(path).await;
        assert_eq!(status, 200, "{path}");
        assert_eq!(leaks(body.as_bytes()), [""; 0], "in {path}: {body}");
    }
    let (_, letters) = node.get("/v1/dead-letters").await;
    assert!(letters.contains("404") && letters.contains("550"), "errors say why: {letters}");
    let config = node.data_dir().with_file_name("perennial.toml");
    let dump = perennial(
        &std::env::temp_dir(),
        &["dump-config", "--config", config.to_str().expect("a path")],
    );
    assert!(dump.status.success(), "{dump:?}");
    assert_eq!(leaks(&dump.stdout), [""; 0]);

    assert!(node.sigterm().0.success());
    assert_eq!(leaks(node.log().as_bytes()), [""; 0], "in the log");
    let mut checked = 0;
    check_files(&node.data_dir(), &mut checked);
    assert!(checked > 1, "the store's files were looked at");
    // The check itself sees a secret where there is one.
    assert!(!leaks(&fs::read(config).expect("the configuration")).is_empty());
}
