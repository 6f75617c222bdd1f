//! Finding and killing everything below this process.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, kill_process_group, pidfd_open,
    waitpid,
};

/// Rounds of looking for descendants. Each ends those that a killed one left behind, so there are as many
/// as generations; more than these are those of something that cannot be killed.
const ROUNDS: u32 = 40;
/// A round waits so long for what it killed to end, in nanoseconds.
const PATIENCE: i64 = 50_000_000;

/// Kills the group of `leader` and every descendant of this process, until none is left alive. `leader`
/// is not reaped, so that its number stays its own.
pub(super) fn kill_all(leader: Pid) {
    // Fails where the group is gone already.
    kill_process_group(leader, Signal::KILL).ok();
    for _ in 0..ROUNDS {
        let alive = alive();
        if alive.is_empty() {
            return;
        }
        let ends: Vec<OwnedFd> = alive
            .into_iter()
            .filter_map(|pid| {
                let end = pidfd_open(pid, PidfdFlags::empty()).ok();
                kill_process(pid, Signal::KILL).ok();
                end
            })
            .collect();
        let mut watched: Vec<_> = ends.iter().map(|end| PollFd::new(end, PollFlags::IN)).collect();
        let patience = Timespec { tv_sec: 0, tv_nsec: PATIENCE };
        poll(&mut watched, Some(&patience)).ok();
    }
}

/// Takes note of the end of everything that has ended.
pub(super) fn reap() {
    while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
}

/// The descendants of this process that have not ended.
fn alive() -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<(i32, bool)>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some((parent, ended)) =
            fs::read_to_string(entry.path().join("stat")).ok().and_then(|text| parse(&text))
        {
            children.entry(parent).or_default().push((pid, ended));
        }
    }
    let mut found = Vec::new();
    let mut open = vec![getpid().as_raw_nonzero().get()];
    while let Some(parent) = open.pop() {
        for (pid, ended) in children.remove(&parent).unwrap_or_default() {
            open.push(pid);
            if !ended {
                found.extend(Pid::from_raw(pid));
            }
        }
    }
    found
}

/// The parent of a process, and whether it has ended, by its `stat` (proc(5)): the number, the name in
/// parentheses, which may hold anything, the state, the parent.
fn parse(stat: &str) -> Option<(i32, bool)> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((parent, state == "Z" || state == "X"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        assert_eq!(parse("12 (a) b) S 7 12 12 0"), Some((7, false)));
        assert_eq!(parse("12 (sh) Z 1 12 12 0"), Some((1, true)));
        assert_eq!(parse("12 (sh"), None);
    }
}
