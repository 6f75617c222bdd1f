//! What the Alert does with messages, turn by turn.

use std::time::Duration;

use perennial_runtime::{Effect, Finished, Play, Recorded, Undone};
use perennial_secret::Secret;

use super::deliver::Deliver;
use super::samples::{key, opened, second, subject};
use super::*;
use crate::metrics::NOTIFICATIONS;
use crate::model::{Conclusion, Severity, SymptomKind};

fn config() -> Config {
    let mut config = Config::default();
    config.slack.url = Secret::new("https://hooks.example.org/x");
    config
}

fn with_email(fallback_only: bool) -> Config {
    let mut config = config();
    config.email.host = "mail".to_owned();
    config.email.from = "node@example.org".to_owned();
    config.email.to = vec!["ops@example.org".to_owned()];
    config.email.fallback_only = fallback_only;
    config
}

fn play(config: Config) -> Play<Alert> {
    Play::new(ALERT, config)
}

fn id(name: &str) -> IncidentId {
    IncidentId(name.to_owned())
}

fn record(play: &mut Play<Alert>, incident: &str, entry: Entry) -> Recorded {
    let at = play.now();
    play.handle(AlertMessage::Record { incident: id(incident), at, entry }).unwrap()
}

fn open(play: &mut Play<Alert>, incident: &str, severity: Severity) -> Recorded {
    record(play, incident, opened(incident, Some("shop"), severity))
}

fn conclude(play: &mut Play<Alert>, incident: &str, conclusion: Conclusion) -> Recorded {
    record(play, incident, Entry::Concluded(conclusion))
}

fn acknowledge(play: &mut Play<Alert>, incident: &str) -> Acknowledgement {
    let by = "ann".to_owned();
    let message = AlertMessage::Acknowledge { incident: id(incident), by, note: None };
    play.handle(message).unwrap().reply().unwrap()
}

fn finish(play: &mut Play<Alert>, effect: &Deliver, result: Result<String, Undone>) -> Recorded {
    let finished = Finished { effect: effect.clone(), key: key("k"), attempts: 2, result };
    play.handle(finished.into()).unwrap()
}

/// Channel, incidents and change of what is to be delivered.
fn posts(recorded: &Recorded) -> Vec<String> {
    let posts = recorded.effects::<Deliver>().into_iter().map(|effect| {
        let told = effect.notice.items.iter();
        let told: Vec<_> =
            told.map(|item| format!("{} {}", item.incident, item.change.as_str())).collect();
        format!("{}: {}", effect.channel, told.join(", "))
    });
    posts.collect()
}

fn journal(play: &Play<Alert>, incident: &str) -> Vec<Entry> {
    let steps = play.rows(&JOURNAL).unwrap();
    let length = play.row(&INCIDENTS, incident).unwrap().unwrap().entries;
    let own = (0..length).map(|n| play.row(&JOURNAL, &(incident, n)).unwrap().unwrap());
    assert!(steps.len() as u64 >= length);
    own.map(|step| step.entry).collect()
}

/// Channel and state of every notification in the journal.
fn fates(play: &Play<Alert>, incident: &str) -> Vec<String> {
    let mut fates = Vec::new();
    for entry in journal(play, incident) {
        if let Entry::Notification { channel, change, state, .. } = entry {
            fates.push(format!("{channel} {change} {state}"));
        }
    }
    fates
}

fn fire(play: &mut Play<Alert>) -> Recorded {
    play.fire_next_timer().unwrap()
}

#[test]
fn the_same_event_twice_is_stored_twice_and_posted_once() {
    let mut play = play(config());
    open(&mut play, "inc-1", Severity::Critical);
    let first = conclude(&mut play, "inc-1", Conclusion::Resolved);
    let second = conclude(&mut play, "inc-1", Conclusion::Resolved);
    assert_eq!(posts(&first), ["slack: inc-1 resolved"]);
    assert_eq!(posts(&second), [""; 0]);
    let steps = journal(&play, "inc-1");
    let stored = steps.iter().filter(|step| matches!(step, Entry::Concluded(_)));
    assert_eq!(stored.count(), 2);
}

