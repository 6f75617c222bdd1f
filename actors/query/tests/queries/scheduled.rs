//! What is done at which times.

use std::sync::Arc;
use std::time::Duration;

use perennial_query::config::Config;
use perennial_query::question::Planner;
use perennial_query::record::{Outcome, QueryRow};
use perennial_query::schedule::{
    CatchUp, Definitions, Overlap, SCHEDULES, Schedule, ScheduleMessage, ScheduleOrder,
    ScheduleOrdered, ScheduleRow, Written, begin, define,
};
use perennial_runtime::{ManualClock, Timestamp};

use crate::world::{Node, PATIENCE, Say};

/// 2026-01-01T00:00:30Z.
const START: Timestamp = Timestamp::from_micros(1_767_225_630_000_000);
const MINUTE: Duration = Duration::from_secs(60);

/// Minutes after midnight of that day.
fn minute(minutes: u64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + minutes * 60_000_000)
}

fn every_minute() -> Written {
    Written {
        name: "tick".to_owned(),
        cron: "* * * * *".to_owned(),
        pipeline: "tick".to_owned(),
        role: "insider".to_owned(),
        catch_up: Some(CatchUp::Skip),
        ..Written::default()
    }
}

fn waiting(written: Written) -> Written {
    Written { pipeline: "wait".to_owned(), ..written }
}

fn definitions(written: &[Written]) -> Definitions {
    let planner =
        Planner { roles: Node::roles(), catalogue: Say::catalogue(), ..Planner::default() };
    let pipelines = |name: &str| {
        let waits = if name == "wait" { ", waits: true" } else { "" };
        Ok(format!(
            "name: {name}\ninputs: {{due: {{type: string}}}}\nsteps:\n  - id: s\n    tool: say\n    \
             arguments: {{text: \"{{{{ inputs.due[11:16] }}}}\"{waits}}}\n"
        ))
    };
    define(written, Arc::new(planner), pipelines).unwrap()
}

struct World {
    node: Node,
    clock: ManualClock,
}

impl World {
    async fn with(written: Written) -> Self {
        Self::of(Config::default(), written).await
    }

    async fn of(config: Config, written: Written) -> Self {
        let clock = ManualClock::at(START);
        let definitions = definitions(&[written]);
        let node = Node::scheduled(None, &clock, config, definitions.clone()).await;
        begin(&node.runtime, &definitions).await.unwrap();
        Self { node, clock }
    }

    /// The node dies; another one begins `down` later, with these schedules.
    async fn again(self, down: Duration, written: &[Written]) -> Self {
        self.clock.advance(down);
        let definitions = definitions(written);
        let node =
            Node::scheduled(Some(&self.node), &self.clock, Config::default(), definitions.clone());
        let node = node.await;
        begin(&node.runtime, &definitions).await.unwrap();
        Self { node, clock: self.clock }
    }

    fn row(&self) -> Option<ScheduleRow> {
        self.node.runtime.tables().get(&SCHEDULES, "tick").unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&ScheduleRow) -> bool) -> ScheduleRow {
        self.node.until(what, |_| self.row().filter(&holds)).await
    }

    async fn until_said(&self, wanted: &[&str]) {
        self.node.until_said(wanted.len()).await;
        assert_eq!(self.node.outside.said(), wanted);
    }

    async fn order(&self, order: ScheduleOrder) -> ScheduleOrdered {
        let message = ScheduleMessage::Order { by: "ann".to_owned(), order };
        let ask = self.node.runtime.ask::<Schedule, ScheduleOrdered>("tick", &message, PATIENCE);
        ask.await.unwrap()
    }

    fn query(&self, row: &ScheduleRow) -> QueryRow {
        let id = row.last.as_ref().and_then(|last| last.query.clone()).unwrap();
        self.node.row(&id).unwrap()
    }
}

#[tokio::test]
async fn a_schedule_submits_its_query_when_it_is_due_and_knows_what_came_of_it() {
    let world = World::with(every_minute()).await;
    let row = world.until("it is planned", |row| row.next.is_some()).await;
    assert_eq!((row.next, &row.last), (Some(minute(1)), &None));
    world.clock.advance(MINUTE);
    let ended = |row: &ScheduleRow| row.last.as_ref().is_some_and(|last| last.outcome.is_some());
    let row = world.until("it was done", ended).await;
    let last = row.last.clone().unwrap();
    assert_eq!((last.due, last.outcome, last.by), (minute(1), Some(Outcome::Succeeded), None));
    assert_eq!((row.next, row.fired, row.missed), (Some(minute(2)), 1, 0));
    let query = world.query(&row);
    assert_eq!((query.origin.as_str(), query.identity.role.as_str()), ("schedule", "insider"));
    assert_eq!(query.identity.name, "schedule:tick");
    world.until_said(&["00:01"]).await;
}

