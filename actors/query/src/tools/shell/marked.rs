//! Finding a command by a variable of its environment, for when nobody is left who knows its number.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Names the attempt that a command is run for, to its whole environment.
pub(super) const CALL: &str = "PERENNIAL_CALL";
/// Names the call, the same for every attempt: for commands that do things once.
pub(super) const KEY: &str = "PERENNIAL_KEY";

/// Rounds of looking. What is started while others are killed is found in a later one.
const ROUNDS: u32 = 10;

/// Kills everything that was started for `call`, but what has changed its environment since.
pub(super) fn kill_all(call: &str) {
    let mark = format!("{CALL}={call}");
    for _ in 0..ROUNDS {
        let marked = marked(mark.as_bytes());
        if marked.is_empty() {
            return;
        }
        for pid in marked {
            // Fails where it has ended meanwhile.
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

/// Of what has ended and was not reaped, there is no environment.
fn marked(mark: &[u8]) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let of_call = processes.filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    });
    let number = |process: fs::DirEntry| process.file_name().to_str()?.parse().ok();
    of_call.filter_map(number).filter_map(Pid::from_raw).collect()
}
