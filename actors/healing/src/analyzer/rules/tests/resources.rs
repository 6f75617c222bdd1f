//! Health, CPU and memory.

use super::*;

#[test]
fn a_critical_resource_is_restarted() {
    let history = History::default();
    for kind in [HighCpu, HighMemory, MemoryLeak] {
        let facts = running();
        let symptoms = [critical(kind)];
        check(&case(&facts, &symptoms, &history), "critical_resource", 0.85, Want::Restart);
    }
}

#[test]
fn an_unhealthy_service_is_restarted_exactly_at_the_threshold() {
    check_simple(&running(), &[Unhealthy], "unhealthy", 0.70, Want::Restart);
    let history = History::default();
    let (facts, symptoms) = (running(), [critical(Unhealthy)]);
    let above = diagnose(&case(&facts, &symptoms, &history), 0.71);
    assert!(matches!(above.verdict, Verdict::InsufficientEvidence(_)), "{above:?}");
    assert_eq!(above.rule, "unhealthy");
}

#[test]
fn a_flapping_health_check_is_a_cause_of_its_own() {
    check_simple(&running(), &[FlappingHealth], "flapping_health", 0.60, Want::NoSafeAction);
    let both = [FlappingHealth, Unhealthy];
    check_simple(&running(), &both, "flapping_health", 0.60, Want::NoSafeAction);
}

#[test]
fn sustained_cpu_is_restarted_above_ninety_percent_unless_it_falls() {
    let history = one_before(HighCpu);
    let table = [
        (0.95, Trend::Stable, "sustained_cpu", 0.75, Want::Restart),
        (0.95, Trend::Increasing, "sustained_cpu", 0.75, Want::Restart),
        (0.95, Trend::Decreasing, "steady_cpu", 0.65, Want::NoSafeAction),
        (0.95, Trend::Unknown, "undecided", 0.50, Want::NotEnough),
        (0.87, Trend::Stable, "steady_cpu", 0.65, Want::NoSafeAction),
        (0.90, Trend::Stable, "steady_cpu", 0.65, Want::NoSafeAction),
    ];
    for (cpu, cpu_trend, rule, confidence, want) in table {
        let facts = Facts { cpu: Some(cpu), ..running() };
        let symptoms = [symptom(HighCpu)];
        let case = Case { cpu_trend, ..case(&facts, &symptoms, &history) };
        check(&case, rule, confidence, want);
    }
}

#[test]
fn one_busy_moment_without_a_cpu_symptom_restarts_nothing() {
    let facts = Facts { cpu: Some(0.99), ..running() };
    let symptoms = [symptom(FlappingHealth)];
    let history = History::default();
    let case = Case { cpu_trend: Trend::Stable, ..case(&facts, &symptoms, &history) };
    check(&case, "flapping_health", 0.60, Want::NoSafeAction);
}

/// A memory symptom at a share of the limit, and where the share is going.
#[track_caller]
fn check_memory(
    (kind, memory, memory_trend): (SymptomKind, f64, Trend),
    rule: &str,
    confidence: f64,
    want: Want,
) {
    let facts = Facts { memory: Some(memory), ..running() };
    let symptoms = [Symptom { actual: memory, threshold: 0.80, ..symptom(kind) }];
    let history = History::default();
    let case = Case { memory_trend, ..case(&facts, &symptoms, &history) };
    check(&case, rule, confidence, want);
}

#[test]
fn growing_memory_above_seventy_percent_is_restarted() {
    let rising = (HighMemory, 0.88, Trend::Increasing);
    check_memory(rising, "growing_memory", 0.80, Want::Restart);
    // A leak over hours shows no rise within five samples.
    let leak = (MemoryLeak, 0.75, Trend::Stable);
    check_memory(leak, "growing_memory", 0.80, Want::Restart);
    let early = (MemoryLeak, 0.60, Trend::Stable);
    check_memory(early, "undecided", 0.50, Want::NotEnough);
}

#[test]
fn steady_high_memory_is_known_and_not_a_false_alarm() {
    for trend in [Trend::Stable, Trend::Decreasing] {
        let steady = (HighMemory, 0.93, trend);
        check_memory(steady, "steady_memory", 0.65, Want::NoSafeAction);
    }
    let unknown = (HighMemory, 0.93, Trend::Unknown);
    check_memory(unknown, "undecided", 0.50, Want::NotEnough);
}

#[test]
fn growth_without_a_limit_is_known_and_left_to_a_person() {
    let facts = Facts { memory_limit: None, ..running() };
    check_simple(&facts, &[MemoryLeak], "no_memory_limit", 0.65, Want::NoSafeAction);
}

#[test]
fn a_host_short_of_memory_is_never_a_reason_to_restart_whoever_is_largest() {
    let facts = Facts { memory_limit: None, memory_bytes: Some(9 << 30), ..running() };
    let none = History::default();
    for symptoms in [vec![symptom(HostPressure)], vec![critical(HostPressure), symptom(MemoryLeak)]]
    {
        let case = case(&facts, &symptoms, &none);
        check(&case, "host_pressure", 0.65, Want::NoSafeAction);
    }
    // Another fault of its own still counts.
    let both = [critical(HostPressure), critical(Unhealthy)];
    check(&case(&facts, &both, &none), "unhealthy", 0.70, Want::Restart);
    let over = Case { gone: &[HostPressure], ..case(&facts, &[], &none) };
    check(&over, "transient", 0.65, Want::FalseAlarm);
}

#[test]
fn one_mild_sign_without_history_is_a_false_alarm() {
    let facts = Facts { cpu: Some(0.70), ..running() };
    let none = History::default();
    let symptoms = [symptom(HighCpu)];
    check(&case(&facts, &symptoms, &none), "transient", 0.65, Want::FalseAlarm);
    let over = Case { gone: &[HighCpu], ..case(&facts, &[], &none) };
    check(&over, "transient", 0.65, Want::FalseAlarm);
    let mild = [Symptom { severity: Severity::Info, ..symptom(MemoryLeak) }];
    check(&case(&facts, &mild, &none), "transient", 0.65, Want::FalseAlarm);
    let before = one_before(HighCpu);
    check(&case(&facts, &symptoms, &before), "undecided", 0.50, Want::NotEnough);
    let two = [symptom(HighCpu), symptom(HighMemory)];
    check(&case(&facts, &two, &none), "undecided", 0.50, Want::NotEnough);
}
