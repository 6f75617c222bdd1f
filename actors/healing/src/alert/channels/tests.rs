use perennial_runtime::Timestamp;
use perennial_secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::alert::samples::{attempt, notice};

/// A server on the loopback that gives one answer per connection and hands over the requests.
struct Server {
    url: String,
    requests: JoinHandle<Vec<String>>,
}

impl Server {
    /// `None` reads the request and never answers.
    async fn answering(answers: Vec<Option<&'static str>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook/s3cret", listener.local_addr().unwrap());
        let requests = tokio::spawn(async move {
            let (mut requests, mut silent) = (Vec::new(), Vec::new());
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                requests.push(request(&mut stream).await);
                match answer {
                    Some(answer) => {
                        let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n");
                        let head = format!("{head}Connection: close\r\n\r\n");
                        stream.write_all(head.as_bytes()).await.unwrap();
                    }
                    None => silent.push(stream),
                }
            }
            if !silent.is_empty() {
                std::future::pending::<()>().await;
            }
            requests
        });
        Self { url, requests }
    }

    fn slack(&self) -> Channels {
        let mut config = Config::default();
        config.slack.url = Secret::new(self.url.clone());
        Channels::new(&config).unwrap()
    }

    fn webhook(&self) -> Channels {
        let mut config = Config::default();
        config.webhook.url = Secret::new(self.url.clone());
        config.webhook.key = Secret::new("key");
        Channels::new(&config).unwrap()
    }
}

/// Reads one request: head and as many bytes as it announces.
async fn request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = header(head, "content-length").unwrap().parse::<usize>().unwrap();
        if body.len() >= length {
            return text;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn deliver(channel: &str) -> Deliver {
    Deliver { channel: channel.to_owned(), notice: notice("web"), expires: Timestamp::MAX }
}

async fn perform(channels: &Channels, channel: &str) -> Result<String, EffectError> {
    channels.perform(&deliver(channel), &attempt()).await
}

#[tokio::test]
async fn slack_is_posted_one_message_as_json() {
    let server = Server::answering(vec![Some("200 OK")]).await;
    let result = perform(&server.slack(), SLACK).await;
    assert_eq!(result, Ok("answered 200 ".to_owned()));
    let requests = server.requests.await.unwrap();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook/s3cret HTTP/1.1"));
    assert_eq!(header(head, "content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["attachments"][0]["color"], "#ff0000");
}

#[tokio::test]
async fn a_webhook_can_check_who_sent_it_and_whether_it_is_a_repetition() {
    let server = Server::answering(vec![Some("204 No Content")]).await;
    perform(&server.webhook(), WEBHOOK).await.unwrap();
    let requests = server.requests.await.unwrap();
    let head = requests[0].split_once("\r\n\r\n").unwrap().0;
    assert_eq!(header(head, "idempotency-key"), Some("00ff"));
    assert_eq!(header(head, "x-perennial-timestamp"), Some("1700000002"));
    let signature = header(head, "x-perennial-signature").unwrap();
    assert!(signature.starts_with("sha256=") && signature.len() == 7 + 64, "{signature}");
}

#[tokio::test]
async fn a_limit_is_waited_out_as_long_as_the_receiver_asks() {
    let limit = "429 Too Many Requests\r\nRetry-After: 17";
    let server = Server::answering(vec![Some(limit)]).await;
    match perform(&server.slack(), SLACK).await {
        Err(EffectError::Transient { retry_after, .. }) => {
            assert_eq!(retry_after, Some(Duration::from_secs(17)));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_fault_is_tried_again_and_a_refusal_is_not() {
    let answers = vec![Some("500 Broken"), Some("404 Gone"), Some("302 Found\r\nLocation: /x")];
    let server = Server::answering(answers).await;
    let slack = server.slack();
    assert!(matches!(perform(&slack, SLACK).await, Err(EffectError::Transient { .. })));
    for _ in 0..2 {
        let refused = perform(&slack, SLACK).await;
        assert!(matches!(refused, Err(EffectError::Permanent(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn an_error_does_not_show_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook/s3cret", listener.local_addr().unwrap());
    drop(listener);
    let mut config = Config::default();
    config.slack.url = Secret::new(url);
    let channels = Channels::new(&config).unwrap();
    let error = perform(&channels, SLACK).await.unwrap_err();
    assert!(matches!(error, EffectError::Transient { .. }));
    assert!(!error.message().contains("s3cret"), "{error:?}");
    assert!(!format!("{channels:?}").contains("s3cret"));
    config.slack.url = Secret::new("s3cret");
    let error = Channels::new(&config).unwrap_err();
    assert_eq!(error.to_string(), "alert.slack.url is not a valid address; correct it");
}

#[tokio::test]
async fn a_channel_that_hangs_is_given_up_before_the_effect_times_out() {
    let server = Server::answering(vec![None]).await;
    let slack = server.slack();
    let performing = tokio::time::timeout(crate::alert::deliver::TIMEOUT, perform(&slack, SLACK));
    let result = performing.await.expect("the channel's own limit is shorter");
    assert!(matches!(result, Err(EffectError::Transient { .. })), "{result:?}");
    server.requests.abort();
}

#[tokio::test]
async fn a_channel_that_is_down_is_spared_and_gets_everything_when_it_is_back() {
    let answers = vec![Some("503 x"), Some("503 x"), Some("503 x"), Some("200 OK"), Some("200 OK")];
    let server = Server::answering(answers).await;
    let slack = server.slack();
    for _ in 0..3 {
        perform(&slack, SLACK).await.unwrap_err();
    }
    match perform(&slack, SLACK).await {
        Err(EffectError::Transient { retry_after: Some(wait), .. }) => {
            assert!(wait <= Duration::from_secs(9), "{wait:?}");
        }
        other => panic!("{other:?}"),
    }
    let later = Attempt { now: attempt().now + Duration::from_secs(30), ..attempt() };
    slack.perform(&deliver(SLACK), &later).await.unwrap();
    slack.perform(&deliver(SLACK), &later).await.unwrap();
    assert_eq!(server.requests.await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_channel_that_is_not_configured_is_a_final_error_that_says_so() {
    let channels = Channels::new(&Config::default()).unwrap();
    let error = perform(&channels, "pager").await.unwrap_err();
    assert!(
        matches!(&error, EffectError::Permanent(text) if text.contains("pager is not configured"))
    );
}
