//! A disk that keeps what was synced, and what it pleases of the rest.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::recording::{DATA, Event, SyncKind};

/// The file that a commit is synced in.
pub(super) const JOURNAL: &str = "store/journal";

/// The file that a checkpoint is synced in.
pub(super) const ENGINE: &str = "store/db";

/// What is written whole or not at all.
const SECTOR: u64 = 512;

/// What a cut leaves of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Nothing,
    Everything,
    /// All that was done up to some moment, in the order it was done.
    Beginning(u64),
    /// Everything, but of the last write only the first sectors.
    TornBySectors(u64),
    /// Everything, but of the last write only the first bytes, if nothing was there before it.
    TornByBytes(u64),
    /// Any sectors of any writes, and names up to some moment.
    Scattered(u64),
}

/// Random numbers from a seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    Directory,
    /// With the number of the file.
    File(usize),
}

/// A change to the names in one directory that is not synced.
#[derive(Clone, Debug)]
enum Naming {
    Add(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Clone, Debug)]
enum Change {
    /// Offset and data.
    Write(u64, Vec<u8>),
    Resize(u64),
}

/// A file's synced content, and what is not synced, each with the number of its event.
#[derive(Clone, Debug, Default)]
struct Content {
    synced: Vec<u8>,
    pending: Vec<(usize, Change)>,
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    files: Vec<Content>,
    by_inode: HashMap<u64, usize>,
    synced: Names,
    pending: Vec<(usize, Naming)>,
    /// Names as the process sees them.
    seen: Names,
    /// Takes `fdatasync` of this file for nothing, as if the store did not sync it.
    deaf_to: Option<&'static str>,
    now: usize,
}

impl Disk {
    /// Reads a disk on which everything is synced.
    pub(super) fn read(root: &Path) -> Self {
        let mut disk = Self::default();
        disk.read_below(root, root);
        disk.seen = disk.synced.clone();
        disk
    }

    /// The same disk under a store that writes this file and does not sync it.
    pub(super) fn without_syncs_of(&self, file: &'static str) -> Self {
        Self { deaf_to: Some(file), ..self.clone() }
    }

    fn read_below(&mut self, root: &Path, directory: &Path) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            if path.is_dir() {
                self.synced.insert(name, Node::Directory);
                self.read_below(root, &path);
            } else {
                let inode = fs::metadata(&path).unwrap().ino();
                let content = Content { synced: fs::read(&path).unwrap(), pending: Vec::new() };
                self.by_inode.insert(inode, self.files.len());
                self.synced.insert(name, Node::File(self.files.len()));
                self.files.push(content);
            }
        }
    }

    pub(super) fn apply(&mut self, event: &Event) {
        self.now += 1;
        match event {
            Event::Create { inode, path } => {
                let file = self.files.len();
                self.files.push(Content::default());
                self.by_inode.insert(*inode, file);
                self.name(Naming::Add(path.clone(), Node::File(file)));
            }
            Event::Write { inode, offset, data } => {
                self.change(*inode, Change::Write(*offset, data.clone()));
            }
            Event::Resize { inode, size } => self.change(*inode, Change::Resize(*size)),
            Event::Sync { inode, size, path, kind } => {
                if self.counts(*kind, path) {
                    self.sync(*inode, *size, path);
                }
            }
            Event::Rename { from, to } => {
                assert_eq!(from.parent(), to.parent(), "a name moved to another directory");
                let inside = |(_, naming): &(usize, Naming)| directory_of(naming).starts_with(from);
                assert!(!self.pending.iter().any(inside), "a directory moved with unsynced names");
                self.name(Naming::Rename(from.clone(), to.clone()));
            }
            Event::Unlink(path) | Event::RemoveDir(path) => self.name(Naming::Remove(path.clone())),
            Event::MakeDir(path) => self.name(Naming::Add(path.clone(), Node::Directory)),
            Event::Said(_) => {}
        }
    }

    /// Whether a sync makes anything durable on this disk.
    fn counts(&self, kind: SyncKind, path: &Path) -> bool {
        match kind {
            SyncKind::All => true,
            SyncKind::Data => !self.deaf_to.is_some_and(|file| path.ends_with(file)),
            SyncKind::Range => false,
        }
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.seen, &naming);
        self.pending.push((self.now, naming));
    }

    fn change(&mut self, inode: u64, change: Change) {
        self.files[self.by_inode[&inode]].pending.push((self.now, change));
    }

    fn sync(&mut self, inode: u64, size: u64, path: &Path) {
        if path == Path::new("") || self.seen.get(path) == Some(&Node::Directory) {
            let pending = std::mem::take(&mut self.pending);
            for (at, naming) in pending {
                if directory_of(&naming) == path {
                    rename(&mut self.synced, &naming);
                } else {
                    self.pending.push((at, naming));
                }
            }
            return;
        }
        let content = &mut self.files[self.by_inode[&inode]];
        for (_, change) in std::mem::take(&mut content.pending) {
            change.apply(&mut content.synced);
        }
        // Allocated without a write, which the record does not show.
        if content.synced.len() < size as usize {
            content.synced.resize(size as usize, 0);
        }
    }

    /// Writes what a cut leaves of the data directory to `root`.
    pub(super) fn cut(&self, keep: Keep, root: &Path) {
        let mut dice = match keep {
            Keep::Nothing | Keep::Everything => Dice(0),
            Keep::Beginning(seed)
            | Keep::TornBySectors(seed)
            | Keep::TornByBytes(seed)
            | Keep::Scattered(seed) => Dice(seed),
        };
        let until = self.until(keep, &mut dice);
        let mut names = self.synced.clone();
        for (at, naming) in &self.pending {
            if *at <= until {
                rename(&mut names, naming);
            }
        }
        let last = self.last_write();
        for (path, node) in &names {
            let parents = path.ancestors().skip(1).filter(|parent| *parent != Path::new(""));
            if !path.starts_with(DATA) || !parents.into_iter().all(|p| names.contains_key(p)) {
                continue;
            }
            match node {
                Node::Directory => {
                    DirBuilder::new().mode(0o700).create(root.join(path)).unwrap();
                }
                Node::File(file) => {
                    let content = self.files[*file].kept(keep, until, last, &mut dice);
                    fs::write(root.join(path), content).unwrap();
                }
            }
        }
    }

    /// The last event of which names, and for [`Keep::Beginning`] everything, are kept.
    fn until(&self, keep: Keep, dice: &mut Dice) -> usize {
        match keep {
            Keep::Nothing => 0,
            Keep::Everything | Keep::TornBySectors(_) | Keep::TornByBytes(_) => usize::MAX,
            Keep::Beginning(_) | Keep::Scattered(_) => {
                let content = self.files.iter().flat_map(|file| &file.pending).map(|(at, _)| *at);
                let mut all: Vec<usize> =
                    self.pending.iter().map(|(at, _)| *at).chain(content).collect();
                all.sort_unstable();
                let at = dice.below(all.len() as u64 + 1) as usize;
                if at == 0 { 0 } else { all[at - 1] }
            }
        }
    }

    fn last_write(&self) -> usize {
        let pending = self.files.iter().flat_map(|file| &file.pending);
        pending.map(|(at, _)| *at).max().unwrap_or(0)
    }
}