#[test]
fn an_action_held_back_again_and_again_is_told_once() {
    let mut play = play(config());
    open(&mut play, "inc-1", Severity::Critical);
    let held = || Conclusion::Suppressed("cooldown".to_owned());
    assert_eq!(posts(&conclude(&mut play, "inc-1", held())), ["slack: inc-1 suppressed"]);
    assert_eq!(posts(&conclude(&mut play, "inc-1", held())), [""; 0]);
}

#[test]
fn two_containers_in_the_same_minute_are_both_told() {
    let mut play = play(config());
    assert_eq!(posts(&open(&mut play, "inc-1", Severity::Critical)), ["slack: inc-1 opened"]);
    assert_eq!(posts(&open(&mut play, "inc-2", Severity::Critical)), ["slack: inc-2 opened"]);
    let resolved = conclude(&mut play, "inc-1", Conclusion::Resolved);
    let escalated = conclude(&mut play, "inc-2", Conclusion::Escalated("no".to_owned()));
    assert_eq!(posts(&resolved), ["slack: inc-1 resolved"]);
    assert_eq!(posts(&escalated), ["slack: inc-2 escalated"]);
}

#[test]
fn a_critical_incident_is_told_in_the_commit_that_opens_it() {
    let mut play = play(config());
    let recorded = open(&mut play, "inc-1", Severity::Critical);
    let effect = recorded.effects::<Deliver>().remove(0);
    assert_eq!(effect.notice.at, second(9), "the time of the event");
    assert_eq!(effect.expires, play.now() + Duration::from_secs(86_400));
    assert!(effect.notice.items[0].excerpt[0].contains("opened: it ended with exit code 3"));
    assert_eq!(fates(&play, "inc-1"), ["slack opened queued"]);
}

#[test]
fn warnings_of_a_project_are_told_together_after_half_a_minute() {
    let mut play = play(config());
    assert_eq!(posts(&open(&mut play, "inc-1", Severity::Warning)), [""; 0]);
    play.advance(Duration::from_secs(10));
    assert_eq!(posts(&open(&mut play, "inc-2", Severity::Warning)), [""; 0]);
    let began = play.now();
    assert_eq!(posts(&fire(&mut play)), ["slack: inc-1 opened, inc-2 opened"]);
    assert_eq!(play.now(), began + Duration::from_secs(20));

    conclude(&mut play, "inc-2", Conclusion::Resolved);
    assert_eq!(posts(&fire(&mut play)), ["slack: inc-2 resolved"]);
    assert_eq!(play.now(), began + Duration::from_secs(320));
    fire(&mut play);
    assert_eq!(play.state.groups, Groups::default());
}

#[test]
fn notices_of_one_incident_share_a_lane_and_are_numbered() {
    let mut play = play(config());
    open(&mut play, "inc-1", Severity::Warning);
    open(&mut play, "inc-2", Severity::Warning);
    let together = fire(&mut play).effects::<Deliver>().remove(0);
    let worse = Entry::SymptomsChanged {
        raised: vec![samples::symptom(SymptomKind::OomKilled, Severity::Critical, "killed")],
        cleared: vec![],
    };
    let alone = record(&mut play, "inc-2", worse).effects::<Deliver>().remove(0);
    assert_eq!(together.lane(), Some("slack/inc-1".to_owned()));
    assert_eq!(alone.lane(), together.lane());
    assert_eq!((together.notice.sequence, alone.notice.sequence), (1, 2));
    assert_eq!(alone.notice.headline, together.notice.headline);
}

#[test]
fn a_warning_that_turns_critical_is_told_once_and_at_once() {
    let mut play = play(config());
    open(&mut play, "inc-1", Severity::Warning);
    let worse = Entry::SymptomsChanged {
        raised: vec![samples::symptom(SymptomKind::OomKilled, Severity::Critical, "killed")],
        cleared: vec![],
    };
    assert_eq!(posts(&record(&mut play, "inc-1", worse)), ["slack: inc-1 opened"]);
    assert_eq!(posts(&fire(&mut play)), [""; 0]);
}

