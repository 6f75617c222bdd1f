//! The limit: a preallocated, zeroed log to which whatever waits is appended with one sync.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use tokio::sync::oneshot;

/// It starts again from the beginning when it is full.
const BYTES: usize = 256 * 1024 * 1024;

#[derive(Default)]
struct Waiting {
    records: Vec<(Arc<str>, oneshot::Sender<()>)>,
    closed: bool,
}

/// An append log with group commit.
pub struct Log {
    shared: Arc<(Mutex<Waiting>, Condvar)>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    /// Makes a log in `dir`, all of it written once.
    pub fn create(dir: &Path) -> Self {
        let file = File::create_new(dir.join("log")).unwrap();
        let zeros = vec![0; 1024 * 1024];
        for at in (0..BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at as u64).unwrap();
        }
        file.sync_all().unwrap();
        let shared: Arc<(Mutex<Waiting>, Condvar)> = Arc::default();
        let its = shared.clone();
        let thread = Some(std::thread::spawn(move || write(&file, &its)));
        Self { shared, thread }
    }

    /// Appends a record; resolves when it would survive power loss.
    pub async fn append(&self, record: Arc<str>) {
        let (done, durable) = oneshot::channel();
        self.shared.0.lock().unwrap().records.push((record, done));
        self.shared.1.notify_one();
        durable.await.unwrap();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.0.lock().unwrap().closed = true;
        self.shared.1.notify_one();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn write(file: &File, (waiting, arrived): &(Mutex<Waiting>, Condvar)) {
    let mut at = 0;
    let mut bytes = Vec::new();
    loop {
        let mut waits = waiting.lock().unwrap();
        while waits.records.is_empty() {
            if waits.closed {
                return;
            }
            waits = arrived.wait(waits).unwrap();
        }
        let records = std::mem::take(&mut waits.records);
        drop(waits);
        bytes.clear();
        for (record, _) in &records {
            bytes.extend_from_slice(&(record.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&crc32c::crc32c(record.as_bytes()).to_be_bytes());
            bytes.extend_from_slice(record.as_bytes());
        }
        if at + bytes.len() > BYTES {
            at = 0;
        }
        file.write_all_at(&bytes, at as u64).unwrap();
        file.sync_data().unwrap();
        at += bytes.len();
        for (_, done) in records {
            done.send(()).unwrap();
        }
    }
}