impl Content {
    fn kept(&self, keep: Keep, until: usize, last: usize, dice: &mut Dice) -> Vec<u8> {
        let mut content = self.synced.clone();
        for (at, change) in &self.pending {
            match (keep, change) {
                (Keep::Nothing, _) => {}
                (Keep::Beginning(_), _) if *at > until => {}
                (Keep::TornBySectors(_) | Keep::TornByBytes(_), Change::Write(offset, data))
                    if *at == last =>
                {
                    let by_bytes = matches!(keep, Keep::TornByBytes(_));
                    // What is overwritten keeps its sectors whole, by assumption.
                    let appended = *offset >= self.synced.len() as u64;
                    let kept = torn(*offset, data, by_bytes && appended, dice);
                    Change::Write(*offset, kept.to_vec()).apply(&mut content);
                }
                (Keep::Scattered(_), Change::Write(offset, data)) => {
                    scatter(*offset, data, dice, &mut content);
                }
                (Keep::Scattered(_), Change::Resize(_)) if dice.below(2) == 0 => {}
                _ => change.apply(&mut content),
            }
        }
        content
    }
}

/// The beginning of a write: some bytes, or what lies in some sectors.
fn torn<'a>(offset: u64, data: &'a [u8], by_bytes: bool, dice: &mut Dice) -> &'a [u8] {
    let length = data.len() as u64;
    if by_bytes {
        return &data[..dice.below(length) as usize];
    }
    let end = (offset / SECTOR + dice.below(length / SECTOR + 1)) * SECTOR;
    &data[..end.saturating_sub(offset).min(length) as usize]
}

/// Writes about half of the sectors of a write.
fn scatter(offset: u64, data: &[u8], dice: &mut Dice, content: &mut Vec<u8>) {
    let mut from = 0;
    while from < data.len() {
        let room = (SECTOR - (offset + from as u64) % SECTOR) as usize;
        let to = data.len().min(from + room);
        if dice.below(2) == 0 {
            Change::Write(offset + from as u64, data[from..to].to_vec()).apply(content);
        }
        from = to;
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let (from, to) = (*offset as usize, *offset as usize + data.len());
                if content.len() < to && !data.is_empty() {
                    content.resize(to, 0);
                }
                if !data.is_empty() {
                    content[from..to].copy_from_slice(data);
                }
            }
            Self::Resize(size) => content.resize(*size as usize, 0),
        }
    }
}

fn directory_of(naming: &Naming) -> &Path {
    let (Naming::Add(path, _) | Naming::Remove(path) | Naming::Rename(path, _)) = naming;
    path.parent().unwrap()
}

fn rename(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Add(path, node) => {
            names.insert(path.clone(), *node);
        }
        Naming::Remove(path) => {
            names.remove(path);
        }
        Naming::Rename(from, to) => {
            let moved: Vec<PathBuf> =
                names.keys().filter(|path| path.starts_with(from)).cloned().collect();
            assert!(!moved.is_empty(), "{} was renamed before it was there", from.display());
            names.retain(|path, _| !path.starts_with(to));
            for path in moved {
                let node = names.remove(&path).unwrap();
                names.insert(
                    to.components().chain(path.strip_prefix(from).unwrap().components()).collect(),
                    node,
                );
            }
        }
    }
}
