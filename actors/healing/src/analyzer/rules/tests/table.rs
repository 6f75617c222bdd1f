//! The table as a whole.

use std::time::Duration;

use super::*;

#[test]
fn names_are_unique_confidences_are_probabilities_and_the_last_rule_always_applies() {
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
    assert!(RULES.iter().all(|rule| (0.0..=1.0).contains(&rule.confidence)));
    let (facts, history) = (Facts::default(), History::default());
    let last = RULES.last().unwrap();
    assert!((last.applies)(&case(&facts, &[], &history)));
}

#[test]
fn a_basis_ignores_readings_and_the_turns_of_a_crash_loop() {
    let none = History::default();
    let basis = |facts: &Facts, kinds: &[SymptomKind]| {
        let symptoms: Vec<Symptom> = kinds.iter().copied().map(symptom).collect();
        case(facts, &symptoms, &none).basis()
    };
    let (low, high) =
        (Facts { cpu: Some(0.9), ..running() }, Facts { cpu: Some(1.0), ..running() });
    assert_eq!(basis(&low, &[HighCpu]), basis(&high, &[HighCpu]));
    assert_eq!(basis(&exited(1), &[CrashLoop, NonZeroExit]), basis(&running(), &[CrashLoop]));
    assert_ne!(basis(&running(), &[CrashLoop, HighCpu]), basis(&running(), &[CrashLoop]));
    assert_ne!(basis(&exited(1), &[NonZeroExit]), basis(&exited(2), &[NonZeroExit]));
    let mut known = one_before(OomKilled);
    known.prune(Timestamp::EPOCH, Duration::from_secs(1), 10);
    let symptoms = [symptom(OomKilled)];
    let oom = Facts { started_at: "other".to_owned(), ..exited(137) };
    assert_ne!(case(&oom, &symptoms, &known).basis(), case(&oom, &symptoms, &none).basis());
}