#[test]
fn every_rise_in_severity_is_told() {
    let mut play = play(config());
    let worse = |severity| Entry::SymptomsChanged {
        raised: vec![samples::symptom(SymptomKind::HighCpu, severity, "cpu")],
        cleared: vec![],
    };
    open(&mut play, "inc-1", Severity::Info);
    fire(&mut play);
    record(&mut play, "inc-1", worse(Severity::Warning));
    assert_eq!(posts(&fire(&mut play)), ["slack: inc-1 worsened"]);
    let critical = record(&mut play, "inc-1", worse(Severity::Critical));
    assert_eq!(posts(&critical), ["slack: inc-1 worsened"]);
}

#[test]
fn a_warning_withdrawn_before_it_was_told_is_not_told() {
    let mut play = play(config());
    open(&mut play, "inc-1", Severity::Warning);
    record(&mut play, "inc-1", Entry::Withdrawn { reason: "stopped".to_owned() });
    assert_eq!(posts(&fire(&mut play)), [""; 0]);

    open(&mut play, "inc-2", Severity::Critical);
    let withdrawn = record(&mut play, "inc-2", Entry::Withdrawn { reason: "stopped".to_owned() });
    assert_eq!(posts(&withdrawn), ["slack: inc-2 withdrawn"]);
}

#[test]
fn an_incident_that_comes_back_is_told_again() {
    let mut play = play(config());
    open(&mut play, "inc-1", Severity::Critical);
    conclude(&mut play, "inc-1", Conclusion::Resolved);
    let back = samples::symptom(SymptomKind::NonZeroExit, Severity::Critical, "again");
    let reopened = record(&mut play, "inc-1", Entry::Reopened { symptoms: vec![back] });
    assert_eq!(posts(&reopened), ["slack: inc-1 reopened"]);
    assert_eq!(
        posts(&conclude(&mut play, "inc-1", Conclusion::Resolved)),
        ["slack: inc-1 resolved"]
    );
}

#[test]
fn people_are_reminded_every_four_hours_until_someone_takes_it_on() {
    let mut play = play(config());
    open(&mut play, "inc-1", Severity::Critical);
    let began = play.now();
    assert_eq!(posts(&fire(&mut play)), ["slack: inc-1 reminder"]);
    assert_eq!(play.now(), began + Duration::from_secs(4 * 3600));
    assert_eq!(posts(&fire(&mut play)), ["slack: inc-1 reminder"]);
    assert_eq!(acknowledge(&mut play, "inc-1"), Acknowledgement::Acknowledged);
    assert_eq!(play.timers(), []);
    let row = play.row(&INCIDENTS, "inc-1").unwrap().unwrap();
    assert_eq!(
        (row.status, row.acknowledged_by.as_deref()),
        (IncidentStatus::Acknowledged, Some("ann"))
    );
}

#[test]
fn a_reminder_that_waits_with_its_group_is_dropped_when_someone_takes_it_on() {
    let mut play = play(config());
    open(&mut play, "inc-1", Severity::Warning);
    fire(&mut play);
    fire(&mut play);
    assert_eq!(posts(&fire(&mut play)), [""; 0], "the reminder is due and waits");
    acknowledge(&mut play, "inc-1");
    assert_eq!(posts(&fire(&mut play)), [""; 0]);
}

#[test]
fn the_end_of_an_incident_ends_its_reminders() {
    let mut play = play(config());
    open(&mut play, "inc-1", Severity::Critical);
    conclude(&mut play, "inc-1", Conclusion::Resolved);
    let names: Vec<_> = play.timers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["prune"]);
}

#[test]
fn an_acknowledgement_says_what_it_found() {
    let mut play = play(config());
    assert_eq!(acknowledge(&mut play, "inc-1"), Acknowledgement::Unknown);
    open(&mut play, "inc-1", Severity::Critical);
    assert_eq!(acknowledge(&mut play, "inc-1"), Acknowledgement::Acknowledged);
    let steps = journal(&play, "inc-1").len();
    assert_eq!(acknowledge(&mut play, "inc-1"), Acknowledgement::Acknowledged);
    assert_eq!(journal(&play, "inc-1").len(), steps, "done before");
    conclude(&mut play, "inc-1", Conclusion::Resolved);
    assert_eq!(acknowledge(&mut play, "inc-1"), Acknowledgement::Closed);
}

