//! Redis Streams, every command synced before it is answered.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use crate::load::{self, Pushed};
use crate::process::{Server, Wire, connect_unix, find};

/// A server with an empty store.
#[derive(Debug)]
pub struct Redis {
    socket: PathBuf,
    _server: Server,
}

/// An answer, as far as it matters here.
enum Answer {
    Text(Vec<u8>),
    Nothing,
    List(Vec<Answer>),
}

impl Redis {
    /// Starts a server in `dir`; none if it is not installed.
    pub fn start(dir: &Path) -> Option<Self> {
        let binary = find("redis-server", &[])?;
        let socket = dir.join("redis.sock");
        let mut command = Command::new(binary);
        command.args(["--port", "0", "--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", "always", "--maxclients", "4096"]);
        command.arg("--dir").arg(dir).arg("--unixsocket").arg(&socket);
        Some(Self { _server: Server::start(&mut command), socket })
    }

    /// Adds messages to a stream from `senders` connections.
    pub async fn push(&self, senders: usize, time: Duration) -> Pushed {
        let mut wires = Vec::new();
        for _ in 0..senders {
            wires.push(connect_unix(&self.socket).await);
        }
        let body = load::message();
        load::drive(wires, time, move |mut wire, _| {
            let body = body.clone();
            async move {
                send(&mut wire, &[b"XADD", b"s", b"*", b"m", body.as_bytes()]).await;
                wire.flush().await.unwrap();
                answer(&mut wire).await;
                wire
            }
        })
        .await
    }

    /// Takes all messages out, with a state of 128 bytes for each of 100 actors written on the way.
    /// Returns the messages per second.
    pub async fn handle(&self, workers: usize, count: usize) -> f64 {
        let mut wire = connect_unix(&self.socket).await;
        ask(&mut wire, &[b"XGROUP", b"CREATE", b"s", b"g", b"0"]).await;
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..workers {
            let wire = connect_unix(&self.socket).await;
            tasks.spawn(work(wire, worker));
        }
        let handled: usize = tasks.join_all().await.into_iter().sum();
        assert_eq!(handled, count, "Redis handled what was pushed");
        ask(&mut wire, &[b"DEL", b"s"]).await;
        count as f64 / began.elapsed().as_secs_f64()
    }
}

async fn work(mut wire: Wire, worker: usize) -> usize {
    let name = worker.to_string();
    let state = "s".repeat(128);
    let mut handled = 0;
    loop {
        let read: [&[u8]; 9] = [
            b"XREADGROUP",
            b"GROUP",
            b"g",
            name.as_bytes(),
            b"COUNT",
            b"64",
            b"STREAMS",
            b"s",
            b">",
        ];
        let found = ask(&mut wire, &read).await;
        let ids = ids(&found);
        if ids.is_empty() {
            return handled;
        }
        let keys: Vec<String> =
            (0..ids.len()).map(|at| format!("actor-{}", (handled + at) % 100)).collect();
        let mut set: Vec<&[u8]> = vec![b"MSET"];
        set.extend(keys.iter().flat_map(|key| [key.as_bytes(), state.as_bytes()]));
        let done = |words: [&'static [u8]; 3]| {
            let words = words.into_iter().filter(|word| !word.is_empty());
            words.chain(ids.iter().copied()).collect::<Vec<&[u8]>>()
        };
        send(&mut wire, &[b"MULTI"]).await;
        send(&mut wire, &set).await;
        send(&mut wire, &done([b"XACK", b"s", b"g"])).await;
        send(&mut wire, &done([b"XDEL", b"s", b""])).await;
        send(&mut wire, &[b"EXEC"]).await;
        wire.flush().await.unwrap();
        for _ in 0..5 {
            answer(&mut wire).await;
        }
        handled += ids.len();
    }
}

/// The ids in the answer to a read of one stream.
fn ids(found: &Answer) -> Vec<&[u8]> {
    let Answer::List(streams) = found else { return Vec::new() };
    let Some(Answer::List(stream)) = streams.first() else { return Vec::new() };
    let Some(Answer::List(entries)) = stream.get(1) else { return Vec::new() };
    entries.iter().filter_map(first_text).collect()
}

fn first_text(entry: &Answer) -> Option<&[u8]> {
    let Answer::List(parts) = entry else { return None };
    let Some(Answer::Text(text)) = parts.first() else { return None };
    Some(text)
}

async fn ask(wire: &mut Wire, words: &[&[u8]]) -> Answer {
    send(wire, words).await;
    wire.flush().await.unwrap();
    answer(wire).await
}

async fn send(wire: &mut Wire, words: &[&[u8]]) {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    wire.write_all(&bytes).await.unwrap();
}

async fn answer(wire: &mut Wire) -> Answer {
    let mut line = Vec::new();
    wire.read_until(b'\n', &mut line).await.unwrap();
    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
    let number = || text[1..].parse::<i64>().unwrap();
    match line.first() {
        Some(b'+' | b':') => Answer::Text(line[1..].to_vec()),
        Some(b'$') if number() < 0 => Answer::Nothing,
        Some(b'*') if number() < 0 => Answer::Nothing,
        Some(b'$') => {
            let mut bytes = vec![0; number() as usize + 2];
            wire.read_exact(&mut bytes).await.unwrap();
            bytes.truncate(bytes.len() - 2);
            Answer::Text(bytes)
        }
        Some(b'*') => {
            let mut list = Vec::new();
            for _ in 0..number() {
                list.push(Box::pin(answer(wire)).await);
            }
            Answer::List(list)
        }
        _ => panic!("Redis answers {text:?}"),
    }
}
