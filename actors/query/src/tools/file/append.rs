//! Appending once. Before the first byte, the file is told which step appends where, in an extended
//! attribute; after a crash its bytes from there on show whether that was done.
//!
//! ```text
//! user.perennial.appends:  forgotten time\n  if there were more, then
//!                          key offset time\n  of the latest appends, from the oldest
//! ```
//!
//! A time is never before the one when the step of its append was begun, nor before that of an append that is
//! forgotten. So an append whose step was begun after what is forgotten is remembered, or was never begun.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

use rustix::fs::{FlockOperation, OFlags, XattrFlags, fgetxattr, flock, fsetxattr, fsync};
use rustix::io::Errno;

use super::place::Place;
use super::write::{Writing, unless};
use crate::plan::ErrorKind;
use crate::tool::{ToolAnswer, ToolError, Trace};

const ATTRIBUTE: &str = "user.perennial.appends";
/// Appends that a file remembers. One that more followed since its step was begun is not recognised.
const REMEMBERED: usize = 16;
/// Longer than the attribute: a key of 32 characters and two numbers of at most 20 each.
const ATTRIBUTE_BYTES: usize = 4096;
/// What the time of forgotten appends stands behind.
const FORGOTTEN: &str = "forgotten";

/// What a file remembers of its appends.
#[derive(Debug, Default, PartialEq)]
struct Appends {
    /// The time of the last one that is forgotten, if any is, in microseconds since the epoch.
    forgotten: Option<u64>,
    /// From the oldest.
    latest: Vec<Append>,
}

/// An append that was begun.
#[derive(Clone, Debug, PartialEq)]
struct Append {
    key: String,
    /// Where in the file.
    offset: u64,
    /// None of what an older version wrote.
    time: Option<u64>,
}

impl Appends {
    fn read(text: &str) -> Self {
        let mut appends = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let key = words.next().unwrap_or_default();
            let mut number = || words.next().and_then(|word| word.parse().ok());
            let Some(first) = number() else { continue };
            if key == FORGOTTEN {
                appends.forgotten = Some(first);
            } else {
                let append = Append { key: key.to_owned(), offset: first, time: number() };
                appends.latest.push(append);
            }
        }
        appends
    }

    fn text(&self) -> String {
        let forgotten = self.forgotten.map(|time| format!("{FORGOTTEN} {time}\n"));
        let latest = self.latest.iter().map(|Append { key, offset, time }| match time {
            Some(time) => format!("{key} {offset} {time}\n"),
            None => format!("{key} {offset}\n"),
        });
        forgotten.into_iter().chain(latest).collect()
    }

    /// Adds what is about to be appended, and forgets the oldest if there are too many.
    fn add(&mut self, writing: &Writing, from: u64) {
        let Self { forgotten, latest } = self;
        // What was to stand here and does not was not appended.
        latest.retain(|append| append.key != writing.key && append.offset != from);
        // Steps of what an older version wrote were begun by now: that is before this one's end.
        latest.iter_mut().for_each(|append| {
            append.time.get_or_insert(writing.deadline);
        });
        let times = latest.iter().filter_map(|append| append.time).chain(*forgotten);
        let time = Some(times.fold(writing.since, u64::max));
        latest.push(Append { key: writing.key.clone(), offset: from, time });
        let over = latest.len().saturating_sub(REMEMBERED);
        *forgotten = latest
            .drain(..over)
            .filter_map(|append| append.time)
            .fold(*forgotten, |most, time| most.max(Some(time)));
    }

    /// Whether it may have been begun and is forgotten.
    fn may_have_forgotten(&self, writing: &Writing) -> bool {
        let older = self.latest.len() >= REMEMBERED
            && self.latest.iter().all(|append| append.time.is_none());
        older || self.forgotten.is_some_and(|time| time >= writing.since)
    }
}