#[test]
fn a_delivery_is_journaled_and_counted() {
    let mut play = play(config());
    let effect = open(&mut play, "inc-1", Severity::Critical).effects::<Deliver>().remove(0);
    let recorded = finish(&mut play, &effect, Ok("answered 200".to_owned()));
    assert_eq!(fates(&play, "inc-1"), ["slack opened queued", "slack opened delivered"]);
    let observation = &recorded.observations()[0];
    assert_eq!(observation.metric, NOTIFICATIONS);
    assert_eq!(
        observation.labels,
        [("channel", "slack".to_owned()), ("result", "delivered".to_owned())]
    );
    let failed = finish(&mut play, &effect, Err(Undone::Expired("503".to_owned())));
    assert_eq!(failed.observations()[0].labels[1].1, "expired");
    assert_eq!(fates(&play, "inc-1")[2], "slack opened expired");
}

#[test]
fn a_critical_notification_that_slack_does_not_take_in_time_goes_by_mail_too() {
    let mut play = play(with_email(true));
    let slack = open(&mut play, "inc-1", Severity::Critical);
    assert_eq!(posts(&slack), ["slack: inc-1 opened"]);
    let began = play.now();
    assert_eq!(posts(&fire(&mut play)), ["email: inc-1 opened"]);
    assert_eq!(play.now(), began + Duration::from_secs(120));
    assert_eq!(fates(&play, "inc-1"), ["slack opened queued", "email opened fallback"]);

    let effect = slack.effects::<Deliver>().remove(0);
    let late = finish(&mut play, &effect, Err(Undone::Expired(String::new())));
    assert_eq!(posts(&late), [""; 0], "it went by mail once");
}

#[test]
fn a_critical_notification_that_slack_refuses_goes_by_mail_at_once() {
    let mut play = play(with_email(true));
    let effect = open(&mut play, "inc-1", Severity::Critical).effects::<Deliver>().remove(0);
    let refused = finish(&mut play, &effect, Err(Undone::Failed("answered 404".to_owned())));
    assert_eq!(posts(&refused), ["email: inc-1 opened"]);
}

#[test]
fn a_notification_that_was_taken_in_time_or_goes_by_mail_anyway_has_no_fallback() {
    let mut taken = play(with_email(true));
    let effect = open(&mut taken, "inc-1", Severity::Critical).effects::<Deliver>().remove(0);
    finish(&mut taken, &effect, Ok(String::new()));
    assert!(taken.timers().iter().all(|(name, _)| !name.starts_with("fallback")));

    let mut both = play(with_email(false));
    let posted = posts(&open(&mut both, "inc-1", Severity::Critical));
    assert_eq!(posted, ["slack: inc-1 opened", "email: inc-1 opened"]);
    assert!(both.timers().iter().all(|(name, _)| !name.starts_with("fallback")));
}

#[test]
fn containers_that_cannot_be_judged_are_one_digest_per_project() {
    let mut play = play(with_email(false));
    for name in ["a", "b"] {
        let (subject, at) = (subject(name, Some("shop")), play.now());
        let gaps = vec!["no_memory_limit".to_owned()];
        play.handle(AlertMessage::Coverage { subject, gaps, at }).unwrap();
    }
    let effects = fire(&mut play).effects::<Deliver>();
    assert_eq!(effects.len(), 1, "mail is told warnings and worse");
    assert_eq!(effects[0].notice.coverage.len(), 2);
    assert_eq!(effects[0].notice.change, Change::Coverage);
}

#[test]
fn without_channels_everything_is_kept_and_nothing_is_told() {
    let mut play = play(Config::default());
    assert_eq!(posts(&open(&mut play, "inc-1", Severity::Critical)), [""; 0]);
    assert_eq!(play.timers(), []);
    assert_eq!(journal(&play, "inc-1").len(), 1);
}

mod frozen;
mod retention;
