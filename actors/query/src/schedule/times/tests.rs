//! Times of expressions, through days on which clocks are set.

use super::*;

fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_micros(at.as_microsecond().try_into().unwrap())
}

fn times(cron: &str, zone: &str) -> Times {
    Times::read(cron, zone).unwrap()
}

/// The times after `from`, as they are shown.
fn following(times: &Times, from: &str, count: usize) -> Vec<String> {
    let first = times.after(at(from));
    let all = std::iter::successors(first, |due| times.after(*due));
    all.take(count).map(shown).collect()
}

/// The same, up to `from`.
fn preceding(times: &Times, from: &str, count: usize) -> Vec<String> {
    let before = |due: Timestamp| times.until(Timestamp::from_micros(due.as_micros() - 1));
    let all = std::iter::successors(times.until(at(from)), |due| before(*due));
    all.take(count).map(shown).collect()
}

#[test]
fn an_expression_is_due_by_the_clock_of_its_zone() {
    let weekdays = times("30 2 * * 1-5", "Europe/Berlin");
    let due = following(&weekdays, "2026-01-01T12:00:00Z", 3);
    assert_eq!(due, ["2026-01-02T01:30:00Z", "2026-01-05T01:30:00Z", "2026-01-06T01:30:00Z"]);
    assert_eq!(following(&weekdays, "2026-07-01T12:00:00Z", 1), ["2026-07-02T00:30:00Z"]);
    assert_eq!(preceding(&weekdays, "2026-01-05T01:30:00Z", 1), ["2026-01-05T01:30:00Z"]);
}

#[test]
fn six_fields_begin_with_seconds() {
    let often = times("*/20 * * * * *", "UTC");
    let due = following(&often, "2026-01-01T00:00:00.5Z", 3);
    assert_eq!(due, ["2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z", "2026-01-01T00:01:00Z"]);
    assert_eq!(preceding(&often, "2026-01-01T00:00:39.9Z", 1), ["2026-01-01T00:00:20Z"]);
}

#[test]
fn a_time_that_does_not_exist_is_due_once_when_clocks_are_set() {
    // In Berlin 2026-03-29 has no time from 02:00 to 03:00, which is 01:00 in Greenwich.
    let once = times("30 2 * * *", "Europe/Berlin");
    let due = following(&once, "2026-03-28T12:00:00Z", 2);
    assert_eq!(due, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    // Also where several times of one day are left out, and where one of them is the moment itself.
    let several = times("0,15,30 2,3 * * *", "Europe/Berlin");
    let due = following(&several, "2026-03-29T00:59:59Z", 3);
    assert_eq!(due, ["2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z", "2026-03-29T01:30:00Z"]);
    let back = preceding(&once, "2026-03-30T00:30:00Z", 3);
    assert_eq!(back, ["2026-03-30T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-28T01:30:00Z"]);
}

#[test]
fn a_time_that_exists_twice_is_due_once() {
    // In Berlin 2026-10-25 has the time from 02:00 to 03:00 twice: from 00:00 to 02:00 in Greenwich.
    let once = times("30 2 * * *", "Europe/Berlin");
    let due = following(&once, "2026-10-24T12:00:00Z", 2);
    assert_eq!(due, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    assert_eq!(following(&once, "2026-10-25T01:10:00Z", 1), ["2026-10-26T01:30:00Z"]);
    assert_eq!(preceding(&once, "2026-10-25T01:10:00Z", 1), ["2026-10-25T00:30:00Z"]);
    assert_eq!(preceding(&once, "2026-10-25T01:45:00Z", 1), ["2026-10-25T00:30:00Z"]);
    let several = times("15,45 2 * * *", "Europe/Berlin");
    let back = preceding(&several, "2026-10-25T01:20:00Z", 2);
    assert_eq!(back, ["2026-10-25T00:45:00Z", "2026-10-25T00:15:00Z"]);
}

#[test]
fn what_is_due_in_every_hour_goes_by_the_time_that_passes() {
    let hourly = times("15 * * * *", "Europe/Berlin");
    let due = following(&hourly, "2026-03-29T00:00:00Z", 3);
    assert_eq!(due, ["2026-03-29T00:15:00Z", "2026-03-29T01:15:00Z", "2026-03-29T02:15:00Z"]);
    let due = following(&hourly, "2026-10-25T00:00:00Z", 3);
    assert_eq!(due, ["2026-10-25T00:15:00Z", "2026-10-25T01:15:00Z", "2026-10-25T02:15:00Z"]);
    let back = preceding(&hourly, "2026-10-25T02:15:00Z", 3);
    assert_eq!(back, ["2026-10-25T02:15:00Z", "2026-10-25T01:15:00Z", "2026-10-25T00:15:00Z"]);
}

#[test]
fn looking_back_finds_the_times_that_looking_ahead_finds() {
    for cron in ["30 2 * * *", "*/20 1-3 * * *", "5 * * * *", "0 0 29 2 *", "0 12 L * *"] {
        for zone in ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
            let times = times(cron, zone);
            for from in ["2026-03-27T00:00:00Z", "2026-04-03T00:00:00Z", "2026-10-23T00:00:00Z"] {
                let ahead = following(&times, from, 30);
                let mut back = preceding(&times, ahead.last().unwrap(), 30);
                back.reverse();
                assert_eq!(ahead, back, "{cron} in {zone} from {from}");
            }
        }
    }
}

#[test]
fn of_many_times_the_latest_are_kept_and_the_others_counted() {
    let hourly = times("0 * * * *", "UTC");
    let found = hourly.between(at("2026-01-01T00:00:00Z"), at("2026-01-02T00:30:00Z"), 2);
    assert_eq!((found.count, found.more), (25, false));
    assert_eq!(found.latest, [at("2026-01-01T23:00:00Z"), at("2026-01-02T00:00:00Z")]);
    assert_eq!(found.first, Some(at("2026-01-01T00:00:00Z")));
    let found = hourly.between(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"), 1);
    assert_eq!((found.count, found.more), (COUNTED, true));
    let none = hourly.between(at("2026-01-01T00:10:00Z"), at("2026-01-01T00:50:00Z"), 5);
    assert_eq!(none, Between::default());
}

#[test]
fn an_expression_and_a_zone_that_make_no_sense_are_both_told() {
    let problems = Times::read("61 * * * *", "Europe/Atlantis").unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("cron: `61 * * * *`"), "{problems:?}");
    assert!(problems[1].starts_with("zone: `Europe/Atlantis`"), "{problems:?}");
    for wrong in ["", "* * * *", "* * * * * * *", "a b c d e", "0 0 * * MOO"] {
        Times::read(wrong, "UTC").unwrap_err();
    }
    let never = Times::read("0 0 30 2 *", "UTC").unwrap_err();
    assert_eq!(never, ["cron: `0 0 30 2 *` is never due"]);
}