/// What the file shows of an append.
#[derive(Debug, PartialEq)]
enum Shown {
    /// It was done.
    All,
    /// It was not; the file ends here.
    Nothing(u64),
    /// Its beginning was, from here to the end of the file.
    Beginning(u64),
    /// Nothing can be said.
    Doubt(&'static str),
}

pub(super) fn append(writing: &Writing, cancelled: &AtomicBool) -> Result<ToolAnswer, ToolError> {
    let (folder, name) = writing.place.folder(writing.make_folders)?;
    let failed = |error: io::Error| writing.place.error(&folder, name, "appending to", error);
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
    let file = File::from(writing.place.open(&folder, name, flags)?);
    lock(&file, &writing.place)?;
    let appends = remembered(&file).map_err(failed)?;
    let found = shown(&file, appends.as_ref(), writing, writing.attempt == 1).map_err(failed)?;
    let from = match found {
        Shown::All => return Ok(writing.answer()),
        Shown::Nothing(from) | Shown::Beginning(from) => from,
        Shown::Doubt(why) => return Err(doubt(&writing.place, why)),
    };
    unless(cancelled)?;
    if let Shown::Beginning(from) = found {
        file.set_len(from).map_err(failed)?;
    }
    put(&file, &folder, from, appends, writing).map_err(failed)?;
    Ok(writing.answer())
}

/// Puts the content where it belongs, durably, after the file knows that it is to come.
fn put(
    mut file: &File,
    folder: &OwnedFd,
    from: u64,
    appends: Option<Appends>,
    writing: &Writing,
) -> io::Result<()> {
    if let Some(mut appends) = appends {
        appends.add(writing, from);
        fsetxattr(file, ATTRIBUTE, appends.text().as_bytes(), XattrFlags::empty())?;
        file.sync_all()?;
    }
    file.write_all(writing.content.as_bytes())?;
    file.sync_all()?;
    // It may have been made by this.
    fsync(folder)?;
    Ok(())
}

pub(super) fn trace(writing: &Writing) -> Trace {
    let Ok((folder, name)) = writing.place.folder(false) else { return Trace::NotDone };
    let file = match writing.place.open(&folder, name, OFlags::RDONLY) {
        Ok(file) => File::from(file),
        Err(error) if error.kind == ErrorKind::NotFound => return Trace::NotDone,
        Err(error) => return Trace::Unknown(error.message),
    };
    // An attempt that was dropped may not have come to its end yet.
    if let Err(error) = lock(&file, &writing.place) {
        return Trace::Unknown(error.message);
    }
    match remembered(&file).and_then(|appends| shown(&file, appends.as_ref(), writing, false)) {
        Ok(Shown::All) => Trace::Done(Ok(writing.answer())),
        Ok(Shown::Nothing(_) | Shown::Beginning(_)) => Trace::NotDone,
        Ok(Shown::Doubt(why)) => Trace::Unknown(doubt(&writing.place, why).message),
        Err(error) => {
            let error = writing.place.error(&folder, name, "looking at", error);
            Trace::Unknown(error.message)
        }
    }
}

fn doubt(place: &Place, why: &str) -> ToolError {
    let message =
        format!("whether it was appended to {place} is not known: {why}; look at its end");
    ToolError::new(ErrorKind::Unknown, message)
}

/// Waits for nobody: another process that writes may take its time.
fn lock(file: &File, place: &Place) -> Result<(), ToolError> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        let message = format!("appending to {place}: somebody else is writing it ({error})");
        ToolError::new(ErrorKind::Overloaded, message)
    })
}

/// What the file remembers; nothing if its file system has no attributes.
fn remembered(file: &File) -> io::Result<Option<Appends>> {
    let mut bytes = vec![0; ATTRIBUTE_BYTES];
    let length = match fgetxattr(file, ATTRIBUTE, &mut bytes[..]) {
        Ok(length) => length,
        Err(Errno::NODATA) => 0,
        Err(Errno::OPNOTSUPP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Appends::read(&String::from_utf8_lossy(&bytes[..length]))))
}

/// What the file shows of `writing`; the `first` attempt cannot have been made before.
fn shown(
    file: &File,
    appends: Option<&Appends>,
    writing: &Writing,
    first: bool,
) -> io::Result<Shown> {
    let size = file.metadata()?.len();
    let Some(appends) = appends else {
        let why = "its file system has no extended attributes, which would show it";
        return Ok(if first { Shown::Nothing(size) } else { Shown::Doubt(why) });
    };
    let known = appends.latest.iter().find(|append| append.key == writing.key);
    let Some(Append { offset: from, .. }) = known else {
        let forgotten = !first && appends.may_have_forgotten(writing);
        let why = "too much was appended since";
        return Ok(if forgotten { Shown::Doubt(why) } else { Shown::Nothing(size) });
    };
    let Some(behind) = size.checked_sub(*from) else {
        return Ok(Shown::Doubt("the file has become shorter since"));
    };
    let content = writing.content.as_bytes();
    let there = usize::try_from(behind).unwrap_or(usize::MAX).min(content.len());
    let mut bytes = vec![0; there];
    file.read_exact_at(&mut bytes, *from)?;
    Ok(if bytes != content[..there] {
        Shown::Doubt("something else stands there")
    } else if there == content.len() {
        Shown::All
    } else if there == 0 {
        Shown::Nothing(*from)
    } else {
        Shown::Beginning(*from)
    })
}

#[cfg(test)]
mod tests {
    use super::super::config::Root;
    use super::super::write::{How, short};
    use super::*;

    fn writing(key: &str, since: u64) -> Writing {
        let place = Place::new(&Root { path: "/".into(), ..Root::default() }, "a").unwrap();
        let (content, key, deadline) = ("x".to_owned(), short(key), since + 60);
        let (how, make_folders, attempt) = (How::Append, false, 1);
        Writing { place, content, how, make_folders, key, attempt, since, deadline }
    }

    #[test]
    fn what_is_remembered_is_read_back() {
        let mut appends = Appends::default();
        (0..20).for_each(|step| appends.add(&writing(&step.to_string(), 100 + step), step));
        assert_eq!((appends.forgotten, appends.latest.len()), (Some(103), REMEMBERED));
        assert_eq!(Appends::read(&appends.text()), appends);
        assert!(appends.text().len() < ATTRIBUTE_BYTES);
    }

    #[test]
    fn what_an_older_version_remembered_is_in_doubt_until_it_is_out_of_date() {
        let older: String = (0..REMEMBERED).map(|at| format!("{} {at}\n", short("old"))).collect();
        let mut appends = Appends::read(&older);
        assert_eq!(appends.latest.len(), REMEMBERED);
        assert!(appends.may_have_forgotten(&writing("new", 100)));
        appends.add(&writing("new", 100), 99);
        assert!(appends.may_have_forgotten(&writing("another", 160)));
        assert!(!appends.may_have_forgotten(&writing("another", 161)));
    }
}
