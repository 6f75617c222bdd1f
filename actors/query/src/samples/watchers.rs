//! Who has queries done, and is told of them: schedules and conversations.

use super::*;

fn watcher() -> Watcher {
    Watcher::Schedule { name: "nightly".to_owned(), due: at(5) }
}

#[test]
fn the_format_of_who_is_told_of_a_query_is_frozen() {
    frozen("query/watchers", WATCHERS.version(), &vec![watcher()]);
    let submit = AdmissionMessage::SubmitFor {
        submission: Box::new(submission(Origin::Schedule("nightly".to_owned()))),
        watcher: watcher(),
    };
    for version in [3, Admission::VERSION] {
        frozen("query/admission-message-for", version, &submit);
    }
    let watch = OrchestratorMessage::Watch(watcher());
    frozen("query/orchestrator-message-watch", Orchestrator::VERSION, &watch);
}

#[test]
fn the_format_of_schedules_is_frozen() {
    let last = Firing {
        due: at(1),
        at: at(2),
        by: Some("ann".to_owned()),
        query: Some("q-1".to_owned()),
        outcome: Some(Outcome::Succeeded),
    };
    let row = ScheduleRow {
        name: "nightly".to_owned(),
        paused_by: Some("ann".to_owned()),
        next: Some(at(3)),
        last: Some(last),
        fired: 1,
        missed: 2,
        overlapped: 3,
        refused: 4,
        note: "because".to_owned(),
        noted_at: Some(at(4)),
    };
    frozen("query/schedule", SCHEDULES.version(), &row);
    frozen("query/schedule-state", Schedule::VERSION, &Schedule::sample(row));
    let mut messages = vec![
        ScheduleMessage::Look,
        ScheduleMessage::Due(at(1)),
        ScheduleMessage::Again,
        ScheduleMessage::Admitted { due: at(1), admitted: Admitted::Full { waiting: 9 } },
        ScheduleMessage::Ended { due: at(1), query: "q-1".to_owned(), outcome: Outcome::Failed },
    ];
    let orders = [ScheduleOrder::Pause, ScheduleOrder::Resume, ScheduleOrder::Fire];
    let by = || "ann".to_owned();
    messages.extend(orders.map(|order| ScheduleMessage::Order { by: by(), order }));
    frozen("query/schedule-message", Schedule::VERSION, &messages);
    let ordered = vec![
        ScheduleOrdered::Done,
        ScheduleOrdered::Fires(at(1)),
        ScheduleOrdered::Unknown,
        ScheduleOrdered::Conflict("why".to_owned()),
    ];
    frozen("query/schedule-ordered", Schedule::VERSION, &ordered);
}
