use super::*;
use crate::alert::Entry;
use crate::alert::samples::{incident, opened, second};
use crate::model::{Action, Diagnosis, Verdict};

fn item(id: &str, severity: Severity, rest: &[Entry], change: Change) -> Item {
    let mut entries = vec![opened(id, Some("shop"), severity)];
    entries.extend_from_slice(rest);
    let incident = incident(id, &entries);
    let news = News { incident: incident.id.clone(), change, at: second(9) };
    Item::new(&news, &incident, &[], "test")
}

fn value<'a>(item: &'a Item, title: &str) -> Option<&'a str> {
    item.fields.iter().find(|field| field.title == title).map(|field| field.value.as_str())
}

#[test]
fn a_remediation_shows_the_fields_people_know() {
    let diagnosis = Diagnosis {
        rule: "exit_code".to_owned(),
        cause: "It crashed.".to_owned(),
        reason: "Exit code 3.".to_owned(),
        confidence: 0.9,
        verdict: Verdict::Remediate(Action::Restart),
    };
    let outcome = ActionOutcome::Failed("no such container".to_owned());
    let rest = [
        Entry::Diagnosed(diagnosis),
        Entry::ActionFinished { action: Action::Restart, outcome },
        Entry::Concluded(Conclusion::Suppressed("cooldown until noon".to_owned())),
    ];
    let item = item("web", Severity::Warning, &rest, Change::Suppressed);
    let expected = [
        ("Event Type", "suppressed"),
        ("Source Agent", "responder"),
        ("Container", "web (web000000000)"),
        ("Action", "restart"),
        ("Status", "open"),
        ("Analysis", "exit_code"),
        ("Environment", "test"),
        ("Reason", "cooldown until noon"),
        ("Rejection Reason", "cooldown until noon"),
        ("Confidence", "90.0%"),
        ("Error", "no such container"),
        ("Timestamp", "1970-01-01T00:00:09Z"),
    ];
    for (title, text) in expected {
        assert_eq!(value(&item, title), Some(text), "{title}");
    }
    assert_eq!(value(&item, "Dry Run"), None);
}

fn judged(verdict: Verdict) -> Entry {
    Entry::Diagnosed(Diagnosis {
        rule: "memory_limit".to_owned(),
        cause: "It was killed.".to_owned(),
        reason: "It was over its limit.".to_owned(),
        confidence: 0.9,
        verdict,
    })
}

#[test]
fn a_judgement_says_why_and_what_is_left_to_a_person_and_not_why_something_was_held_before() {
    let held = Entry::Concluded(Conclusion::Suppressed("cooldown until noon".to_owned()));
    let no_action = judged(Verdict::NoSafeAction("Raise its limit.".to_owned()));
    let rest = [held, no_action.clone()];
    let told = item("web", Severity::Critical, &rest, Change::NoSafeAction);
    assert_eq!(value(&told, "Reason"), Some("It was killed. It was over its limit."));
    assert_eq!(value(&told, "What To Do"), Some("Raise its limit."));

    let reminder =
        item("web", Severity::Critical, std::slice::from_ref(&no_action), Change::Reminder);
    assert_eq!(value(&reminder, "What To Do"), Some("Raise its limit."));
    let unclear = judged(Verdict::InsufficientEvidence("The end of its log.".to_owned()));
    let unclear = item("web", Severity::Critical, &[unclear], Change::Unclear);
    assert_eq!(value(&unclear, "Missing"), Some("The end of its log."));
    assert_eq!(value(&unclear, "What To Do"), None);

    let recovered = Entry::Recovered { reason: "it runs".to_owned() };
    let over = item("web", Severity::Critical, &[no_action, recovered], Change::Recovered);
    assert_eq!(value(&over, "Reason"), Some("it runs"));
    assert_eq!(value(&over, "What To Do"), None);
}

#[test]
fn an_opening_says_what_shows() {
    let item = item("web", Severity::Warning, &[], Change::Opened);
    assert_eq!(value(&item, "Reason"), Some("it ended with exit code 3"));
    assert_eq!(value(&item, "Action"), Some("none"));
    assert_eq!(item.title, "Incident opened: web");
}

#[test]
fn a_channel_gets_the_part_that_is_severe_enough_for_it() {
    let items = vec![
        item("a", Severity::Warning, &[], Change::Opened),
        item("b", Severity::Critical, &[], Change::Opened),
    ];
    let mut leader = incident("a", &[opened("a", Some("shop"), Severity::Warning)]);
    let notice = Notice::about(&mut leader, items, "test", second(50));
    assert_eq!(notice.severity, Severity::Critical);
    assert_eq!(notice.title, "2 incidents of shop");
    assert_eq!(notice.at_least(Severity::Warning).map(|part| part.items.len()), Some(2));
    let part = notice.at_least(Severity::Critical).unwrap();
    assert_eq!((part.items.len(), part.title.as_str()), (1, "Incident opened: b"));
}

#[test]
fn notices_of_a_thread_are_numbered_and_share_its_headline() {
    let mut leader = incident("inc-1", &[opened("web", None, Severity::Warning)]);
    let item = || vec![item("web", Severity::Warning, &[], Change::Opened)];
    let first = Notice::about(&mut leader, item(), "test", second(50));
    let second = Notice::about(&mut leader, item(), "test", second(51));
    assert_eq!((first.id.as_str(), second.id.as_str()), ("inc-1.1", "inc-1.2"));
    assert!(first.is_root() && !second.is_root());
    assert_eq!(second.root_id(), first.id);
    assert_eq!(first.headline, second.headline);
}
