use super::*;
use crate::MemoryBackend;

fn put(number: u8) -> Batch {
    let mut batch = Batch::new();
    batch.put(Key::row("t", &[number]), vec![number]);
    batch
}

fn stored(store: &impl Backend) -> Vec<u8> {
    let all = Key::rows_all("t");
    let rows = store.scan(&all.start..&all.end, 99).unwrap();
    rows.into_iter().map(|(_, value)| value[0]).collect()
}

fn faulty(plan: FaultPlan) -> (FaultyBackend<MemoryBackend>, Epoch) {
    let store = FaultyBackend::new(MemoryBackend::new(), plan);
    let epoch = store.claim().unwrap();
    (store, epoch)
}

#[test]
fn a_failed_commit_does_nothing_and_the_next_one_works() {
    let (store, epoch) = faulty(FaultPlan::none().at(Call::Commit, 1, Fault::Fail));
    assert!(matches!(store.commit(epoch, &put(1)), Err(StoreError::Io { .. })));
    store.commit(epoch, &put(2)).unwrap();
    assert_eq!(stored(&store), [2]);
    assert_eq!(store.calls(Call::Commit), 2);
}

#[test]
fn a_crash_before_a_commit_leaves_nothing_of_it() {
    let (store, epoch) = faulty(FaultPlan::none().at(Call::Commit, 2, Fault::CrashBefore));
    store.commit(epoch, &put(1)).unwrap();
    assert!(store.commit(epoch, &put(2)).is_err());
    assert!(store.is_crashed());
    assert!(matches!(store.commit(epoch, &put(3)), Err(StoreError::Poisoned)));
    assert!(matches!(store.get(b"x"), Err(StoreError::Poisoned)));
    assert!(matches!(store.claim(), Err(StoreError::Poisoned)));
    assert!(matches!(store.close(), Err(StoreError::Poisoned)));
    store.revive();
    assert_eq!(stored(&store), [1]);
}

#[test]
fn a_crash_after_a_commit_keeps_it_though_its_caller_got_an_error() {
    let (store, epoch) = faulty(FaultPlan::none().at(Call::Commit, 1, Fault::CrashAfter));
    assert!(store.commit(epoch, &put(1)).is_err());
    assert!(matches!(store.space(), Err(StoreError::Poisoned)));
    assert_eq!(stored(store.inner()), [1]);
}

#[test]
fn reads_fail_by_their_own_numbers() {
    let plan =
        FaultPlan::none().at(Call::Get, 2, Fault::Fail).at(Call::Scan, 1, Fault::CrashBefore);
    let (store, _) = faulty(plan);
    assert!(store.get(b"x").is_ok());
    assert!(store.get(b"x").is_err());
    assert!(store.get(b"x").is_ok());
    let all = Key::rows_all("t");
    assert!(store.scan_back(&all.start..&all.end, 1).is_err());
    assert!(store.is_crashed());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the thread is made to wait, and not a task")]
fn a_slow_commit_takes_its_time_and_succeeds() {
    let delay = Duration::from_millis(30);
    let (store, epoch) = faulty(FaultPlan::none().at(Call::Commit, 1, Fault::Slow(delay)));
    let start = std::time::Instant::now();
    store.commit(epoch, &put(1)).unwrap();
    assert!(start.elapsed() >= delay);
    assert_eq!(stored(&store), [1]);
}

#[test]
fn the_same_seed_gives_the_same_crashes_of_both_kinds() {
    let crashes = |seed: u64| {
        let plan = FaultPlan::none().seeded(seed, 100);
        (1..=1000).filter_map(|n| plan.fault(Call::Commit, n).map(|fault| (n, fault))).collect()
    };
    let first: Vec<(u64, Fault)> = crashes(7);
    assert_eq!(first, crashes(7));
    assert_ne!(first, crashes(8));
    assert!((50..200).contains(&first.len()), "{} crashes", first.len());
    let before = first.iter().filter(|(_, fault)| *fault == Fault::CrashBefore).count();
    assert!(before > 10 && before < first.len() - 10, "{before} of {}", first.len());
}
