//! What is looked after every second: room on the disk, idle actors, receipts past their time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use perennial_store::{Key, Room, StoreError};

use crate::clock::instant;
use crate::core::{Core, Intake};
use crate::draft::Draft;
use crate::kind::KindMessage;

const EVERY: Duration = Duration::from_secs(1);
const SWEEP_RECEIPTS: Duration = Duration::from_secs(60);
/// Receipts deleted in one commit.
const PAGE: usize = 1_000;

/// Looks at the room on the store's disk.
pub(crate) type Look = Box<dyn Fn() -> Result<Room, StoreError> + Send + Sync>;

/// Runs until the node stops or has failed.
pub(crate) async fn run(core: Arc<Core>, space: Option<Look>) {
    let mut receipts_swept = instant();
    let mut idle_swept = instant();
    loop {
        tokio::select! {
            biased;
            _ = core.stopping.wait_for(|stopping| *stopping) => return,
            () = core.until_failed() => return core.end_told(),
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Some(space) = &space {
            watch_space(&core, space);
        }
        if idle_swept.elapsed() >= core.limits.idle / 4 {
            idle_swept = instant();
            for kind in core.kinds.values() {
                kind.tell(KindMessage::Sweep(core.limits.idle));
            }
            let careful = core.careful.load(Ordering::Relaxed);
            core.slots.retire(core.committer.committed(), careful);
        }
        if receipts_swept.elapsed() >= SWEEP_RECEIPTS {
            receipts_swept = instant();
            if let Err(error) = sweep_receipts(&core).await {
                core.unreadable(error);
                return core.end_told();
            }
        }
    }
}

/// New messages are refused while room is low; what frees space still commits.
pub(crate) fn watch_space(core: &Core, look: &Look) {
    let intake = match look() {
        Ok(Room::Ample) => Intake::Open,
        Ok(Room::Low | Room::Full) => Intake::NoSpace,
        Err(error) => {
            tracing::warn!(%error, "the room on the disk cannot be told");
            return;
        }
    };
    let before = core.intake.swap(intake as u8, Ordering::SeqCst);
    if before == intake as u8 {
        return;
    }
    match intake {
        Intake::NoSpace => {
            tracing::error!("the disk is nearly full; new messages are refused until there is room")
        }
        Intake::Open => {
            tracing::info!("there is room on the disk again; new messages are accepted")
        }
    }
}

/// Deletes all receipts past their time, a page in each commit.
async fn sweep_receipts(core: &Arc<Core>) -> Result<(), StoreError> {
    while sweep_page(core)? == PAGE && core.committer.barrier().await {}
    Ok(())
}

fn sweep_page(core: &Arc<Core>) -> Result<usize, StoreError> {
    let expired = Key::receipts_expired_until(core.now());
    let rows = core.backend.scan(&expired.start..&expired.end, PAGE)?;
    let count = rows.len();
    if count == 0 {
        return Ok(0);
    }
    let mut draft = Draft::new(core);
    for (key, _) in rows {
        if let Some((_, token)) = key.parse_receipt_expiry() {
            draft.batch.delete(Key::receipt(&token));
        }
        draft.batch.delete(key);
    }
    core.publish(draft, None);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use perennial_store::{Backend, Batch, MemoryBackend, Timestamp};

    use super::*;
    use crate::{ManualClock, Options, Runtime, Supervisor};

    #[tokio::test]
    async fn one_sweep_deletes_all_receipts_past_their_time_however_many_and_no_others() {
        let backend = MemoryBackend::new();
        let clock = ManualClock::at(Timestamp::from_micros(1_000));
        let options = Options::new(Arc::new(backend.clone()), Arc::new(clock));
        let runtime = Runtime::start(options, Supervisor::new("root")).await.unwrap();
        let mut batch = Batch::new();
        let count = 2 * PAGE + 500;
        for number in 0..=count {
            let token = number.to_string();
            let expires = if number == count { 1_001 } else { 1 };
            batch.put(Key::receipt(&token), vec![1]);
            batch.put(Key::receipt_expiry(Timestamp::from_micros(expires), &token), vec![1]);
        }
        backend.commit(runtime.core().epoch, &batch).unwrap();
        sweep_receipts(runtime.core()).await.unwrap();
        assert!(runtime.core().committer.barrier().await);
        let all = Key::receipts_expired_until(Timestamp::MAX);
        assert_eq!(backend.scan(&all.start..&all.end, PAGE).unwrap().len(), 1);
        let kept = |number: usize| backend.get(Key::receipt(&number.to_string()).as_ref()).unwrap();
        assert!((0..count).all(|number| kept(number).is_none()) && kept(count).is_some());
        runtime.shutdown().await.unwrap();
    }
}
