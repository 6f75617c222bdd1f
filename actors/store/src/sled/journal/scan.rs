//! Finding the frames of a journal.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{FRAME_HEAD_BYTES, FRAME_MAGIC, Frame, Journal, Kind, SECTOR_BYTES, encode_head};
use crate::StoreError;

/// Bytes read at a time, if no frame needs more.
const WINDOW_BYTES: usize = 64 * 1024;

/// Finds every whole frame, also behind damaged ones and those of earlier rounds.
pub(super) fn find_frames(journal: &Journal) -> Result<Vec<Frame>, StoreError> {
    let mut frames = Vec::new();
    for half in 0..2 {
        let start = journal.half_offset(half);
        let mut window = Window { file: &journal.file, start, bytes: Vec::new() };
        let end = start + journal.half_bytes;
        let mut at = start;
        while at < end {
            let read = frame_at(journal.seed, &mut window, at, end);
            let frame = read.map_err(StoreError::io("read the journal"))?;
            let bytes = frame.map_or(1, |frame| (FRAME_HEAD_BYTES + frame.length) as u64);
            at += bytes.next_multiple_of(SECTOR_BYTES);
            frames.extend(frame);
        }
    }
    Ok(frames)
}

/// Reads the frame that begins at `at`, if a whole one does that ends by `end`.
fn frame_at(seed: u32, window: &mut Window<'_>, at: u64, end: u64) -> io::Result<Option<Frame>> {
    let head = *window.get::<FRAME_HEAD_BYTES>(at, end)?;
    let Some((kind, length, number)) = decode_head(&head) else { return Ok(None) };
    let offset = at + FRAME_HEAD_BYTES as u64;
    if length as u64 > end - offset {
        return Ok(None);
    }
    let rows = window.slice(offset, length, end)?;
    let whole = encode_head(seed, kind, number, rows) == head;
    Ok(whole.then_some(Frame { number, kind, offset, length }))
}

/// Reads kind, length and number of what may be the head of a frame.
fn decode_head(head: &[u8; FRAME_HEAD_BYTES]) -> Option<(Kind, usize, u64)> {
    let (kind, rest) = head.strip_prefix(&FRAME_MAGIC)?.split_first()?;
    let kind = [Kind::Rows, Kind::InEngine].into_iter().find(|known| *known as u8 == *kind)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let number = u64::from_be_bytes(*rest.first_chunk::<8>()?);
    Some((kind, usize::try_from(u32::from_be_bytes(*length)).ok()?, number))
}

/// A part of the file, read ahead.
struct Window<'a> {
    file: &'a File,
    /// Where `bytes` begin in the file.
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    fn get<const N: usize>(&mut self, at: u64, end: u64) -> io::Result<&[u8; N]> {
        let bytes = self.slice(at, N, end)?;
        bytes.first_chunk().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Returns `length` bytes at `at`; reads on up to `end`, in which they lie.
    fn slice(&mut self, at: u64, length: usize, end: u64) -> io::Result<&[u8]> {
        let within = |window: &Self| {
            let skip = usize::try_from(at.checked_sub(window.start)?).ok()?;
            (skip + length <= window.bytes.len()).then_some(skip)
        };
        let skip = match within(self) {
            Some(skip) => skip,
            None => {
                let ahead = WINDOW_BYTES.min(usize::try_from(end - at).unwrap_or(usize::MAX));
                self.bytes.resize(length.max(ahead), 0);
                self.start = at;
                self.file.read_exact_at(&mut self.bytes, at)?;
                0
            }
        };
        let bytes = self.bytes.get(skip..skip + length);
        bytes.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
