//! The helpers do what they say, against the real engine, clients and node.

use std::time::Duration;

use lettre::message::MultiPart;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::json;

use super::engine::{ContainerSpec, Engine, Health};
use super::node::{Node, perennial};
use super::sink::{Answer, Sink, hmac_sha256};
use super::smtp::Smtp;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_container_runs_and_its_exit_code_is_seen() {
    let engine = Engine::connect();
    let container = engine.run(ContainerSpec::new("exits", "echo hello; exit 7"));
    let state = container.wait_for("exited", SOON, |state| state["Status"] == "exited").await;
    assert_eq!(state["ExitCode"], 7);
    assert_eq!(container.logs(), "hello");
    assert_eq!(container.status(), "exited");
}

#[tokio::test]
async fn a_container_goes_over_its_memory_limit_and_is_killed() {
    let engine = Engine::connect();
    let hungry = "x=a; while :; do x=$x$x; done";
    let spec = ContainerSpec::new("hungry", hungry).memory_mib(16).cpus(0.5).mode("observe");
    let container = engine.run(spec);
    let state = container.wait_for("exited", SOON, |state| state["Status"] == "exited").await;
    assert_eq!(state["OOMKilled"], true);
    assert_eq!(container.inspect()["Config"]["Labels"]["perennial.mode"], "observe");
}

#[tokio::test]
async fn a_container_turns_unhealthy_by_its_own_check() {
    let engine = Engine::connect();
    let health = Health {
        command: "test ! -e /tmp/ill",
        interval: Duration::from_millis(100),
        retries: 2,
        start_period: Duration::ZERO,
    };
    let container = engine.run(ContainerSpec::idle("ill").health(health));
    container.wait_for("healthy", SOON, |state| state["Health"]["Status"] == "healthy").await;
    container.exec("touch /tmp/ill");
    container.wait_for("unhealthy", SOON, |state| state["Health"]["Status"] == "unhealthy").await;
}

#[tokio::test]
async fn the_restart_policy_and_an_operator_both_leave_their_marks() {
    let engine = Engine::connect();
    let crashing = engine.run(ContainerSpec::new("crashing", "exit 1").restart("on-failure:2"));
    let exited = |state: &serde_json::Value| state["Status"] == "exited";
    crashing.wait_for("given up", SOON, exited).await;
    assert_eq!(crashing.restart_count(), 2);

    let idle = engine.run(ContainerSpec::idle("idle"));
    let first = idle.started_at();
    idle.stop();
    engine.docker(&["start", idle.id()]);
    assert!(idle.started_at() > first, "a later start has a later time");
    idle.kill("KILL");
    assert_eq!(idle.wait_for("killed", SOON, exited).await["ExitCode"], 137);
    idle.remove();
    let filter = format!("name={}", idle.name());
    assert_eq!(engine.docker(&["ps", "--all", "--quiet", "--filter", &filter]), "");
}

#[tokio::test]
async fn dropping_the_engine_removes_its_containers_and_no_others() {
    let engine = Engine::connect();
    let kept = engine.run(ContainerSpec::idle("kept"));
    let other = Engine::connect();
    let gone = other.run(ContainerSpec::idle("gone")).id().to_owned();
    assert_ne!(other.names(), engine.names());
    drop(other);
    assert!(!engine.docker(&["ps", "--quiet", "--no-trunc"]).contains(&gone));
    assert_eq!(kept.status(), "running");
}

#[tokio::test]
async fn a_private_engine_can_be_absent_and_come_back() {
    let mut engine = Engine::start_private().await;
    let container = engine.run(ContainerSpec::idle("kept").restart("always"));
    let first = container.started_at();
    engine.stop();
    engine.start().await;
    container.wait_for("back", SOON, |state| state["Running"] == true).await;
    assert!(container.started_at() > first, "the engine restarted it");
    engine.kill9().await;
    let socket = engine.host().trim_start_matches("unix://").to_owned();
    assert!(std::os::unix::net::UnixStream::connect(socket).is_err(), "nothing listens");
    engine.start().await;
    container.wait_for("back", SOON, |state| state["Running"] == true).await;
}

