use super::*;

const MIB: u64 = 1 << 20;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + seconds * 1_000_000)
}

fn limit() -> Limit {
    Limit { threshold: 0.85, margin: 0.05, window: Duration::from_secs(60) }
}

/// Feeds shares 15 seconds apart and returns the verdict after each.
fn verdicts(shares: &[f64]) -> Vec<bool> {
    let mut streak = Streak::default();
    let judge = |(index, share): (usize, &f64)| {
        let to = 15 * (index as u64 + 1);
        streak.observe(at(to - 15), at(to), *share, limit());
        streak.verdict().is_some()
    };
    shares.iter().enumerate().map(judge).collect()
}

#[test]
fn a_share_has_to_stay_above_for_the_whole_window() {
    assert_eq!(verdicts(&[0.9, 0.9, 0.9]), [false, false, false]);
    assert_eq!(verdicts(&[0.9, 0.9, 0.9, 0.9]), [false, false, false, true]);
    assert_eq!(verdicts(&[0.9, 0.9, 0.5, 0.9, 0.9]), [false; 5]);
    assert_eq!(verdicts(&[0.85; 8]), [false; 8]);
}

#[test]
fn a_sustained_share_ends_only_below_its_margin() {
    let shares = [0.9, 0.9, 0.9, 0.9, 0.82, 0.81, 0.79, 0.9];
    assert_eq!(verdicts(&shares), [false, false, false, true, true, true, false, false]);
}

fn sample(second: u64, cpu_seconds: f64, mib: u64, limit: Option<u64>) -> Sample {
    Sample {
        at: at(second),
        cpu_total_ns: (cpu_seconds * 1e9) as u64,
        memory_bytes: mib * MIB,
        memory_limit: limit.map(|mib| mib * MIB),
        host_cpus: 4,
        ..Sample::default()
    }
}

fn feed(usage: &mut Usage, facts: &mut Facts, sample: &Sample) {
    usage.observe(sample, facts, (0.85, 0.80), &Config::default());
}

#[test]
fn cpu_is_a_share_of_the_quota_or_of_all_cores() {
    for (cpus, expected) in [(None, 0.25), (Some(0.5), 2.0), (Some(2.0), 0.5)] {
        let (mut usage, mut facts) = (Usage::default(), Facts { cpus, ..Facts::default() });
        feed(&mut usage, &mut facts, &sample(0, 100.0, 1, None));
        assert_eq!(facts.cpu, None);
        feed(&mut usage, &mut facts, &sample(15, 115.0, 1, None));
        assert!((facts.cpu.unwrap() - expected).abs() < 1e-9, "{cpus:?} {:?}", facts.cpu);
    }
}

#[test]
fn a_counter_that_fell_or_a_sample_from_before_says_nothing() {
    let (mut usage, mut facts) = (Usage::default(), Facts::default());
    feed(&mut usage, &mut facts, &sample(15, 100.0, 1, None));
    feed(&mut usage, &mut facts, &sample(30, 1.0, 1, None));
    assert_eq!(facts.cpu, None);
    let before = usage.clone();
    feed(&mut usage, &mut facts, &sample(20, 1.5, 1, None));
    assert_eq!(usage, before);
}

#[test]
fn a_hole_in_the_samples_interrupts_an_unfinished_streak() {
    let busy = |seconds: &[u64]| {
        let (mut usage, mut facts) =
            (Usage::default(), Facts { cpus: Some(1.0), ..Facts::default() });
        for second in seconds {
            feed(&mut usage, &mut facts, &sample(*second, *second as f64, 90, Some(100)));
        }
        usage.memory.verdict().is_some()
    };
    assert!(busy(&[0, 15, 30, 45, 60]));
    assert!(!busy(&[0, 15, 76]), "61 seconds of which nothing is known");
    assert!(busy(&[0, 15, 76, 91, 106, 121, 136]));
}

/// Memory in MiB per quarter of a minute over `minutes`, against a limit.
fn leak(minutes: u64, limit: Option<u64>, mib: impl Fn(u64) -> u64) -> Option<Leak> {
    leak_on(None, minutes, limit, mib)
}

fn leak_on(
    host: Option<HostMemory>,
    minutes: u64,
    limit: Option<u64>,
    mib: impl Fn(u64) -> u64,
) -> Option<Leak> {
    let (mut usage, mut facts) = (Usage::default(), Facts::default());
    for quarter in 0..=minutes * 4 {
        let sample = sample(quarter * 15, 0.0, mib(quarter), limit);
        feed(&mut usage, &mut facts, &Sample { host, ..sample });
    }
    usage.leak(&facts, &Config::default())
}

fn host(total_mib: u64, available_mib: u64) -> Option<HostMemory> {
    let (total, available) = (total_mib * MIB, available_mib * MIB);
    Some(HostMemory { total, available, ..HostMemory::default() })
}

