use std::time::Duration;

use super::*;

fn window(raw: Raw) -> Window {
    Window::try_from(raw).unwrap()
}

fn weekly_window(days: &[&str], from: &str, to: &str, zone: &str) -> Window {
    window(Raw {
        days: Some(Days::List(days.iter().map(|day| (*day).to_owned()).collect())),
        from: Some(from.to_owned()),
        to: Some(to.to_owned()),
        timezone: Some(zone.to_owned()),
        ..Raw::default()
    })
}

#[track_caller]
fn check(window: &Window, now: &str, until: Option<&str>) {
    let found = window.until("web-1", moment(now).unwrap());
    assert_eq!(found, until.map(|until| moment(until).unwrap()), "at {now}");
}

#[test]
fn a_weekly_window_holds_from_its_first_minute_to_its_last_on_its_days() {
    let window = weekly_window(&["sat", "sun"], "02:00", "04:00", "UTC");
    check(&window, "2026-01-31T01:59:59Z", None);
    check(&window, "2026-01-31T02:00:00Z", Some("2026-01-31T04:00:00Z"));
    check(&window, "2026-02-01T03:59:59Z", Some("2026-02-01T04:00:00Z"));
    check(&window, "2026-02-01T04:00:00Z", None);
    check(&window, "2026-02-02T03:00:00Z", None);
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_it_began() {
    let window = weekly_window(&["fri"], "23:00", "01:00", "UTC");
    check(&window, "2026-01-30T23:30:00Z", Some("2026-01-31T01:00:00Z"));
    check(&window, "2026-01-31T00:30:00Z", Some("2026-01-31T01:00:00Z"));
    check(&window, "2026-01-30T00:30:00Z", None);
    check(&window, "2026-01-31T23:30:00Z", None);
}

#[test]
fn a_window_from_and_to_the_same_time_is_the_whole_day() {
    let window = weekly_window(&["mon"], "00:00", "00:00", "UTC");
    check(&window, "2026-02-02T12:00:00Z", Some("2026-02-03T00:00:00Z"));
    check(&window, "2026-02-03T00:00:00Z", None);
}

#[test]
fn a_window_keeps_to_its_zones_clock_in_summer_and_in_winter() {
    let window = weekly_window(&["wed"], "02:00", "04:00", "Europe/Berlin");
    check(&window, "2026-01-14T01:30:00Z", Some("2026-01-14T03:00:00Z"));
    check(&window, "2026-07-15T01:30:00Z", Some("2026-07-15T02:00:00Z"));
    check(&window, "2026-07-15T02:30:00Z", None);
}

#[test]
fn a_window_that_happens_once_needs_no_zone() {
    let window = window(Raw {
        start: Some("2026-01-31T02:00:00+01:00".to_owned()),
        end: Some("2026-01-31T05:00:00Z".to_owned()),
        ..Raw::default()
    });
    check(&window, "2026-01-31T00:59:59Z", None);
    check(&window, "2026-01-31T01:00:00Z", Some("2026-01-31T05:00:00Z"));
    check(&window, "2027-01-31T01:00:00Z", None);
}

#[test]
fn a_window_is_only_for_the_containers_its_glob_names() {
    let raw = Raw {
        from: Some("00:00".to_owned()),
        to: Some("00:00".to_owned()),
        containers: Some("db-*".to_owned()),
        ..Raw::default()
    };
    let window = window(raw);
    let now = Timestamp::from_micros(1_000_000_000_000);
    assert!(window.until("db-1", now).is_some());
    assert!(window.until("web-1", now).is_none());
    assert!(window.until("db-1", now + Duration::from_secs(86400)).is_some());
}

#[test]
fn globs_match_all_of_a_name() {
    let cases = [
        ("*", "", true),
        ("web", "web", true),
        ("web", "web-1", false),
        ("web-?", "web-1", true),
        ("web-?", "web-10", false),
        ("*-db-*", "shop-db-1", true),
        ("a*b*c", "aXXbYYc", true),
        ("a*b*c", "aXXbYY", false),
        ("", "web", false),
    ];
    for (pattern, name, expected) in cases {
        assert_eq!(matches(pattern, name), expected, "{pattern} and {name}");
    }
}

#[test]
fn a_window_that_cannot_be_understood_is_refused_with_what_is_wrong() {
    let weekly = |from: &str, to: &str| Raw {
        from: Some(from.to_owned()),
        to: Some(to.to_owned()),
        ..Raw::default()
    };
    let cases = [
        (Raw::default(), "needs `from` and `to`"),
        (weekly("2am", "04:00"), "\"2am\" is not a time of day"),
        (weekly("02:00", "24:30"), "\"24:30\" is not a time of day"),
        (Raw { timezone: Some("Mars/Base".to_owned()), ..weekly("02:00", "04:00") }, "time zone"),
        (Raw { days: Some(Days::Word("someday".to_owned())), ..weekly("02:00", "04:00") }, "day"),
        (
            Raw {
                start: Some("2026-02-01T00:00:00Z".to_owned()),
                end: Some("2026-01-01T00:00:00Z".to_owned()),
                ..Raw::default()
            },
            "later than its `start`",
        ),
    ];
    for (raw, expected) in cases {
        let error = Window::try_from(raw).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn everything_that_is_wrong_with_a_window_is_said_at_once() {
    let weekly =
        r#"{"days": ["someday", "mon", "never"], "from": "2am", "to": "99", "timezone": "Mars"}"#;
    let once = r#"{"start": "soon", "end": "later"}"#;
    for (text, wrong) in
        [(weekly, &["someday", "never", "2am", "99", "Mars"][..]), (once, &["soon", "later"][..])]
    {
        let error = serde_json::from_str::<Window>(text).unwrap_err().to_string();
        for part in wrong {
            assert!(error.contains(&format!("{part:?} is not a")), "{part}: {error}");
        }
        assert!(!error.contains("\"mon\""), "{error}");
    }
}

#[test]
fn windows_are_read_from_configuration_text() {
    let text = r#"{"days": ["sat", "sun"], "from": "02:00", "to": "04:00", "timezone": "UTC"}"#;
    let window: Window = serde_json::from_str(text).unwrap();
    check(&window, "2026-01-31T03:00:00Z", Some("2026-01-31T04:00:00Z"));
    let again: Window = serde_json::from_str(&serde_json::to_string(&window).unwrap()).unwrap();
    assert_eq!(again, window);
    assert!(serde_json::from_str::<Window>(r#"{"form": "02:00"}"#).is_err());
}

#[test]
fn a_window_without_days_never_matches_and_says_so() {
    let window = weekly_window(&[], "02:00", "04:00", "UTC");
    assert_eq!(window.check(), Some("never matches: its list of days is empty"));
}