#[tokio::test]
async fn each_time_is_done_once_whatever_dies() {
    let written = Written { catch_up: Some(CatchUp::All), ..waiting(every_minute()) };
    let written = Written { overlap: Overlap::Allow, ..written };
    let world = World::with(written.clone()).await;
    world.until("it is planned", |row| row.next.is_some()).await;
    world.clock.advance(MINUTE);
    world.node.until_said(1).await;
    let mut world = world.again(Duration::ZERO, std::slice::from_ref(&written)).await;
    world
        .node
        .until("the call is made again", |node| (node.outside.running() > 0).then_some(()))
        .await;
    for _ in 0..3 {
        world = world.again(Duration::ZERO, std::slice::from_ref(&written)).await;
        world.node.until("it is called", |node| (node.outside.running() > 0).then_some(())).await;
    }
    world.node.outside.gate.add_permits(100);
    let ended = |row: &ScheduleRow| row.last.as_ref().is_some_and(|last| last.outcome.is_some());
    let row = world.until("it was done", ended).await;
    assert_eq!((row.fired, row.missed), (1, 0));
    let queries = world.node.runtime.tables().scan(&perennial_query::record::QUERIES, b"", 10);
    assert_eq!(queries.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_missed_is_skipped_and_told_if_the_policy_says_so() {
    let world = World::with(every_minute()).await;
    world.until("it is planned", |row| row.next.is_some()).await;
    let nightly = Written { cron: "0 1 * * *".to_owned(), ..every_minute() };
    let world = world.again(Duration::ZERO, std::slice::from_ref(&nightly)).await;
    world.until("it is another", |row| row.next == Some(minute(60))).await;
    let down = Duration::from_secs(3 * 24 * 3600 + 2 * 3600);
    let world = world.again(down, &[nightly]).await;
    let row = world.until("it has noticed", |row| row.missed > 0).await;
    assert_eq!((row.missed, row.fired), (4, 0));
    assert_eq!(row.next, Some(minute(4 * 24 * 60 + 60)));
    let told = "4 of the times from 2026-01-01T01:00:00Z on were missed and are not made up for";
    assert!(row.note.starts_with(told), "{}", row.note);
    assert!(world.node.outside.said().is_empty());
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_once_by_the_latest() {
    let written = Written {
        cron: "*/10 * * * *".to_owned(),
        catch_up: Some(CatchUp::Once),
        ..every_minute()
    };
    let world = World::with(written.clone()).await;
    world.until("it is planned", |row| row.next.is_some()).await;
    let world = world.again(Duration::from_secs(35 * 60), &[written]).await;
    let row = world.until("it was done", |row| row.fired > 0).await;
    assert_eq!((row.missed, row.fired, row.next), (2, 1, Some(minute(40))));
    world.until_said(&["00:30"]).await;
    let warnings = world.query(&row).warnings;
    assert_eq!(warnings.last().map(String::as_str), Some("it was due at 2026-01-01T00:30:00Z"));
}

#[tokio::test]
async fn all_that_was_missed_is_made_up_for_one_after_the_other_up_to_a_bound() {
    let written = Written {
        cron: "*/10 * * * *".to_owned(),
        catch_up: Some(CatchUp::All),
        at_most: 3,
        ..every_minute()
    };
    let world = World::with(written.clone()).await;
    world.until("it is planned", |row| row.next.is_some()).await;
    let world = world.again(Duration::from_secs(55 * 60), &[written]).await;
    let row = world.until("all was done", |row| row.fired == 3).await;
    assert_eq!((row.missed, row.overlapped, row.next), (2, 0, Some(minute(60))));
    world.until_said(&["00:30", "00:40", "00:50"]).await;
}

#[tokio::test]
async fn a_time_at_which_the_query_before_has_not_ended_is_passed_over_and_told() {
    let world = World::with(waiting(every_minute())).await;
    world.until("it is planned", |row| row.next.is_some()).await;
    world.clock.advance(MINUTE);
    world.node.until_said(1).await;
    // The first query must not run into its own time limit meanwhile.
    world.clock.advance(Duration::from_secs(31));
    let row = world.until("it is passed over", |row| row.overlapped == 1).await;
    assert!(row.note.contains("nothing was done for 2026-01-01T00:02:00Z"), "{}", row.note);
    assert_eq!(row.next, Some(minute(3)));
    let order = world.order(ScheduleOrder::Fire).await;
    assert!(matches!(order, ScheduleOrdered::Conflict(_)), "{order:?}");
    world.node.outside.gate.add_permits(10);
    let ended = |row: &ScheduleRow| row.last.as_ref().is_some_and(|last| last.outcome.is_some());
    world.until("it has ended", ended).await;
    world.clock.advance(MINUTE);
    world.until_said(&["00:01", "00:03"]).await;
}

#[tokio::test]
async fn a_time_at_which_the_query_before_has_not_ended_is_done_beside_it_if_that_is_allowed() {
    let written = Written { overlap: Overlap::Allow, ..waiting(every_minute()) };
    let world = World::with(written).await;
    world.until("it is planned", |row| row.next.is_some()).await;
    world.clock.advance(MINUTE);
    world.node.until_said(1).await;
    world.clock.advance(Duration::from_secs(31));
    world.until_said(&["00:01", "00:02"]).await;
    assert_eq!(world.node.outside.running(), 2);
    world.node.outside.gate.add_permits(10);
}

#[tokio::test]
async fn a_paused_schedule_does_nothing_across_restarts_until_somebody_resumes_it() {
    let written = Written { catch_up: Some(CatchUp::All), ..every_minute() };
    let world = World::with(written.clone()).await;
    assert_eq!(world.order(ScheduleOrder::Pause).await, ScheduleOrdered::Done);
    let world = world.again(MINUTE * 10, &[written]).await;
    let row = world.until("it is still paused", |row| row.paused_by.is_some()).await;
    assert_eq!((row.paused_by.as_deref(), row.next), (Some("ann"), None));
    let fires = world.order(ScheduleOrder::Fire).await;
    assert!(matches!(fires, ScheduleOrdered::Fires(_)), "{fires:?}");
    world.until_said(&["00:10"]).await;
    assert_eq!(world.order(ScheduleOrder::Resume).await, ScheduleOrdered::Done);
    let row = world.until("it goes on", |row| row.next.is_some()).await;
    assert_eq!((row.next, row.missed), (Some(minute(11)), 0));
    let last = row.last.unwrap();
    assert_eq!((last.by.as_deref(), last.due), (Some("ann"), last.at));
}

#[tokio::test]
async fn a_definition_that_is_changed_or_removed_takes_effect_when_the_node_starts() {
    let world = World::with(every_minute()).await;
    world.until("it is planned", |row| row.next == Some(minute(1))).await;
    let later = Written { cron: "30 12 * * *".to_owned(), ..every_minute() };
    let world = world.again(MINUTE * 5, std::slice::from_ref(&later)).await;
    let row = world.until("it is another", |row| row.next == Some(minute(750))).await;
    assert_eq!((row.fired, row.missed), (0, 0), "the times before were those of another one");
    let off = Written { enabled: false, ..later };
    let world = world.again(MINUTE, &[off]).await;
    world.until("it is off", |row| row.next.is_none()).await;
    let world = world.again(MINUTE, &[]).await;
    world.node.until("it is gone", |_| world.row().is_none().then_some(())).await;
    assert_eq!(world.order(ScheduleOrder::Fire).await, ScheduleOrdered::Unknown);
    assert!(world.node.outside.said().is_empty());
}

#[tokio::test]
async fn what_finds_no_place_in_the_queue_is_submitted_again() {
    let timeout = Duration::from_secs(3600);
    let config = Config { max_concurrent: 1, queue: 1, timeout, ..Config::default() };
    let written = Written { overlap: Overlap::Allow, ..waiting(every_minute()) };
    let world = World::of(config, written).await;
    world.until("it is planned", |row| row.next.is_some()).await;
    for round in 1..=3_u64 {
        world.clock.advance(if round == 1 { MINUTE } else { Duration::from_secs(31) });
        world.until("it is due", |row| row.next > Some(minute(round))).await;
        world.clock.advance(Duration::from_secs(29));
    }
    let row = world.until("there is no place", |row| row.note.contains("wait already")).await;
    assert_eq!(row.fired, 2);
    world.node.outside.gate.add_permits(10);
    world
        .node
        .until("the first has ended", |node| (node.outside.running() == 0).then_some(()))
        .await;
    world.clock.advance(Duration::from_secs(10));
    world.until("it was taken in", |row| row.fired >= 3).await;
}
