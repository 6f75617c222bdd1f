//! What is forgotten, and when.

use super::*;

#[test]
fn an_entry_of_an_unknown_incident_is_kept_and_forgotten_in_time() {
    let mut play = play(config());
    record(&mut play, "inc-9", Entry::Verifying { until: second(0) });
    assert_eq!(journal(&play, "inc-9").len(), 1);
    fire(&mut play);
    assert_eq!(play.row(&INCIDENTS, "inc-9").unwrap(), None);
    assert_eq!(play.timers(), []);
}

#[test]
fn a_delivery_for_a_forgotten_incident_is_only_counted() {
    let mut play = play(config());
    let effect = open(&mut play, "inc-1", Severity::Critical).effects::<Deliver>().remove(0);
    let mut empty = self::play(config());
    let recorded = finish(&mut empty, &effect, Ok(String::new()));
    assert!(recorded.is_quiet());
    assert_eq!(recorded.observations().len(), 1);
}

#[test]
fn closed_incidents_are_forgotten_after_a_week_with_their_journals_and_open_ones_are_not() {
    let mut play = play(Config::default());
    for (n, incident) in ["inc-1", "inc-2", "inc-3"].into_iter().enumerate() {
        open(&mut play, incident, Severity::Warning);
        if n > 0 {
            conclude(&mut play, incident, Conclusion::Resolved);
        }
        play.advance(Duration::from_secs(3600));
    }
    fire(&mut play);
    assert_eq!(play.row(&INCIDENTS, "inc-2").unwrap(), None);
    assert!(play.row(&INCIDENTS, "inc-3").unwrap().is_some());
    fire(&mut play);
    let left: Vec<_> = play.rows(&INCIDENTS).unwrap().into_iter().map(|row| row.id.0).collect();
    assert_eq!(left, ["inc-1"]);
    assert_eq!(play.rows(&JOURNAL).unwrap().len(), 1);
    assert_eq!(play.timers(), []);
}

#[test]
fn a_long_journal_is_forgotten_in_several_turns() {
    let mut play = play(Config::default());
    open(&mut play, "inc-1", Severity::Warning);
    for _ in 0..900 {
        record(&mut play, "inc-1", Entry::Verifying { until: second(0) });
    }
    conclude(&mut play, "inc-1", Conclusion::Gone);
    let mut turns = 0;
    while !play.timers().is_empty() {
        fire(&mut play);
        turns += 1;
    }
    assert_eq!(turns, 3);
    assert_eq!(play.rows(&JOURNAL).unwrap(), []);
    assert_eq!(play.rows(&INCIDENTS).unwrap(), []);
}

#[test]
fn a_reopened_incident_is_not_forgotten() {
    let mut play = play(Config::default());
    open(&mut play, "inc-1", Severity::Warning);
    conclude(&mut play, "inc-1", Conclusion::Resolved);
    record(&mut play, "inc-1", Entry::Reopened { symptoms: vec![] });
    fire(&mut play);
    assert!(play.row(&INCIDENTS, "inc-1").unwrap().is_some());
    assert_eq!(play.timers(), []);
}
