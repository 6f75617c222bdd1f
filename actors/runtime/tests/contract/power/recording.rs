//! Running a workload in a child process and reading what it did to its files.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::disk::Disk;

/// Where the child works; also how it knows that it is one.
pub(super) const ROOT: &str = "POWER_ROOT";
/// Where the shim writes the record.
const LOG: &str = "POWER_LOG";
/// The data directory of the child, below its root.
pub(super) const DATA: &str = "data";
/// The file, below the root, that the child tells the world by. What is in it has left the node.
const SAID: &str = "said";

const HEAD_BYTES: usize = 25;

/// Something the child did, with paths from its root.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Create { inode: u64, path: PathBuf },
    Write { inode: u64, offset: u64, data: Vec<u8> },
    Resize { inode: u64, size: u64 },
    Sync { inode: u64, size: u64, path: PathBuf, kind: SyncKind },
    Rename { from: PathBuf, to: PathBuf },
    Unlink(PathBuf),
    MakeDir(PathBuf),
    RemoveDir(PathBuf),
    Said(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncKind {
    /// `fsync`.
    All,
    /// `fdatasync`.
    Data,
    /// `sync_file_range`, which makes nothing durable.
    Range,
}

impl Event {
    /// What was said, if that is what happened.
    pub(super) fn said(&self) -> Option<String> {
        if let Self::Said(line) = self { Some(line.clone()) } else { None }
    }
}

/// Everything a child did, and the disk it began with.
pub(super) struct Recording {
    pub(super) before: Disk,
    /// What had been said before the child began.
    pub(super) said_before: Vec<String>,
    pub(super) events: Vec<Event>,
}

/// What a child tells the world, line by line.
pub(super) struct Said(File);

impl Said {
    /// The root of this process, if it is a child that is recorded.
    pub(super) fn root() -> Option<PathBuf> {
        #[expect(clippy::disallowed_methods, reason = "how the parent names the directory")]
        std::env::var(ROOT).ok().map(PathBuf::from)
    }

    pub(super) fn open(root: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(root.join(SAID)).unwrap();
        Self(file)
    }

    pub(super) fn say(&self, line: &str) {
        // One write, so that lines of several threads do not mix.
        (&self.0).write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Records the test `name`, run as a child on an empty disk.
pub(super) fn record(name: &str) -> Recording {
    record_on(name, |_| Vec::new())
}

/// Records the test `name`, run as a child on the disk that `prepare` leaves in the directory it is
/// given; it returns what had been said until then.
pub(super) fn record_on(name: &str, prepare: impl FnOnce(&Path) -> Vec<String>) -> Recording {
    let temp = tempfile::tempdir().unwrap();
    let shim = build_shim(&temp);
    let root = temp.path().canonicalize().unwrap().join("root");
    fs::create_dir(&root).unwrap();
    let said_before = prepare(&root);
    let before = Disk::read(&root);
    let log = temp.path().join("log");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("LD_PRELOAD", &shim)
        .env(ROOT, &root)
        .env(LOG, &log)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{name} failed as a child: {told}");
    let events = parse(&fs::read(&log).unwrap(), &root);
    assert!(events.len() > 50, "{name} was not recorded: {} events", events.len());
    Recording { before, said_before, events }
}

fn build_shim(temp: &TempDir) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/power/shim.c");
    let shim = temp.path().join("shim.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&shim, &source])
        .arg("-ldl")
        .output()
        .expect("a C compiler is there: Rust links by it");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    shim
}

fn parse(mut log: &[u8], root: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    let mut said = None;
    while !log.is_empty() {
        let (head, rest) = log.split_at(HEAD_BYTES);
        let number = |at: usize, bytes: usize| {
            let mut wide = [0; 8];
            wide[..bytes].copy_from_slice(&head[at..at + bytes]);
            u64::from_le_bytes(wide)
        };
        let (inode, offset) = (number(1, 8), number(9, 8));
        let (path, rest) = rest.split_at(number(17, 4) as usize);
        let (data, rest) = rest.split_at(number(21, 4) as usize);
        log = rest;
        let below = |path: &[u8]| {
            let path = Path::new(std::str::from_utf8(path).unwrap());
            path.strip_prefix(root).unwrap().to_owned()
        };
        if head[0] == b'c' && below(path) == Path::new(SAID) {
            said = Some(inode);
        } else if Some(inode) == said {
            let text = std::str::from_utf8(data).unwrap();
            events.extend(text.lines().map(|line| Event::Said(line.to_owned())));
        } else {
            let kind = head[0];
            let to = if kind == b'm' { below(data) } else { PathBuf::new() };
            events.push(event(kind, (inode, offset), (below(path), to), data));
        }
    }
    events
}

fn event(
    kind: u8,
    (inode, offset): (u64, u64),
    (path, to): (PathBuf, PathBuf),
    data: &[u8],
) -> Event {
    let sync = |kind| Event::Sync { inode, size: offset, path: path.clone(), kind };
    match kind {
        b'c' => Event::Create { inode, path },
        b'w' => Event::Write { inode, offset, data: data.to_vec() },
        b't' => Event::Resize { inode, size: offset },
        b's' => sync(SyncKind::All),
        b'd' => sync(SyncKind::Data),
        b'r' => sync(SyncKind::Range),
        b'm' => Event::Rename { from: path, to },
        b'u' => Event::Unlink(path),
        b'k' => Event::MakeDir(path),
        b'x' => Event::RemoveDir(path),
        other => panic!("the record holds an entry of kind {other}"),
    }
}