#[test]
fn memory_that_rises_steadily_to_its_limit_within_the_horizon_is_a_leak() {
    // 4 MiB a minute: 220 of 400 MiB after half an hour, full in 45 minutes.
    let found = leak(30, Some(400), |quarter| 100 + quarter).unwrap();
    assert!((found.slope - 4.0 * MIB as f64 / 60.0).abs() < 1000.0, "{found:?}");
    assert!(found.full_in > Duration::from_secs(44 * 60));
    assert!(found.full_in < Duration::from_secs(46 * 60));
}

#[test]
fn no_leak_is_seen_without_a_limit_or_a_trend() {
    assert_eq!(leak(30, None, |quarter| 100 + quarter), None, "neither limit nor host");
    assert_eq!(leak(30, Some(100_000), |quarter| 100 + quarter), None, "years to go");
    assert_eq!(leak(8, Some(400), |quarter| 100 + quarter), None, "too few points");
    assert_eq!(leak(30, Some(400), |_| 300), None, "flat");
    assert_eq!(leak(30, Some(400), |quarter| 300 - quarter), None, "falling");
    let saw = |quarter: u64| 100 + (quarter % 40) * 5;
    assert_eq!(leak(30, Some(400), saw), None, "collected now and then");
    let step = |quarter: u64| if quarter > 110 { 300 } else { 100 };
    assert_eq!(leak(30, Some(400), step), None, "one step");
}

#[test]
fn without_a_limit_a_leak_is_what_uses_up_the_hosts_memory_soon() {
    // 4 MiB a minute.
    let rising = |quarter: u64| 100 + quarter;
    let found = leak_on(host(4096, 200), 30, None, rising).unwrap();
    assert_eq!(found.left, 200 * MIB);
    assert!(found.full_in > Duration::from_secs(49 * 60), "{found:?}");
    assert!(found.full_in < Duration::from_secs(51 * 60), "{found:?}");
    assert_eq!(leak_on(host(4096, 2000), 30, None, rising), None, "eight hours to go");
    assert!(leak_on(host(700, 2000), 30, None, rising).is_some(), "a third of it in an hour");
    assert_eq!(leak_on(host(4096, 0), 30, None, |_| 300), None, "flat");
    assert_eq!(leak_on(host(4096, 200), 30, Some(100_000), rising), None, "its limit counts");
}

#[test]
fn a_limit_that_is_taken_away_ends_what_was_measured_by_it() {
    let (mut usage, mut facts) = (Usage::default(), Facts::default());
    for quarter in 0..=4 {
        feed(&mut usage, &mut facts, &sample(quarter * 15, 0.0, 90, Some(100)));
    }
    assert!(usage.memory.verdict().is_some());
    feed(&mut usage, &mut facts, &sample(75, 0.0, 90, None));
    assert_eq!((facts.memory, usage.memory.verdict()), (None, None));
}

/// Whether the host's memory was too full for long enough after samples 15 seconds apart, each with
/// the percentage in use and whether the container was the largest.
fn pressed(samples: &[(u64, bool)]) -> bool {
    let (mut usage, mut facts) = (Usage::default(), Facts::default());
    for (quarter, (percent, largest)) in samples.iter().enumerate() {
        let memory = HostMemory { largest: *largest, ..host(1000, 1000 - percent * 10).unwrap() };
        let sample = sample(quarter as u64 * 15, 0.0, 90, None);
        feed(&mut usage, &mut facts, &Sample { host: Some(memory), ..sample });
    }
    usage.pressure.verdict().is_some()
}

#[test]
fn a_host_is_short_of_memory_for_its_largest_container_after_the_whole_window() {
    assert!(pressed(&[(95, true); 5]));
    assert!(!pressed(&[(95, true); 4]), "not yet a minute");
    assert!(!pressed(&[(90, true); 9]), "as much as is in order");
    assert!(!pressed(&[(99, false); 9]), "another one is the largest");
    assert!(!pressed(
        &[[(95, true); 4], [(95, false), (95, true), (95, true), (95, true)]].concat()
    ));
    assert!(pressed(&[[(95, true); 5], [(86, true); 5]].concat()), "within the margin");
    assert!(!pressed(&[[(95, true); 5], [(84, true); 5]].concat()));
}

#[test]
fn moments_are_bounded_and_leave_the_window() {
    let window = Duration::from_secs(600);
    let mut moments = Moments::default();
    for second in 0..6 {
        moments.add(at(second), 1);
    }
    assert_eq!(moments.falls_to(5, window), Some(at(600)));
    assert_eq!(moments.falls_to(6, window), None);
    moments.expire(at(600), window);
    assert_eq!(moments.count(), 5);
    moments.add(at(601), 1000);
    assert_eq!(moments.count(), MOMENTS);
}
