//! What the Responder decides, turn by turn.

mod acting;
mod frozen;
mod holding;
mod ordering;
mod verifying;

use std::time::Duration;

use perennial_runtime::{Finished, Play, Recorded, Timestamp, Undone};

use super::audit::{ACTIONS, AuditEntry, Stage, verify_chain};
use super::effect::{AWAY, EngineAction};
use super::*;
use crate::alert::{Alert, AlertMessage, Entry};
use crate::analyzer::{Analyzer, AnalyzerMessage};
use crate::model::{ActionOutcome, Facts, Health, Mode, Status, Subject, SymptomKind};

const RUN: &str = "1970-01-12T13:40:00Z";

/// A Responder under test, and the container it is asked about.
struct Scene {
    play: Play<Responder>,
    id: String,
    project: Option<String>,
    facts: Facts,
    last_seen: Vec<(SymptomKind, Timestamp)>,
    active: Vec<SymptomKind>,
    asked: u32,
    /// How old the Monitor's answers are.
    seen_ago: Duration,
}

impl Scene {
    fn new(config: Config) -> Self {
        let facts = Facts {
            status: Status::Running,
            health: Health::Healthy,
            started_at: RUN.to_owned(),
            mode: Mode::Auto,
            ..Facts::default()
        };
        Self {
            play: Play::new(RESPONDER, config),
            id: "c1".to_owned(),
            project: None,
            facts,
            last_seen: Vec::new(),
            active: Vec::new(),
            asked: 0,
            seen_ago: Duration::ZERO,
        }
    }

    fn subject(&self) -> Subject {
        Subject {
            id: ContainerId(self.id.clone()),
            name: format!("{}-name", self.id),
            project: self.project.clone(),
            ..Subject::default()
        }
    }

    fn request(&self, incident: &str) -> Request {
        Request {
            incident: IncidentId(incident.to_owned()),
            subject: self.subject(),
            facts: self.facts.clone(),
            action: Action::Restart,
            confidence: 0.9,
            rule: "unhealthy".to_owned(),
            reason: "its health check fails".to_owned(),
            symptoms: vec![SymptomKind::Unhealthy],
            signature: "unhealthy".to_owned(),
            requested_at: self.play.now(),
            deadline: self.play.now() + Duration::from_secs(60),
        }
    }

    fn tell(&mut self, message: ResponderMessage) -> Recorded {
        self.play.handle(message).unwrap()
    }

    fn standing(&mut self, incident: &str) -> Recorded {
        let standing = Standing {
            incident: IncidentId(incident.to_owned()),
            at: Timestamp::EPOCH + self.play.now().since(Timestamp::EPOCH + self.seen_ago),
            subject: self.subject(),
            facts: self.facts.clone(),
            last_seen: self.last_seen.clone(),
            active: self.active.clone(),
        };
        self.tell(ResponderMessage::Standing(standing))
    }

    /// A new request, answered by the Monitor: what the turn of the gates recorded.
    fn ask(&mut self) -> Recorded {
        self.asked += 1;
        let incident = self.incident();
        let request = self.request(&incident);
        self.tell(ResponderMessage::Remediate(request));
        self.standing(&incident)
    }

    /// The incident of the last [`Scene::ask`].
    fn incident(&self) -> String {
        format!("inc-{}", self.asked)
    }

    fn finish(&mut self, effect: &EngineAction, result: Result<ActionOutcome, Undone>) -> Recorded {
        let key = serde_json::from_str("\"00\"").unwrap();
        let effect = effect.clone();
        self.tell(ResponderMessage::Finished(Finished { effect, key, attempts: 1, result }))
    }

    /// The action was done, and the Monitor has heard of what it began.
    fn done(&mut self, effect: &EngineAction) -> Recorded {
        if matches!(effect.action, Action::Restart | Action::Start) {
            self.facts.started_at = self.engine_time();
        }
        self.finish(effect, Ok(ActionOutcome::Done("restarted".to_owned())))
    }

    /// Now, as the engine writes it.
    fn engine_time(&self) -> String {
        let micros = i64::try_from(self.play.now().as_micros()).unwrap();
        jiff::Timestamp::from_microsecond(micros).unwrap().to_string()
    }

    /// Asks, acts, and lets the window pass; returns what the look at its end recorded.
    fn remediate(&mut self) -> Recorded {
        let effect = only(self.ask().effects::<EngineAction>());
        self.done(&effect);
        self.verify()
    }

    /// Fires the timer of the window and answers the Monitor's part.
    fn verify(&mut self) -> Recorded {
        self.play.fire_next_timer().unwrap();
        let incident = self.incident();
        self.standing(&incident)
    }

    /// Fires the timer of the back-off and answers the Monitor's part.
    fn next_rung(&mut self) -> Recorded {
        self.verify()
    }

    /// The Monitor gives no answer, and none when it is asked again.
    fn silence(&mut self) -> Recorded {
        let again = self.play.fire_next_timer().unwrap();
        assert_eq!(again.sent::<Monitor>().len(), 1, "one silence is no answer yet");
        self.play.fire_next_timer().unwrap()
    }

    fn sick(&mut self) {
        self.facts.health = Health::Unhealthy;
        self.active = vec![SymptomKind::Unhealthy];
    }

    fn audit(&self) -> Vec<AuditEntry> {
        let entries = self.play.rows(&ACTIONS).unwrap();
        assert_eq!(verify_chain(&entries), Ok(()));
        entries
    }

    fn stages(&self) -> Vec<&'static str> {
        self.audit().iter().map(|entry| entry.stage.as_str()).collect()
    }
}

#[track_caller]
fn only<T: std::fmt::Debug>(mut all: Vec<T>) -> T {
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn entries(recorded: &Recorded) -> Vec<Entry> {
    let sent = recorded.sent::<Alert>();
    let entry = |(_, message)| {
        if let AlertMessage::Record { entry, .. } = message { Some(entry) } else { None }
    };
    sent.into_iter().filter_map(entry).collect()
}

fn conclusion(recorded: &Recorded) -> Option<(String, Conclusion, Option<Timestamp>)> {
    recorded.sent::<Analyzer>().into_iter().find_map(|(key, message)| {
        if let AnalyzerMessage::Concluded { conclusion, until, .. } = message {
            return Some((key, conclusion, until));
        }
        None
    })
}

#[track_caller]
fn escalated(recorded: &Recorded) -> String {
    match conclusion(recorded) {
        Some((_, Conclusion::Escalated(why), _)) => why,
        other => panic!("not escalated: {other:?}"),
    }
}

#[track_caller]
fn suppressed(recorded: &Recorded) -> (String, Option<Timestamp>) {
    assert!(recorded.effects::<EngineAction>().is_empty());
    match conclusion(recorded) {
        Some((_, Conclusion::Suppressed(why), until)) => (why, until),
        other => panic!("not suppressed: {other:?}"),
    }
}

fn counted(recorded: &Recorded, metric: &str) -> Vec<String> {
    let all = recorded.observations().iter().filter(|seen| seen.metric == metric);
    let labels = |seen: &perennial_runtime::Observation| {
        seen.labels.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
    };
    all.map(labels).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
