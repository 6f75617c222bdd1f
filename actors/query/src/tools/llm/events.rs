//! Server-sent events, as far as answers of models use them: the `data` of each event. Pure.

/// The longest event, in bytes.
const LONGEST: usize = 1024 * 1024;

/// What has come of an event that is not over.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// What has come of a line.
    line: Vec<u8>,
    data: Option<String>,
}

impl Events {
    /// The data of the events that `bytes` ends.
    ///
    /// # Errors
    /// An event is longer than any may be, or is no UTF-8.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut ended = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() + self.data.as_ref().map_or(0, String::len) > LONGEST {
                    return Err(format!("sent an event of more than {LONGEST} bytes"));
                }
                continue;
            }
            let line = String::from_utf8(std::mem::take(&mut self.line))
                .map_err(|error| format!("sent an event that is no UTF-8: {error}"))?;
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                ended.extend(self.data.take());
            } else if let Some(more) = line.strip_prefix("data:") {
                self.take(more.strip_prefix(' ').unwrap_or(more));
            }
        }
        Ok(ended)
    }

    fn take(&mut self, more: &str) {
        match &mut self.data {
            Some(data) => {
                data.push('\n');
                data.push_str(more);
            }
            None => self.data = Some(more.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b": hello\r\nevent: a\r\ndata: one\r\n\r\nid: 7\ndata:two\ndata: \xc3\xa4\n\n\ndata: cut";

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        for size in [1, 2, 3, 7, STREAM.len()] {
            let mut events = Events::default();
            let cut = STREAM.chunks(size).flat_map(|bytes| events.feed(bytes).unwrap());
            assert_eq!(cut.collect::<Vec<_>>(), ["one", "two\nä"], "{size}");
        }
    }

    #[test]
    fn an_event_without_an_end_does_not_fill_the_memory() {
        let mut events = Events::default();
        let bytes = vec![b'x'; LONGEST + 1];
        assert!(events.feed(&bytes).unwrap_err().contains("more than"));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert!(Events::default().feed(b"data: \xff\n").unwrap_err().contains("UTF-8"));
    }
}
