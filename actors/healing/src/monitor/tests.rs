use std::time::Duration;

use perennial_runtime::{Play, Recorded};

use super::*;
use crate::alert::{Alert, AlertMessage};
use crate::analyzer::{Analyzer, AnalyzerMessage, SymptomReport};
use crate::model::{ContainerId, Health, IncidentId, RestartPolicy, Severity};

const ID: &str = "c0ffee";

/// One container's Monitor, and the container as the engine would show it.
struct Scene {
    play: Play<Monitor>,
    seen: Inspection,
    runs: u64,
}

fn second(time: Timestamp) -> String {
    let micros = i64::try_from(time.as_micros()).unwrap();
    jiff::Timestamp::from_microsecond(micros).unwrap().to_string()
}

impl Scene {
    /// A running service with limit and health check, watched for a while.
    fn new(restart_policy: RestartPolicy) -> Self {
        let facts = Facts {
            status: Status::Running,
            health: Health::Healthy,
            restart_policy,
            memory_limit: Some(100 << 20),
            cpus: Some(1.0),
            ..Facts::default()
        };
        let subject =
            Subject { id: ContainerId(ID.into()), name: "web".into(), ..Subject::default() };
        let seen = Inspection { subject, facts, has_health_check: true, ..Inspection::default() };
        let mut scene = Self { play: Play::new(ID, Config::default()), seen, runs: 0 };
        scene.seen.created_at = scene.play.now();
        scene.begin_run();
        scene
    }

    fn begin_run(&mut self) {
        self.runs += 1;
        self.seen.facts.status = Status::Running;
        self.seen.facts.exit_code = None;
        self.seen.facts.oom_killed = false;
        self.seen.facts.started_at = second(self.play.now());
    }

    fn wait(&mut self, seconds: u64) {
        self.play.advance(Duration::from_secs(seconds));
    }

    fn look(&mut self) -> Recorded {
        self.seen.at = self.play.now();
        self.play.handle(MonitorMessage::Listed(self.seen.clone())).unwrap()
    }

    /// The event happens now, and the container is inspected at once.
    fn event(&mut self, kind: EventKind) -> Recorded {
        self.seen.at = self.play.now();
        let event = ContainerEvent { at: self.play.now(), kind };
        self.play.handle(MonitorMessage::Event(event, Some(self.seen.clone()))).unwrap()
    }

    fn die(&mut self, code: i64) -> Recorded {
        self.end(code);
        self.event(EventKind::Die(code))
    }

    /// The engine's restart policy brings it back.
    fn die_and_come_back(&mut self, code: i64) -> (Recorded, Recorded) {
        self.seen.facts.status = Status::Restarting;
        self.seen.facts.exit_code = Some(code);
        self.seen.facts.restart_count += 1;
        let died = self.event(EventKind::Die(code));
        self.wait(1);
        (died, self.start())
    }

    fn start(&mut self) -> Recorded {
        self.begin_run();
        self.event(EventKind::Start)
    }

    fn sample(&mut self, cpu_seconds: f64, mib: u64) -> Recorded {
        let sample = Sample {
            at: self.play.now(),
            started_at: self.seen.facts.started_at.clone(),
            cpu_total_ns: (cpu_seconds * 1e9) as u64,
            memory_bytes: mib << 20,
            memory_limit: self.seen.facts.memory_limit,
            host_cpus: 2,
            ..Sample::default()
        };
        self.play.handle(MonitorMessage::Sampled(sample)).unwrap()
    }

    fn sample_on(&mut self, host: Option<HostMemory>, mib: u64) -> Recorded {
        let sample = Sample {
            at: self.play.now(),
            started_at: self.seen.facts.started_at.clone(),
            memory_bytes: mib << 20,
            host_cpus: 2,
            host,
            ..Sample::default()
        };
        self.play.handle(MonitorMessage::Sampled(sample)).unwrap()
    }

    /// The Responder asks how it stands.
    fn ask(&mut self) -> Recorded {
        let incident = IncidentId("inc-1".into());
        self.play.handle(MonitorMessage::Report { incident }).unwrap()
    }

    /// It ends by itself, and nobody has been told yet.
    fn end(&mut self, code: i64) {
        self.seen.facts.status = Status::Exited;
        self.seen.facts.exit_code = Some(code);
        self.seen.facts.finished_at = second(self.play.now());
    }

    fn row(&self) -> Option<ContainerRow> {
        self.play.row(&CONTAINERS, ID).unwrap()
    }
}

fn reports(turn: &Recorded) -> Vec<SymptomReport> {
    let sent = turn.sent::<Analyzer>().into_iter();
    let report = |(_, message)| {
        if let AnalyzerMessage::Symptoms(report) = message { Some(report) } else { None }
    };
    sent.filter_map(report).collect()
}

fn raised(turn: &Recorded) -> Vec<SymptomKind> {
    reports(turn).iter().flat_map(|report| report.raised.iter().map(|s| s.kind)).collect()
}

fn cleared(turn: &Recorded) -> Vec<SymptomKind> {
    reports(turn).iter().flat_map(|report| report.cleared.clone()).collect()
}

fn withdrawn(turn: &Recorded) -> usize {
    let sent = turn.sent::<Analyzer>();
    sent.iter().filter(|(_, message)| matches!(message, AnalyzerMessage::Withdrawn { .. })).count()
}

/// The answer to a report, which goes by way of the Analyzer.
fn standing(turn: &Recorded) -> Option<Standing> {
    turn.sent::<Analyzer>().into_iter().find_map(|(_, message)| {
        if let AnalyzerMessage::Standing(standing) = message { Some(standing) } else { None }
    })
}

fn silent(turn: &Recorded) -> bool {
    turn.sent::<Analyzer>().is_empty()
}

mod ends;
mod frozen;
mod runs;
mod standing;
mod windows;
mod wishes;
