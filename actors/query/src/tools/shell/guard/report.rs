//! What the guard tells the node over the control socket: a line each.

use std::io;
use std::os::fd::BorrowedFd;

/// What became of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tools::shell) enum Report {
    /// It runs, as this process, which leads a group of its own.
    Started(i32),
    /// It could not be started.
    NotStarted(String),
    /// It ended by itself with this code.
    Exited(i32),
    /// A signal killed it.
    Killed(i32),
}

impl Report {
    /// Writes its line.
    pub(super) fn send(&self, to: BorrowedFd<'_>) -> io::Result<()> {
        let line = match self {
            Self::Started(pid) => format!("started {pid}\n"),
            Self::NotStarted(why) => format!("not-started {}\n", why.replace('\n', " ")),
            Self::Exited(code) => format!("exited {code}\n"),
            Self::Killed(signal) => format!("killed {signal}\n"),
        };
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            rest = &rest[rustix::io::write(to, rest)?..];
        }
        Ok(())
    }

    /// Reads a line without its end.
    pub(in crate::tools::shell) fn read(line: &str) -> Option<Self> {
        let (what, value) = line.split_once(' ')?;
        match what {
            "started" => value.parse().ok().map(Self::Started),
            "not-started" => Some(Self::NotStarted(value.to_owned())),
            "exited" => value.parse().ok().map(Self::Exited),
            "killed" => value.parse().ok().map(Self::Killed),
            _ => None,
        }
    }
}
