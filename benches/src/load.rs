//! Senders that send again as soon as they are answered, and what they saw.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::table::{cpu_seconds, millis, percentile};

/// What the senders saw in one round.
#[derive(Debug, Default)]
pub struct Pushed {
    /// Messages acknowledged.
    pub count: usize,
    /// From the first send to the last acknowledgement.
    pub elapsed: Duration,
    /// Half of the acknowledgements came within this many milliseconds.
    pub p50: f64,
    /// And 99 of 100 within this many.
    pub p99: f64,
    /// Microseconds of processor time that this process spent on a message.
    pub cpu: f64,
}

impl Pushed {
    /// Messages per second.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }
}

/// Has each of `senders` send one message after the other for `time`. `send` is called with the next
/// sender and the number of its message, and gives the sender back.
pub async fn drive<S, F, Fut>(senders: Vec<S>, time: Duration, send: F) -> Pushed
where
    S: Send + 'static,
    F: Fn(S, usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = S> + Send,
{
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let until = began + time;
    let mut tasks = JoinSet::new();
    for mut sender in senders {
        let send = send.clone();
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            let mut at = Instant::now();
            while at < until {
                sender = send(sender, latencies.len()).await;
                let answered = Instant::now();
                latencies.push(millis(answered - at));
                at = answered;
            }
            latencies
        });
    }
    let mut all: Vec<f64> = tasks.join_all().await.into_iter().flatten().collect();
    let elapsed = began.elapsed();
    let cpu = cpu_seconds() - cpu;
    all.sort_by(f64::total_cmp);
    Pushed {
        count: all.len(),
        elapsed,
        p50: percentile(&all, 50.0),
        p99: percentile(&all, 99.0),
        cpu: cpu * 1e6 / all.len() as f64,
    }
}

/// A message of 256 bytes.
pub fn message() -> String {
    "m".repeat(253)
}
