//! The library of documents beside SQLite's full-text search: taking in many short documents, and finding in them.
//!
//! `cargo bench -p perennial-bench --bench search`. `DOCUMENTS` (default 1,000,000) from the seed `SEED` (1), `CLIENTS`
//! (256) that hand them in at the same time, `QUERIES` (100) of each kind. SQLite is that of `python3`, in one process with
//! one connection a client; without it, or with `ONLY_OURS`, the library alone. Rates are given by the clock and by
//! processor time, for what else the machine does changes the one and hardly the other.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark ends with a panic where it cannot go on, reads the clock and prints"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use perennial_bench::table::{
    cpu_seconds, expect_most, kilobytes, own_kilobytes, percentile, print, setting, short,
};
use perennial_knowledge::{Config, Format, Library, Limits, Submission, tools};
use perennial_query::tool::{Call, Identity, Tool};
use perennial_runtime::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Different words; how often each occurs falls with its rank, as in a language.
const WORDS: usize = 50_000;
/// Words of a document: from the one to less than the other.
const LENGTH: (usize, usize) = (20, 40);
/// The peer: reads its documents and queries from a file, so that both see the same.
const PEER: &str = include_str!("search_peer.py");
/// With this argument and a folder the program opens the library there and tells what that took.
const OPEN: &str = "--open-library";

/// Numbers that look random and are the same each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A rank from `least` to below `most`; rank n comes about as often as 1/n.
    fn rank(&mut self, least: usize, most: usize) -> usize {
        let (least, most) = (least as f64, most as f64);
        (least * (most / least).powf(self.share())) as usize
    }

    fn text(&mut self) -> String {
        let length = LENGTH.0 + (self.next() as usize) % (LENGTH.1 - LENGTH.0);
        (0..length).map(|_| word(self.rank(1, WORDS))).collect::<Vec<_>>().join(" ")
    }
}

/// The word of a rank: syllables that no stemmer changes.
fn word(mut rank: usize) -> String {
    let mut word = String::new();
    loop {
        word.push(char::from(b"bcdfghjklmnprtvz"[rank % 16]));
        word.push(char::from(b"aou"[rank / 16 % 3]));
        rank /= 48;
        if rank == 0 {
            return word + "k";
        }
    }
}

/// Queries of one kind, as the library and as SQLite are asked.
struct Asked {
    kind: &'static str,
    ours: Vec<String>,
    theirs: Vec<String>,
}

/// Every kind: its name, how many words, from which rank to which, and whether they are to stand together.
const KINDS: [(&str, usize, (usize, usize), bool); 6] = [
    ("one word", 1, (20, WORDS), false),
    ("one rare word", 1, (10_000, WORDS), false),
    ("one of the 20 commonest words", 1, (1, 20), false),
    ("two words", 2, (20, WORDS), false),
    ("five words", 5, (20, WORDS), false),
    ("two common words, in quotes", 2, (1, 20), true),
];

fn asked(many: usize) -> Vec<Asked> {
    let mut dice = Dice(7);
    let mut queries = |words: usize, (least, most): (usize, usize), quoted: bool| {
        let words: Vec<String> = (0..words).map(|_| word(dice.rank(least, most))).collect();
        let each: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let together = format!("\"{}\"", words.join(" "));
        // Marks mean nothing to the library.
        if quoted {
            (together.clone() + "?!", together)
        } else {
            (words.join(" "), each.join(" OR "))
        }
    };
    let kinds = KINDS.iter().map(|(kind, words, ranks, quoted)| {
        let (ours, theirs) = (0..many).map(|_| queries(*words, *ranks, *quoted)).unzip();
        Asked { kind, ours, theirs }
    });
    kinds.collect()
}

/// What a folder takes on the disk, in blocks, and how many files there are.
fn disk(folder: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let mut total = (0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let (bytes, files) = match metadata.is_dir() {
            true => disk(&entry.path()),
            false => (metadata.blocks() * 512, 1),
        };
        total = (total.0 + bytes, total.1 + files);
    }
    total
}

fn submission(number: usize, text: String) -> Submission {
    Submission {
        name: format!("{number}.txt"),
        title: None,
        format: Format::Text,
        content: text.into_bytes(),
        // One document in a thousand is of each group.
        metadata: BTreeMap::from([("group".to_owned(), (number % 1000).to_string())]),
        team: None,
    }
}

