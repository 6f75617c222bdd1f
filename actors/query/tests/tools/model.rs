//! A server of language models: speaks both protocols over HTTP, and fails as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers with this text; 30 tokens read and 12 written.
    Say(String),
    /// The same, but was cut short by the limit.
    Stop(String),
    /// Answers with this text and does not tell its tokens.
    Mumble(String),
    /// Answers with this status, header and body.
    Refuse(u16, &'static str, String),
    /// Answers 200 with this body.
    Body(String),
    /// Sends these parts of a text, and then nothing more.
    Stall(Vec<&'static str>),
    /// Sends these parts of a text, and closes the connection.
    Cut(Vec<&'static str>),
    /// Answers with this text once it is let to.
    Hold(String),
    /// Takes the request and never answers.
    Sleep,
}

impl Act {
    pub(crate) fn say(text: impl ToString) -> Self {
        Self::Say(text.to_string())
    }

    pub(crate) fn refuse(status: u16) -> Self {
        Self::Refuse(status, "x-nothing: 1", json!({"error": {"message": "no"}}).to_string())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    /// In small letters.
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// A server that is there until it is dropped.
pub(crate) struct ModelServer {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    acts: Arc<Mutex<VecDeque<Act>>>,
    held: Arc<Semaphore>,
    task: AbortHandle,
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ModelServer {
    /// A server that does `acts`, one for each request, and then says `hello`.
    pub(crate) async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let acts = Arc::new(Mutex::new(acts.into_iter().collect::<VecDeque<_>>()));
        let held = Arc::new(Semaphore::new(0));
        let (see, act, hold) = (Arc::clone(&seen), Arc::clone(&acts), Arc::clone(&held));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (see, act, hold) = (Arc::clone(&see), Arc::clone(&act), Arc::clone(&hold));
                tokio::spawn(async move { serve(stream, &see, &act, &hold).await });
            }
        });
        Self { url, seen, acts, held, task: task.abort_handle() }
    }

    /// An address at which there is nothing.
    pub(crate) async fn dead() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    }

    /// Does `act` with the next request that it knows nothing for.
    pub(crate) fn then(&self, act: Act) {
        self.acts.lock().unwrap().push_back(act);
    }

    /// Lets one answer go that is held.
    pub(crate) fn release(&self) {
        self.held.add_permits(1);
    }

    /// The requests that came, looks at the list of models left out.
    pub(crate) fn asked(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| !seen.path.ends_with("/models")).cloned().collect()
    }

    /// How often the list of models was looked at.
    pub(crate) fn looked_at(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path.ends_with("/models")).count()
    }
}

async fn serve(
    stream: TcpStream,
    seen: &Mutex<Vec<Seen>>,
    acts: &Mutex<VecDeque<Act>>,
    held: &Semaphore,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let request = read(&mut stream).await?;
    seen.lock().unwrap().push(request.clone());
    let act = acts.lock().unwrap().pop_front().unwrap_or_else(|| Act::say("hello"));
    let protocol = Protocol::of(&request);
    let mut stream = stream.into_inner();
    let (text, stop, told) = match act {
        Act::Say(text) => (text, false, true),
        Act::Stop(text) => (text, true, true),
        Act::Mumble(text) => (text, false, false),
        Act::Refuse(status, header, body) => {
            return write(&mut stream, status, header, "application/json", &body).await;
        }
        Act::Body(body) => {
            return write(&mut stream, 200, "x-a: b", "application/json", &body).await;
        }
        Act::Stall(parts) => {
            pieces(&mut stream, protocol, &parts).await?;
            return never().await;
        }
        Act::Cut(parts) => return pieces(&mut stream, protocol, &parts).await,
        Act::Hold(text) => {
            held.acquire().await.ok()?.forget();
            (text, false, true)
        }
        Act::Sleep => return never().await,
    };
    if request.body["stream"] == json!(true) {
        let mut body = protocol.part(&text);
        body.push_str(&protocol.end(stop, told));
        return write(&mut stream, 200, "x-a: b", "text/event-stream", &body).await;
    }
    let body = protocol.whole(&text, stop, told).to_string();
    write(&mut stream, 200, "x-a: b", "application/json", &body).await
}

async fn never() -> Option<()> {
    tokio::time::sleep(Duration::from_secs(3600)).await;
    None
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let path = head.split(' ').nth(1)?.to_owned();
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Seen { path, head, body })
}

async fn write(
    stream: &mut TcpStream,
    status: u16,
    header: &str,
    kind: &str,
    body: &str,
) -> Option<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\n{header}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).await.ok()
}

/// The beginning of an answer in parts, without its end.
async fn pieces(stream: &mut TcpStream, protocol: Protocol, parts: &[&str]) -> Option<()> {
    let head = "HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let parts: String = parts.iter().map(|part| protocol.part(part)).collect();
    stream.write_all((head.to_owned() + &parts).as_bytes()).await.ok()
}

#[derive(Clone, Copy)]
enum Protocol {
    OpenAi,
    Anthropic,
}

impl Protocol {
    fn of(request: &Seen) -> Self {
        if request.path.ends_with("/messages") { Self::Anthropic } else { Self::OpenAi }
    }

    fn whole(self, text: &str, stop: bool, told: bool) -> Value {
        let mut body = match self {
            Self::OpenAi => json!({
                "choices": [{
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": if stop { "length" } else { "stop" },
                }],
                "usage": {"prompt_tokens": 30, "completion_tokens": 12},
            }),
            Self::Anthropic => json!({
                "content": [{"type": "text", "text": text}],
                "stop_reason": if stop { "max_tokens" } else { "end_turn" },
                "usage": {"input_tokens": 30, "output_tokens": 12},
            }),
        };
        if !told {
            body["usage"] = Value::Null;
        }
        body
    }

    fn part(self, text: &str) -> String {
        let part = match self {
            Self::OpenAi => json!({"choices": [{"delta": {"content": text}}]}),
            Self::Anthropic => {
                json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}})
            }
        };
        event(&part)
    }

    fn end(self, stop: bool, told: bool) -> String {
        let whole = self.whole("", stop, told);
        match self {
            Self::OpenAi => {
                let reason = &whole["choices"][0]["finish_reason"];
                let last = json!({"choices": [{"delta": {}, "finish_reason": reason}]});
                let usage = json!({"choices": [], "usage": whole["usage"]});
                event(&last) + &event(&usage) + "data: [DONE]\n\n"
            }
            Self::Anthropic => {
                let start = json!({"type": "message_start", "message": {"usage": whole["usage"]}});
                let delta = json!({
                    "type": "message_delta",
                    "delta": {"stop_reason": whole["stop_reason"]},
                    "usage": whole["usage"],
                });
                event(&start) + &event(&delta) + &event(&json!({"type": "message_stop"}))
            }
        }
    }
}

fn event(part: &Value) -> String {
    format!("event: x\ndata: {part}\n\n")
}