#[tokio::test]
async fn the_sink_answers_as_told_and_keeps_every_request() {
    let mut sink = Sink::start();
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = sink.url("/hook?a=1");
    let signature = format!("sha256={}", hmac_sha256(b"secret", b"{\"n\":1}"));
    let post = || http.post(&url).header("x-signature", &signature).body("{\"n\":1}");

    assert_eq!(post().send().await.expect("an answer").status(), 200);
    sink.answer(Answer::TooManyRequests { retry_after: 3 });
    let refused = post().send().await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"3".parse().expect("a header"))
    );
    sink.answer(Answer::Status(500));
    assert_eq!(post().send().await.expect("an answer").status(), 500);
    sink.answer(Answer::Silence);
    let hung = post().timeout(Duration::from_millis(200)).send().await;
    assert!(hung.expect_err("no answer").is_timeout());

    sink.stop().await;
    assert!(post().send().await.expect_err("nothing listens").is_connect());
    sink.answer(Answer::Status(202));
    sink.resume();
    assert_eq!(post().send().await.expect("an answer").status(), 202);

    let received = sink.wait_for(5, SOON).await;
    assert_eq!(received.len(), 5);
    assert!(received.is_sorted_by_key(|request| request.at));
    assert_eq!(received[1].answer, Answer::TooManyRequests { retry_after: 3 });
    let first = &received[0];
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/hook?a=1"));
    assert_eq!(first.json(), json!({ "n": 1 }));
    assert!(first.is_signed("x-signature", b"secret", &first.body));
    assert!(!first.is_signed("x-signature", b"another", &first.body));
}

#[test]
fn the_hmac_is_that_of_rfc_4231() {
    // Test case 2 of RFC 4231.
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(hmac_sha256(b"Jefe", b"what do ya want for nothing?"), expected);
}

/// Sends one message the way a mail client does, over STARTTLS.
async fn send(smtp: &Smtp, tls: Option<Certificate>) -> Result<(), SmtpError> {
    let message = Message::builder()
        .from("Node <node@example.org>".parse().expect("an address"))
        .to("ops@example.org".parse().expect("an address"))
        .subject("Grüße")
        .references("<incident-1@example.org>".to_owned())
        .multipart(MultiPart::alternative_plain_html("plain".to_owned(), "<b>html</b>".to_owned()))
        .expect("a message");
    let tls = match tls {
        Some(root) => {
            let parameters = TlsParameters::builder("localhost".to_owned());
            Tls::Required(parameters.add_root_certificate(root).build()?)
        }
        None => Tls::None,
    };
    let (user, password) = Smtp::LOGIN;
    let client = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
        .port(smtp.port())
        .credentials(Credentials::new(user.to_owned(), password.to_owned()))
        .tls(tls)
        .build();
    client.send(message).await.map(drop)
}

#[tokio::test]
async fn the_smtp_server_takes_mail_over_starttls_only() {
    let mut smtp = Smtp::start();
    let pem = std::fs::read(smtp.ca_file()).expect("a certificate");
    let root = || Some(Certificate::from_pem(&pem).expect("PEM"));
    assert!(send(&smtp, None).await.is_err(), "plain text is refused");

    smtp.refuse_messages("451 4.3.2 busy");
    assert!(send(&smtp, root()).await.expect_err("refused").is_transient());
    smtp.refuse_recipients("550 5.1.1 no such user");
    assert!(send(&smtp, root()).await.expect_err("refused").is_permanent());
    smtp.accept();
    smtp.stop();
    assert!(send(&smtp, root()).await.is_err(), "nothing listens");
    assert!(smtp.received().is_empty());
    smtp.resume();
    send(&smtp, root()).await.expect("accepted");

    let mail = &smtp.wait_for(1, SOON).await[0];
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("node@example.org", &["ops@example.org".to_owned()][..])
    );
    assert_eq!(mail.header("subject"), Some("Grüße"));
    assert_eq!(mail.header("References"), Some("<incident-1@example.org>"));
    assert_eq!(mail.text.as_deref().map(str::trim), Some("plain"));
    assert_eq!(mail.html.as_deref().map(str::trim), Some("<b>html</b>"));
    assert_eq!((mail.tls, mail.login.as_deref()), (true, Some("perennial")));
}

#[tokio::test]
async fn a_node_starts_dies_and_starts_again() {
    let engine = Engine::connect();
    let watched = format!(
        "[docker]\nhost = \"{}\"\n[monitor]\ninclude = [\"{}\"]",
        engine.host(),
        engine.names()
    );
    let mut node = Node::builder().toml(&watched).env("RUST_BACKTRACE", "1").start().await;
    assert_eq!(node.get("/livez").await.0, 200);
    assert!(node.get_json("/v1/tree").await.is_object());
    assert_eq!(node.post("/no/such/path", &json!({})).await.0, 404);
    let head = node.http().head(node.url("/livez")).send().await.expect("an answer");
    assert_eq!(head.status(), 200);
    let first = node.pid();
    node.kill9();
    node.restart().await;
    assert_ne!(node.pid(), first);
    let (status, took) = node.sigterm();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(10), "took {took:?}");
    assert!(node.data_dir().is_dir());
    assert!(node.log().contains("listening"));
}

#[test]
fn the_binary_runs_to_its_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = perennial(directory.path(), &["--version"]);
    assert!(output.status.success(), "{output:?}");
}
