//! What a command writes, as much of it as is worth keeping.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a stream that are kept; the rest is read and counted.
pub(super) const KEPT: usize = 64 * 1024;
/// Bytes of the end of a stream that an error repeats: where programs say why.
const END: usize = 2 * 1024;

/// The beginning and the end of a stream.
#[derive(Debug, Default)]
pub(super) struct Output {
    head: Vec<u8>,
    /// Of the stream, not of what is behind `head`.
    end: Vec<u8>,
    /// Bytes of all of it.
    pub(super) total: usize,
}

impl Output {
    /// Reads `from` to its end.
    pub(super) async fn read(mut from: impl AsyncRead + Unpin) -> io::Result<Self> {
        let mut output = Self::default();
        let mut buffer = vec![0; 8 * 1024];
        loop {
            match from.read(&mut buffer).await? {
                0 => return Ok(output),
                count => output.add(&buffer[..count]),
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
        let room = KEPT - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.end.extend_from_slice(bytes);
        let over = self.end.len().saturating_sub(END);
        self.end.drain(..over);
    }

    /// Whether some of it was not kept.
    pub(super) fn is_truncated(&self) -> bool {
        self.total > self.head.len()
    }

    /// Its beginning, and whether that is exactly what was written: a piece that is no UTF-8 is not.
    pub(super) fn text(&self) -> (String, bool) {
        let mut bytes = self.head.as_slice();
        // A character that was cut is left away rather than shown as broken.
        if self.is_truncated()
            && let Err(error) = std::str::from_utf8(bytes)
            && error.error_len().is_none()
        {
            bytes = &bytes[..error.valid_up_to()];
        }
        let text = String::from_utf8_lossy(bytes);
        let exact = matches!(text, std::borrow::Cow::Borrowed(_));
        (text.into_owned(), exact)
    }

    /// Its end.
    pub(super) fn end(&self) -> String {
        String::from_utf8_lossy(&self.end).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(bytes: &[u8]) -> Output {
        let mut output = Output::default();
        bytes.chunks(1000).for_each(|chunk| output.add(chunk));
        output
    }

    #[test]
    fn what_is_kept_is_bounded_and_all_is_counted() {
        let all = [vec![b'a'; KEPT], b"the end".to_vec()].concat();
        let output = output(&all);
        assert!(output.is_truncated());
        assert_eq!((output.text().0.len(), output.total), (KEPT, KEPT + 7));
        assert!(output.end().ends_with("the end"));
        assert!(output.end().len() <= END);
    }

    #[test]
    fn a_character_cut_at_the_limit_is_left_away() {
        let all = [vec![b'a'; KEPT - 1], "ä".as_bytes().to_vec()].concat();
        assert_eq!(output(&all).text(), ("a".repeat(KEPT - 1), true));
        let (text, exact) = output(b"a\xffb").text();
        assert_eq!((text.as_str(), exact), ("a\u{fffd}b", false));
    }
}