fn everybody() -> Identity {
    Identity { teams: vec!["*".to_owned()], ..Identity::default() }
}

fn open(folder: &Path) -> Library {
    let limits = Limits { chunks: usize::MAX, ..Limits::default() };
    Library::open(folder, Config { limits, ..Config::default() }).unwrap()
}

/// Hands in every document, as many clients at a time as it says.
async fn take_in(library: &Library, texts: &Arc<Vec<String>>, clients: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut working = JoinSet::new();
    for _ in 0..clients {
        let (library, texts, next) = (library.clone(), Arc::clone(texts), Arc::clone(&next));
        working.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(text) = texts.get(number) else { return };
                library.ingest(submission(number, text.clone()), &everybody()).await.unwrap();
            }
        });
    }
    working.join_all().await;
}

/// Times of these queries in milliseconds, sorted, and the rate of all clients together.
async fn ask(tool: &Arc<dyn Tool>, queries: Vec<Value>, clients: usize) -> (Vec<f64>, f64) {
    let (next, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let queries = Arc::new(queries);
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        let (tool, queries, next) = (Arc::clone(tool), Arc::clone(&queries), Arc::clone(&next));
        asking.spawn(async move {
            let mut took = Vec::new();
            while let Some(arguments) = queries.get(next.fetch_add(1, Ordering::Relaxed)) {
                let call = Call {
                    tool: tool.spec().name.clone(),
                    arguments: arguments.clone().into(),
                    identity: everybody(),
                    key: String::new(),
                    label: String::new(),
                    attempt: 1,
                    since: Timestamp::EPOCH,
                    deadline: Timestamp::MAX,
                    timeout: Duration::from_secs(600),
                };
                let began = Instant::now();
                tool.call(&call).await.unwrap();
                took.push(began.elapsed().as_secs_f64() * 1e3);
            }
            took
        });
    }
    let mut took = asking.join_all().await.concat();
    took.sort_by(f64::total_cmp);
    let rate = took.len() as f64 / began.elapsed().as_secs_f64();
    (took, rate)
}

