//! Memory of the machine that the engine runs on, as its kernel tells it. Only told of an engine on this
//! machine: another one's figures cannot be read from here.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::monitor::HostMemory;

/// Machines whose memory differs by more than one part in so many are not the same one. Less than
/// that, a virtual machine's own memory may change while it runs.
const ALIKE: u64 = 8;

/// Why the machine's memory cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum Blind {
    #[error(
        "the memory of the engine's machine is not judged: {0} is not a socket of this machine"
    )]
    Remote(String),
    #[error(
        "the memory of the engine's machine is not judged: {path} cannot be read ({error}); set \
         monitor.proc to where its /proc is mounted, or to nothing"
    )]
    Unreadable { path: PathBuf, error: io::Error },
    #[error(
        "the memory of the engine's machine is not judged: {0} has no MemTotal and MemAvailable"
    )]
    Garbled(PathBuf),
    #[error(
        "the memory of the engine's machine is not judged: {path} tells of another one, with \
         {} MiB where the engine has {} MiB", here >> 20, engine >> 20
    )]
    Other { path: PathBuf, here: u64, engine: u64 },
}

/// Reads the figures below `proc`, for an engine at the address `engine` whose machine has `memory`
/// bytes (0 if it did not say).
pub(super) async fn memory(
    engine: &str,
    memory: u64,
    proc: &Path,
    deadline: Duration,
) -> Result<HostMemory, Blind> {
    if !engine.starts_with("unix://") {
        return Err(Blind::Remote(engine.to_owned()));
    }
    let path = proc.join("meminfo");
    let text = match read(&path, deadline).await {
        Ok(text) => text,
        Err(error) => return Err(Blind::Unreadable { path, error }),
    };
    let Some((total, available)) = meminfo(&text) else { return Err(Blind::Garbled(path)) };
    if memory > 0 && total.abs_diff(memory) > memory / ALIKE {
        return Err(Blind::Other { path, here: total, engine: memory });
    }
    // Kernels without pressure stall information have no such file, or refuse to read it.
    let pressure = read(&proc.join("pressure/memory"), deadline).await.ok();
    let stalled = pressure.as_deref().and_then(stalled);
    Ok(HostMemory { total, available, stalled, largest: false })
}

async fn read(path: &Path, deadline: Duration) -> io::Result<String> {
    let read = tokio::time::timeout(deadline, tokio::fs::read_to_string(path));
    read.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Bytes in all, and bytes that can be given out without swapping.
fn meminfo(text: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    field("MemTotal").filter(|total| *total > 0).zip(field("MemAvailable"))
}

/// Share of the last minute in which some task waited for memory.
fn stalled(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let percent = some.split_whitespace().find_map(|field| field.strip_prefix("avg60="))?;
    let percent: f64 = percent.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

#[cfg(test)]
mod tests;
