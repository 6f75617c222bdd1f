//! A durable POST, acknowledged when it would survive power loss, beside a handler that does nothing.
//!
//! `cargo bench -p perennial-bench --bench http`. 64 connections; `ROUNDS` (default 5) of `MILLIS`
//! (default 1000) in turns. The clients run on the same cores.

#![expect(clippy::unwrap_used, reason = "a benchmark ends with a panic where it cannot go on")]

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use perennial_bench::counter::{self, Counter, Told};
use perennial_bench::load::{self, Pushed};
use perennial_bench::process::{Wire, connect_tcp};
use perennial_bench::table::{Rounds, expect, print, setting, short};
use perennial_runtime::{Limits, Runtime};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CONNECTIONS: usize = 64;
const ACTORS: usize = 100;

fn main() {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    threads.block_on(run());
}

async fn told(
    State(runtime): State<Runtime>,
    Path(key): Path<String>,
    body: String,
) -> Result<String, StatusCode> {
    let sent = runtime.send::<Counter>(key, &Told::Add(body)).await;
    sent.map(|receipt| receipt.id.to_string()).map_err(|_| StatusCode::TOO_MANY_REQUESTS)
}

async fn nothing(Path(key): Path<String>, body: String) -> String {
    format!("{key}-{}", body.len())
}

async fn serve(router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    port
}

async fn run() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { quota: 1_000_000, ..Limits::default() };
    let runtime = counter::start(dir.path(), limits).await;
    let durable = Router::new().route("/{key}", post(told)).with_state(runtime.clone());
    let ports = [
        ("a bare handler", serve(Router::new().route("/{key}", post(nothing))).await),
        ("a durable POST", serve(durable).await),
    ];
    let mut lines: [(Rounds, Rounds, Rounds); 2] = Default::default();
    let time = Duration::from_millis(setting("MILLIS", 1000) as u64);
    for _ in 0..setting("ROUNDS", 5) {
        for ((rate, p50, p99), (_, port)) in lines.iter_mut().zip(ports) {
            let pushed = posts(port, time).await;
            rate.push(pushed.rate());
            p50.push(pushed.p50);
            p99.push(pushed.p99);
        }
    }
    runtime.shutdown().await.unwrap();
    let rows = lines.iter().zip(ports).map(|((rate, p50, p99), (name, _))| {
        vec![name.to_owned(), rate.cell(), short(p50.median()), short(p99.median())]
    });
    print(&["64 connections", "answers/s", "p50 ms", "p99 ms"], &rows.collect::<Vec<_>>());
    expect("a durable POST, of a bare handler", lines[1].0.median() / lines[0].0.median(), 0.66);
}

async fn posts(port: u16, time: Duration) -> Pushed {
    let mut wires = Vec::new();
    for connection in 0..CONNECTIONS {
        wires.push((connection, connect_tcp(port).await));
    }
    let body = load::message();
    load::drive(wires, time, move |(connection, mut wire), number| {
        let actor = (connection * 7919 + number) % ACTORS;
        let request = format!(
            "POST /{actor} HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        async move {
            wire.write_all(request.as_bytes()).await.unwrap();
            wire.flush().await.unwrap();
            answered(&mut wire).await;
            (connection, wire)
        }
    })
    .await
}

async fn answered(wire: &mut Wire) {
    let mut line = String::new();
    wire.read_line(&mut line).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    let mut length = 0;
    while line != "\r\n" {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
        wire.read_line(&mut line).await.unwrap();
    }
    let mut body = vec![0; length];
    wire.read_exact(&mut body).await.unwrap();
}
