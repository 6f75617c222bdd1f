use perennial_secret::Secret;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::alert::samples::notice;

fn email() -> Email {
    let mut config = Config::default();
    config.email.host = "127.0.0.1".to_owned();
    config.email.tls = Tls::None;
    config.email.from = "Perennial <node@example.org>".to_owned();
    config.email.to = vec!["ops@example.org".to_owned(), "ann@example.org".to_owned()];
    Email::new(&config).unwrap()
}

fn sent(notice: &Notice) -> String {
    String::from_utf8(email().message(notice).unwrap().formatted()).unwrap()
}

#[test]
fn a_thread_has_one_root_that_the_others_answer_to() {
    let mut first = notice("web");
    (first.id, first.sequence) = ("inc-7.1".to_owned(), 1);
    let (first, answer) = (sent(&first), sent(&notice("web")));
    let root = "<perennial.inc-7.1@example.org>";
    assert!(first.contains(&format!("Message-ID: {root}\r\n")), "{first}");
    assert!(!first.contains("In-Reply-To"));
    assert!(first.contains("Subject: [Perennial] web (inc-7)\r\n"));
    assert!(answer.contains("Message-ID: <perennial.inc-7.2@example.org>\r\n"), "{answer}");
    assert!(answer.contains(&format!("In-Reply-To: {root}\r\n")));
    assert!(answer.contains(&format!("References: {root}\r\n")));
    assert!(answer.contains("Subject: Re: [Perennial] web (inc-7)\r\n"));
}

#[test]
fn a_mail_says_that_a_machine_wrote_it_and_when() {
    let mail = sent(&notice("web"));
    assert!(mail.contains("Auto-Submitted: auto-generated\r\n"));
    assert!(mail.contains("List-Id: Perennial alerts <alerts.example.org>\r\n"), "{mail}");
    assert!(mail.contains("Date: Tue, 14 Nov 2023 22:13:21 +0000\r\n"));
    assert!(mail.contains("To: ops@example.org, ann@example.org\r\n"));
    assert!(mail.contains("multipart/alternative"));
    assert!(mail.contains("text/plain") && mail.contains("text/html"));
}

#[test]
fn a_container_can_neither_add_headers_nor_markup() {
    let evil = notice("a\r\nBcc: evil@example.org\r\n\r\n<script>alert(\"1\")</script>");
    let mail = sent(&evil);
    let head = mail.split("\r\n\r\n").next().unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc:")), "{head}");
    let html = rich(&evil);
    assert!(!html.contains("<script>"), "{html}");
    assert!(html.contains("&lt;script&gt;alert(&quot;1&quot;)"));
}

#[test]
fn a_receiver_that_is_no_address_is_refused_at_the_start() {
    let mut config = Config::default();
    config.email.host = "mail".to_owned();
    config.email.from = "node@example.org".to_owned();
    config.email.to = vec!["not@an@address".to_owned()];
    let error = Email::new(&config).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("alert.email.to is not a valid address; correct it"));
}

#[test]
fn an_authority_that_cannot_be_read_is_named() {
    let mut config = Config::default();
    config.email.host = "mail".to_owned();
    config.email.from = "node@example.org".to_owned();
    config.email.ca_file = "/nowhere/ca.pem".into();
    let error = Email::new(&config).err().map(|error| error.to_string()).unwrap();
    assert!(error.starts_with("alert.email.ca_file: /nowhere/ca.pem cannot be read"), "{error}");
}

/// A mail server on the loopback for one connection: offers `offer` and answers the command `last`
/// with `answer`, others well. Hands over what it was told.
async fn server(
    offer: &'static str,
    last: &'static str,
    answer: &'static str,
) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 test ESMTP\r\n").await.unwrap();
        let (mut told, mut data) = (String::new(), false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return told;
            }
            told.push_str(&line);
            let end = line == ".\r\n";
            let reply = match &line {
                _ if data && !end => continue,
                _ if line.starts_with(last) => format!("{answer}\r\n"),
                _ if line.starts_with("EHLO") => format!("250-test\r\n250 {offer}\r\n"),
                _ if line.starts_with("DATA") => "354 go on\r\n".to_owned(),
                _ => "250 fine\r\n".to_owned(),
            };
            data = line.starts_with("DATA") && reply.starts_with("354");
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return told;
            }
        }
    });
    (port, told)
}

fn at(port: u16, tls: Tls) -> Email {
    let mut config = Config::default();
    config.email.host = "127.0.0.1".to_owned();
    config.email.port = port;
    config.email.tls = tls;
    config.email.from = "node@example.org".to_owned();
    config.email.to = vec!["ops@example.org".to_owned()];
    if tls == Tls::None {
        config.email.user = "node".to_owned();
        config.email.password = Secret::new("s3cret");
    }
    Email::new(&config).unwrap()
}

#[tokio::test]
async fn a_mail_is_handed_to_the_server() {
    let (port, told) = server("AUTH PLAIN", "AUTH", "235 welcome").await;
    let sent = at(port, Tls::None).send(&notice("web")).await;
    assert_eq!(sent, Ok("answered 250".to_owned()));
    let told = told.await.unwrap();
    assert!(told.contains("RCPT TO:<ops@example.org>"), "{told}");
    assert!(told.contains("Message-ID: <perennial.inc-7.2@example.org>"));
}

#[tokio::test]
async fn a_refused_mail_is_given_up_and_a_refused_login_is_not() {
    let cases = [
        ("RCPT", "550 no such user", true),
        ("RCPT", "450 try later", false),
        ("AUTH", "535 wrong password", false),
        (".", "554 spam", true),
    ];
    for (command, answer, given_up) in cases {
        let (port, _told) = server("AUTH PLAIN", command, answer).await;
        let error = at(port, Tls::None).send(&notice("web")).await.unwrap_err();
        let is_permanent = matches!(error, EffectError::Permanent(_));
        assert_eq!(is_permanent, given_up, "{answer}: {error:?}");
        assert!(error.message().contains(&answer[4..]), "{error:?}");
        assert!(!error.message().contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_starttls_is_told_nothing() {
    let (port, told) = server("SIZE 1000", "-", "").await;
    let email = at(port, Tls::StartTls);
    let error = email.send(&notice("web")).await.unwrap_err();
    assert!(matches!(error, EffectError::Transient { .. }), "{error:?}");
    drop(email);
    assert!(!told.await.unwrap().contains("MAIL FROM"));
}
