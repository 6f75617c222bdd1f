//! Reads a window of rows: bounded in their number and in bytes.

use std::ops::Range;

use perennial_store::{Backend, Key, StoreError};

/// Rows of one window.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) rows: Vec<(Key, Vec<u8>)>,
    /// There is nothing in the range behind them.
    pub(crate) ended: bool,
}

/// Rows read at a time: how many a window may hold in passing beyond its bound in bytes, since the
/// size of a row is known only once it is read.
const STEP: usize = 8;

/// Reads the first rows of `range`: at most `most` of them, and no more once they hold `bytes`, but at
/// least one if there is any.
pub(crate) fn read(
    backend: &dyn Backend,
    range: Range<Key>,
    (most, bytes): (usize, usize),
) -> Result<Window, StoreError> {
    let mut rows: Vec<(Key, Vec<u8>)> = Vec::new();
    let mut held = 0;
    let mut from = range.start;
    while rows.len() < most.max(1) {
        let step = STEP.min(most.max(1) - rows.len());
        let found = backend.scan(&from..&range.end, step)?;
        let ended = found.len() < step;
        for row in found {
            let size = row.1.len();
            if held + size > bytes && !rows.is_empty() {
                return Ok(Window { rows, ended: false });
            }
            held += size;
            from = successor(&row.0);
            rows.push(row);
        }
        if ended {
            return Ok(Window { rows, ended: true });
        }
    }
    Ok(Window { rows, ended: false })
}

/// The first key after `key`.
pub(crate) fn successor(key: &Key) -> Key {
    let mut bytes = key.as_ref().to_vec();
    bytes.push(0);
    Key::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use perennial_store::{Batch, MemoryBackend};

    use super::*;

    fn read_of(sizes: &[usize], bounds: (usize, usize)) -> (usize, bool) {
        let backend = MemoryBackend::new();
        let epoch = backend.claim().unwrap();
        let mut batch = Batch::new();
        for (number, size) in sizes.iter().enumerate() {
            batch.put(Key::row("t", &number.to_be_bytes()), vec![0; *size]);
        }
        backend.commit(epoch, &batch).unwrap();
        let window = read(&backend, Key::rows_all("t"), bounds).unwrap();
        (window.rows.len(), window.ended)
    }

    #[test]
    fn a_window_holds_no_more_rows_than_asked_for() {
        assert_eq!(read_of(&[1; 30], (20, 1000)), (20, false));
        assert_eq!(read_of(&[1; 20], (20, 1000)), (20, false), "what is behind was not looked at");
        assert_eq!(read_of(&[1; 19], (20, 1000)), (19, true));
        assert_eq!(read_of(&[], (20, 1000)), (0, true));
    }

    #[test]
    fn a_window_holds_no_more_bytes_than_asked_for_but_always_one_row() {
        assert_eq!(read_of(&[10; 30], (20, 115)), (11, false));
        assert_eq!(read_of(&[500, 1], (20, 100)), (1, false));
    }
}
