use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt;
use perennial_store::{Key, MemoryBackend};

use super::*;
use crate::merge::tests::fresh;

fn unit(name: &str, heard: &Arc<AtomicU32>) -> Unit {
    let mut batch = Batch::new();
    batch.put(Key::meta(name), vec![1]);
    let heard = heard.clone();
    let after: After = Box::new(move |durable| {
        heard.fetch_add(if durable { 1 } else { 100 }, Ordering::SeqCst);
    });
    Unit { batch, after: vec![after], ..Unit::default() }
}

#[tokio::test]
async fn a_unit_that_is_not_admitted_is_neither_committed_nor_heard_of() {
    let backend = MemoryBackend::new();
    let epoch = backend.claim().unwrap();
    let stats = Arc::new(CommitStats::default());
    let (host, store) = (Arc::new(OwnThread::default()), Arc::new(backend.clone()));
    let failed: Failed = Box::new(|error| panic!("{error}"));
    let (committer, ending) =
        Committer::start(host, (store, epoch), 1 << 20, stats, failed).unwrap();
    let heard = Arc::new(AtomicU32::new(0));
    assert_eq!(committer.push(unit("refused", &heard), |_| false), None);
    let position = committer.push(unit("admitted", &heard), |_| true).unwrap();
    assert!(committer.wait_for(position).await);
    committer.close();
    assert!(ending.await);
    assert_eq!(heard.load(Ordering::SeqCst), 1);
    assert!(backend.get(Key::meta("refused").as_ref()).unwrap().is_none());
    assert!(backend.get(Key::meta("admitted").as_ref()).unwrap().is_some());
}

/// Makes batches when the test says so.
#[derive(Default)]
struct ByHand(Mutex<Option<Work>>);

impl Host for ByHand {
    fn ring(&self) {}

    fn start(self: Arc<Self>, work: Work) -> io::Result<Ending> {
        *self.0.lock().unwrap() = Some(work);
        Ok(Box::pin(async { true }))
    }
}

fn by_hand() -> (Committer, Work) {
    let backend = MemoryBackend::new();
    let epoch = backend.claim().unwrap();
    let stats = Arc::new(CommitStats::default());
    let host = Arc::new(ByHand::default());
    let failed: Failed = Box::new(|error| panic!("{error}"));
    let store = Arc::new(backend);
    let (committer, _) =
        Committer::start(host.clone(), (store, epoch), 1 << 20, stats, failed).unwrap();
    let work = host.0.lock().unwrap().take().unwrap();
    (committer, work)
}

/// Makes the next batch, as if the store had taken it; how many units it had.
fn commit(committer: &Committer, work: &mut Work) -> usize {
    let taken = committer.shared.take(&mut committer.shared.lock());
    let units = taken.0.len();
    let sealed = work.sealed(taken).unwrap().unwrap();
    drop(work.conclude(sealed, (Ok(()), Duration::ZERO)).unwrap());
    units
}

#[tokio::test]
async fn acceptances_share_a_unit_and_each_has_a_position_of_its_own() {
    let (committer, mut work) = by_hand();
    let mut positions = Vec::new();
    let tickets: Vec<Ticket> = (0..3)
        .filter_map(|unit| {
            committer.accept(fresh(unit, 256), |_, position| {
                positions.push(position);
                true
            })
        })
        .collect();
    assert_eq!(positions, [1, 2, 3]);
    assert_eq!(commit(&committer, &mut work), 1);
    assert_eq!(committer.committed(), 3);
    for ticket in tickets {
        assert!(committer.redeem(ticket).await);
    }
}

#[tokio::test]
async fn who_was_left_out_of_a_full_batch_waits_for_the_next() {
    let (committer, mut work) = by_hand();
    let accept = |unit, bytes| committer.accept(fresh(unit, bytes), |_, _| true).unwrap();
    let (small, large, later) = (accept(1, 256), accept(2, BATCH_BYTES), accept(3, BATCH_BYTES));
    let mut later = pin!(committer.redeem(later));
    assert_eq!(commit(&committer, &mut work), 2);
    assert!(committer.redeem(small).await && committer.redeem(large).await);
    assert!(later.as_mut().now_or_never().is_none(), "it is in no batch yet");
    commit(&committer, &mut work);
    assert!(later.await);
}

#[tokio::test]
async fn what_was_refused_takes_no_position() {
    let (committer, mut work) = by_hand();
    assert!(committer.accept(fresh(1, 256), |_, _| false).is_none());
    let ticket = committer.accept(fresh(2, 256), |_, position| position == 1).unwrap();
    commit(&committer, &mut work);
    assert!(committer.redeem(ticket).await);
}

#[tokio::test]
async fn what_is_durable_is_told_so_though_the_next_commit_failed_first() {
    let (committer, mut work) = by_hand();
    let accept = |unit| committer.accept(fresh(unit, 256), |_, _| true).unwrap();
    let durable = accept(1);
    commit(&committer, &mut work);
    let lost = accept(2);
    let taken = committer.shared.take(&mut committer.shared.lock());
    let sealed = work.sealed(taken).unwrap().unwrap();
    let failed = work.conclude(sealed, (Err(StoreError::Poisoned), Duration::ZERO));
    assert!(failed.is_err());
    assert!(committer.redeem(durable).await);
    assert!(!committer.redeem(lost).await);
}
