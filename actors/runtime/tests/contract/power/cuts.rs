//! Cutting the power, many times.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::disk::{Disk, Keep};
use super::recording::{DATA, Event, Recording, SyncKind};

/// Cores that open stores at the same time.
const WORKERS: usize = 2;

/// The unit in which the engine frees space and uses it again: a segment of the store, or a part of one.
const SEGMENT_BYTES: u64 = 1024 * 1024;

/// A way of cutting: before which event, and what is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) before: usize,
    pub(super) keep: Keep,
}

/// The ways of keeping something, which is where they differ.
fn ways(seed: u64) -> [Keep; 5] {
    [
        Keep::Everything,
        Keep::TornBySectors(seed),
        Keep::Scattered(seed),
        Keep::Beginning(seed),
        Keep::TornByBytes(seed),
    ]
}

impl Recording {
    /// The moments between which a disk may not confuse anything: before every sync, and the end. What
    /// a sync covers is kept by the cuts after it.
    pub(super) fn syncs(&self) -> Vec<usize> {
        let is_sync =
            |event: &Event| matches!(event, Event::Sync { kind, .. } if *kind != SyncKind::Range);
        let syncs = (0..self.events.len()).filter(|at| is_sync(&self.events[*at]));
        syncs.chain([self.events.len()]).collect()
    }

    /// Cuts at every `stride`th sync: keeping nothing, and in one other way, in turn; in all ways if
    /// `CUTS=all`.
    pub(super) fn cuts(&self, stride: usize) -> Vec<Cut> {
        #[expect(clippy::disallowed_methods, reason = "how a longer run is asked for")]
        let all = std::env::var("CUTS").is_ok_and(|cuts| cuts == "all");
        if all {
            return self.cuts_in_all_ways();
        }
        let mut cuts = Vec::new();
        for (turn, before) in self.syncs().into_iter().step_by(stride).enumerate() {
            let ways = ways(before as u64);
            cuts.push(Cut { before, keep: Keep::Nothing });
            cuts.push(Cut { before, keep: ways[turn % ways.len()] });
        }
        cuts
    }

    /// Cuts at every sync, keeping nothing, and twice in every other way.
    pub(super) fn cuts_in_all_ways(&self) -> Vec<Cut> {
        let keeps = |seed| {
            let some = (0..2_u64).flat_map(move |more| ways(seed + (more << 32)));
            std::iter::once(Keep::Nothing).chain(some)
        };
        let at = |before| keeps(before as u64).map(move |keep| Cut { before, keep });
        self.syncs().into_iter().flat_map(at).collect()
    }

    /// Whether the engine writes to a segment of the file that lies before its end: one it had freed.
    pub(super) fn writes_over(&self, file: &str) -> bool {
        let is_file =
            |event: &&Event| matches!(event, Event::Sync { path, .. } if path == Path::new(file));
        let Some(Event::Sync { inode: synced, .. }) = self.events.iter().find(is_file) else {
            return false;
        };
        let mut end = 0;
        self.events.iter().any(|event| {
            let Event::Write { inode, offset, data } = event else { return false };
            if inode != synced {
                return false;
            }
            let again = offset + SEGMENT_BYTES < end;
            end = end.max(offset + data.len() as u64);
            again
        })
    }

    /// Whether this file is what the event at `at` syncs.
    pub(super) fn is_sync_of(&self, file: &str, at: usize) -> bool {
        matches!(self.events.get(at), Some(Event::Sync { path, .. }) if path == Path::new(file))
    }

    /// Tells what had been said when the power was cut.
    pub(super) fn said(&self, cut: Cut) -> Vec<String> {
        let said = self.events[..cut.before].iter().filter_map(Event::said);
        self.said_before.iter().cloned().chain(said).collect()
    }

    /// Writes what `cut` leaves to `root`.
    pub(super) fn leave(&self, cut: Cut, root: &Path) {
        let mut disk = self.before.clone();
        self.events[..cut.before].iter().for_each(|event| disk.apply(event));
        disk.cut(cut.keep, root);
    }

    /// Makes each cut, shows `check` the data directory it leaves and what had been said, and returns what
    /// it finds wrong. Stops after `enough` of that.
    pub(super) fn find_wrong(
        &self,
        cuts: &[Cut],
        disk: &Disk,
        enough: usize,
        check: impl Fn(&Path, &[String]) -> Result<(), String> + Sync,
    ) -> Vec<String> {
        let wrong = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    let (mut disk, mut at) = (disk.clone(), 0);
                    while let Some(cut) = cuts.get(next.fetch_add(1, Ordering::SeqCst)) {
                        self.events[at..cut.before].iter().for_each(|event| disk.apply(event));
                        at = cut.before;
                        if let Err(why) = self.check(*cut, &disk, &check) {
                            wrong.lock().unwrap().push(format!("{}: {why}", self.describe(*cut)));
                        }
                        if wrong.lock().unwrap().len() >= enough {
                            break;
                        }
                    }
                });
            }
        });
        wrong.into_inner().unwrap()
    }

    fn check(
        &self,
        cut: Cut,
        disk: &Disk,
        check: &impl Fn(&Path, &[String]) -> Result<(), String>,
    ) -> Result<(), String> {
        let temp = tempfile::tempdir().unwrap();
        disk.cut(cut.keep, temp.path());
        let (data, said) = (temp.path().join(DATA), self.said(cut));
        catch_unwind(AssertUnwindSafe(|| check(&data, &said))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        })
    }

    fn describe(&self, cut: Cut) -> String {
        let next = match self.events.get(cut.before) {
            Some(Event::Sync { path, kind, .. }) => format!("{kind:?} sync of {}", path.display()),
            Some(_) | None => "the end".to_owned(),
        };
        format!("cut before event {} ({next}) with {:?}", cut.before, cut.keep)
    }

    /// Makes each cut and sees that `check` finds nothing wrong.
    pub(super) fn survives(
        &self,
        cuts: &[Cut],
        check: impl Fn(&Path, &[String]) -> Result<(), String> + Sync,
    ) {
        let wrong = self.find_wrong(cuts, &self.before, 5, check);
        assert!(wrong.is_empty(), "of {} cuts:\n{}", cuts.len(), wrong.join("\n"));
    }
}