/// What the peer measures on the same documents and queries; none without Python.
fn peer(folder: &Path, texts: &[String], asked: &[Asked]) -> Option<Value> {
    if setting("ONLY_OURS", 0) > 0 {
        return None;
    }
    let (documents, queries) = (folder.join("texts"), folder.join("queries"));
    fs::write(&documents, texts.join("\n")).unwrap();
    let by_kind: BTreeMap<&str, &[String]> =
        asked.iter().map(|asked| (asked.kind, asked.theirs.as_slice())).collect();
    fs::write(&queries, json!(by_kind).to_string()).unwrap();
    let mut python = Command::new("python3");
    python.args(["-c", PEER]).args([&documents, &queries, &folder.join("peer.db")]);
    let output = python.stderr(Stdio::inherit()).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

/// A number that the peer measured.
fn theirs(peer: Option<&Value>, path: &[&str]) -> Option<f64> {
    path.iter().try_fold(peer?, |value, name| value.get(name))?.as_f64()
}

fn row(what: &str, ours: f64, theirs: Option<f64>) -> Vec<String> {
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
    vec![what.to_owned(), short(ours), cell(theirs), cell(theirs.map(|theirs| ours / theirs))]
}

/// Takes the documents in, and opens the library in a process of its own.
async fn taking_in(home: &Path, texts: Arc<Vec<String>>, peer: Option<&Value>) {
    let (library, documents) = (open(home), texts.len() as f64);
    let (cpu, began) = (cpu_seconds(), Instant::now());
    take_in(&library, &texts, setting("CLIENTS", 256)).await;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(library.status().documents, texts.len());
    drop(library);
    let (bytes, files) = disk(home);
    let mut program = Command::new(std::env::current_exe().unwrap());
    let opened = program.arg(OPEN).arg(home).stderr(Stdio::inherit()).output().unwrap();
    let opened: Value = serde_json::from_slice(&opened.stdout).unwrap();
    let of = |name: &str| opened[name].as_f64().unwrap();
    let rows = [
        row("documents/s", documents / seconds, theirs(peer, &["rate"])),
        row("documents a second of processor time", documents / cpu, theirs(peer, &["cpu_rate"])),
        row("bytes on the disk a document", bytes as f64 / documents, theirs(peer, &["bytes"])),
        row("files", files as f64, None),
        row("seconds to open it again", of("seconds"), None),
        row("seconds of processor time for that", of("cpu"), None),
        row("MB of its own in memory then", of("own"), None),
        row("MB of mapped files in memory then", of("mapped"), None),
    ];
    print(&["", "library", "SQLite FTS5", "ratio"], &rows);
    expect_most("seconds to open it again", of("seconds"), 5.0);
    expect_most("MB of its own in memory then", of("own"), 1000.0);
}

/// Opens the library and tells what that took.
fn opened(home: &Path) {
    let began = Instant::now();
    let library = open(home);
    let seconds = began.elapsed().as_secs_f64();
    let (own, mapped) = (own_kilobytes() / 1024.0, kilobytes("RssFile") / 1024.0);
    let documents = library.status().documents;
    println!(
        "{}",
        json!({"seconds": seconds, "cpu": cpu_seconds(), "own": own, "mapped": mapped, "documents": documents})
    );
}

async fn finding(library: &Library, all: &[Asked], peer: Option<&Value>) {
    let tools = tools(library);
    let tool = |name: &str| Arc::clone(tools.iter().find(|tool| tool.spec().name == name).unwrap());
    let (mut rows, mut worst) = (Vec::new(), 0.0_f64);
    let cells = |what: String, clients: usize, (took, rate): (Vec<f64>, f64)| {
        let at = |percent| short(percentile(&took, percent));
        vec![what, clients.to_string(), at(50.0), at(99.0), short(rate)]
    };
    for asked in all {
        for clients in [1_usize, 8] {
            let queries = asked.ours.iter().map(|query| json!({ "query": query })).collect();
            let measured = ask(&tool("search"), queries, clients).await;
            if clients == 1 {
                let median = percentile(&measured.0, 50.0);
                let path = ["queries", asked.kind, "1", "p50"];
                worst = worst.max(theirs(peer, &path).map_or(0.0, |theirs| median / theirs));
            }
            let mut row = cells(format!("search, {}", asked.kind), clients, measured);
            for percent in ["p50", "p99"] {
                let path = ["queries", asked.kind, &clients.to_string(), percent];
                row.push(theirs(peer, &path).map_or_else(|| "-".to_owned(), short));
            }
            rows.push(row);
        }
    }
    let two = all.iter().find(|asked| asked.kind == "two words").unwrap();
    let others = [("search", true), ("vector", false), ("vector", true), ("hybrid", false)];
    for (name, filtered) in others {
        for clients in [1, 8] {
            let query = |(at, query): (usize, &String)| match filtered {
                true => json!({"query": query, "metadata": {"group": (at % 1000).to_string()}}),
                false => json!({ "query": query }),
            };
            let queries = two.ours.iter().take(100).enumerate().map(query).collect();
            let of = if filtered { ", one document in 1000 admitted" } else { "" };
            let measured = ask(&tool(name), queries, clients).await;
            let mut row = cells(format!("{name}, two words{of}"), clients, measured);
            row.extend(["-".to_owned(), "-".to_owned()]);
            rows.push(row);
        }
    }
    let head = ["", "clients", "p50 ms", "p99 ms", "queries/s", "SQLite p50", "SQLite p99"];
    print(&head, &rows);
    if peer.is_some() {
        expect_most("the worst median of a kind of search, SQLite's being 1", worst, 1.0);
    }
}

async fn measure(folder: &Path) {
    let documents = setting("DOCUMENTS", 1_000_000);
    let mut dice = Dice(setting("SEED", 1) as u64);
    let texts: Arc<Vec<String>> = Arc::new((0..documents).map(|_| dice.text()).collect());
    let asked = asked(setting("QUERIES", 100));
    println!("{documents} documents of {} to {} words", LENGTH.0, LENGTH.1 - 1);
    let peer = peer(folder, &texts, &asked);
    let home = folder.join("library");
    taking_in(&home, texts, peer.as_ref()).await;
    finding(&open(&home), &asked, peer.as_ref()).await;
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == OPEN) {
        return opened(Path::new(&arguments[at + 1]));
    }
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    threads.block_on(measure(folder.path()));
}
