//! NATS JetStream with file storage. Version 2.9 syncs every two minutes: what it acknowledges may be
//! lost with the power, so it is no equal of the others.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use crate::load::{self, Pushed};
use crate::process::{Server, Wire, connect_tcp, find};

/// A server with an empty store.
#[derive(Debug)]
pub struct Nats {
    port: u16,
    _server: Server,
}

/// A message that arrived.
struct Delivered {
    reply: String,
    /// Whether it says that there is nothing.
    status: bool,
    body: Vec<u8>,
}

impl Nats {
    /// Starts a server in `dir`; none if it is not installed.
    pub async fn start(dir: &Path) -> Option<Self> {
        let binary = find("nats-server", &[])?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(binary);
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(dir);
        let made = Self { port, _server: Server::start(&mut command) };
        let mut wire = made.connect().await;
        let stream =
            r#"{"name":"bench","subjects":["bench.m"],"storage":"file","retention":"workqueue"}"#;
        request(&mut wire, "$JS.API.STREAM.CREATE.bench", stream).await;
        let workers = r#"{"stream_name":"bench","config":{"durable_name":"workers","ack_policy":"explicit","max_ack_pending":-1}}"#;
        request(&mut wire, "$JS.API.CONSUMER.DURABLE.CREATE.bench.workers", workers).await;
        Some(made)
    }

    async fn connect(&self) -> Wire {
        let mut wire = connect_tcp(self.port).await;
        let mut info = String::new();
        wire.read_line(&mut info).await.unwrap();
        let hello = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";
        wire.write_all(hello.as_bytes()).await.unwrap();
        // The subject of a connection is its own: the port it comes from is not known here.
        let own = format!("SUB {} 1\r\n", inbox(&wire));
        wire.write_all(own.as_bytes()).await.unwrap();
        wire.flush().await.unwrap();
        wire
    }

    /// Publishes messages from `senders` connections.
    pub async fn push(&self, senders: usize, time: Duration) -> Pushed {
        let mut wires = Vec::new();
        for _ in 0..senders {
            wires.push(Box::new(self.connect().await));
        }
        let body = load::message();
        load::drive(wires, time, move |mut wire, _| {
            let body = body.clone();
            async move {
                request(&mut wire, "bench.m", &body).await;
                wire
            }
        })
        .await
    }

    /// Takes all messages out, acknowledging each; no state is written. Returns the messages per
    /// second.
    pub async fn handle(&self, workers: usize, count: usize) -> f64 {
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..workers {
            tasks.spawn(work(Box::new(self.connect().await)));
        }
        let handled: usize = tasks.join_all().await.into_iter().sum();
        assert_eq!(handled, count, "NATS handled what was pushed");
        count as f64 / began.elapsed().as_secs_f64()
    }
}

async fn work(mut wire: Box<Wire>) -> usize {
    let mut handled = 0;
    loop {
        let next = r#"{"batch":64,"no_wait":true}"#;
        publish(&mut wire, "$JS.API.CONSUMER.MSG.NEXT.bench.workers", next).await;
        let mut taken = 0;
        while taken < 64 {
            let message = delivered(&mut wire).await;
            if message.status {
                break;
            }
            let done = format!("PUB {} 4\r\n+ACK\r\n", message.reply);
            wire.write_all(done.as_bytes()).await.unwrap();
            taken += 1;
        }
        wire.flush().await.unwrap();
        if taken == 0 {
            return handled;
        }
        handled += taken;
    }
}

/// A subject for answers, from where the connection lives in memory.
fn inbox(wire: &Wire) -> String {
    format!("_INBOX.{:x}", std::ptr::from_ref(wire.get_ref().as_ref()).addr())
}

async fn publish(wire: &mut Wire, subject: &str, body: &str) {
    let head = format!("PUB {subject} {} {}\r\n", inbox(wire), body.len());
    wire.write_all(head.as_bytes()).await.unwrap();
    wire.write_all(body.as_bytes()).await.unwrap();
    wire.write_all(b"\r\n").await.unwrap();
    wire.flush().await.unwrap();
}

async fn request(wire: &mut Wire, subject: &str, body: &str) {
    publish(wire, subject, body).await;
    let answer = delivered(wire).await;
    let text = String::from_utf8_lossy(&answer.body);
    assert!(!answer.status && !text.contains("\"error\""), "{subject}: {text}");
}

async fn delivered(wire: &mut Wire) -> Delivered {
    loop {
        let mut line = String::new();
        wire.read_line(&mut line).await.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.first().copied() {
            Some("PING") => {
                wire.write_all(b"PONG\r\n").await.unwrap();
                wire.flush().await.unwrap();
            }
            Some("MSG" | "HMSG") => {
                let mut body = vec![0; words.last().unwrap().parse::<usize>().unwrap() + 2];
                wire.read_exact(&mut body).await.unwrap();
                // Subject, number and size; one word more if it wants an answer. A status has headers,
                // whose size is one word, and nobody to answer.
                let headers = words[0] == "HMSG";
                let reply =
                    if !headers && words.len() == 5 { words[3].to_owned() } else { String::new() };
                return Delivered { reply, status: headers, body };
            }
            Some("INFO" | "+OK") => {}
            _ => panic!("NATS says {line:?}"),
        }
    }
}
