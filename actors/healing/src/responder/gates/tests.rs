use super::*;
use crate::model::{ContainerId, Subject};
use crate::responder::Exec;
use crate::responder::maintenance::{Raw, Window};
use crate::responder::past::Breaker;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);
const RUN: &str = "1970-01-12T13:40:00Z";

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_micros(NOW.as_micros() - seconds * 1_000_000)
}

fn facts() -> Facts {
    Facts {
        status: Status::Running,
        started_at: RUN.to_owned(),
        mode: Mode::Auto,
        ..Facts::default()
    }
}

fn subject() -> Subject {
    Subject { id: ContainerId("c1".to_owned()), name: "web-1".to_owned(), ..Subject::default() }
}

fn request() -> Request {
    Request {
        incident: IncidentId("inc-1".to_owned()),
        subject: subject(),
        facts: facts(),
        action: Action::Restart,
        confidence: 0.9,
        rule: "unhealthy".to_owned(),
        reason: "its health check fails".to_owned(),
        symptoms: vec![SymptomKind::Unhealthy],
        signature: "unhealthy".to_owned(),
        requested_at: ago(1),
        deadline: NOW + Duration::from_secs(60),
    }
}

/// Everything a case is made of, all gates open.
struct Given {
    request: Request,
    action: Action,
    rung: u32,
    standing: Option<Standing>,
    record: Option<Record>,
    node: Vec<Timestamp>,
    rival: Option<IncidentId>,
    project: Option<Project<'static>>,
    config: Config,
}

impl Given {
    fn new() -> Self {
        let standing = Standing {
            incident: IncidentId("inc-1".to_owned()),
            at: NOW,
            subject: subject(),
            facts: facts(),
            last_seen: Vec::new(),
            active: Vec::new(),
        };
        Self {
            request: request(),
            action: Action::Restart,
            rung: 1,
            standing: Some(standing),
            record: None,
            node: Vec::new(),
            rival: None,
            project: None,
            config: Config::default(),
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut given = Self::new();
        change(&mut given);
        given
    }

    fn facts(change: impl FnOnce(&mut Facts)) -> Self {
        Self::with(|given| change(&mut given.standing.as_mut().unwrap().facts))
    }

    fn record(record: Record) -> Self {
        Self::with(|given| given.record = Some(record))
    }

    fn rule(&self) -> Ruling {
        let case = Case {
            request: &self.request,
            action: &self.action,
            rung: self.rung,
            standing: self.standing.as_ref(),
            record: self.record.as_ref(),
            node_attempts: &self.node,
            rival: self.rival.as_ref(),
            project: self.project,
            now: NOW,
        };
        rule(&case, &self.config)
    }

    #[track_caller]
    fn held(&self) -> GateRecord {
        let ruling = self.rule();
        assert_ne!(ruling.decision, Decision::Act, "{ruling:?}");
        let last = ruling.records.last().unwrap().clone();
        assert!(!last.passed, "{ruling:?}");
        assert!(ruling.records.iter().rev().skip(1).all(|record| record.passed));
        last
    }

    #[track_caller]
    fn is_held_by(&self, gate: &str, reason: &str) {
        let held = self.held();
        assert_eq!(held.gate, gate, "{held:?}");
        assert!(held.reason.contains(reason), "{held:?}");
    }

    #[track_caller]
    fn passes(&self) {
        let ruling = self.rule();
        assert_eq!(ruling.decision, Decision::Act, "{:?}", ruling.records.last());
    }
}

#[test]
fn every_gate_is_asked_in_order_and_recorded_before_an_action() {
    let ruling = Given::new().rule();
    let names: Vec<_> = ruling.records.iter().map(|record| record.gate.as_str()).collect();
    let order = [
        "mode",
        "deadline",
        "identity",
        "operator_intent",
        "allow_list",
        "maintenance",
        "cooldown",
        "budget",
        "breaker",
        "one_at_a_time",
        "blast_radius",
        "dry_run",
    ];
    assert_eq!(names, order);
    assert_eq!(ruling.decision, Decision::Act);
    assert!(ruling.records.iter().all(|record| record.passed && !record.reason.is_empty()));
}

#[test]
fn observe_refuses_and_propose_proposes() {
    Given::facts(|facts| facts.mode = Mode::Observe).is_held_by("mode", "incidents");
    let proposes = Given::facts(|facts| facts.mode = Mode::Propose);
    proposes.is_held_by("mode", "would restart");
    assert_eq!(proposes.rule().decision, Decision::Propose);
}

#[test]
fn a_request_past_its_deadline_is_not_carried_out() {
    let late = |given: &mut Given| given.request.deadline = ago(90);
    Given::with(late).is_held_by("deadline", "expired 1m 30s ago");
    let mut second = Given::with(late);
    second.rung = 2;
    second.passes();
}

#[test]
fn what_cannot_be_read_is_held() {
    Given::with(|given| given.standing = None).is_held_by("identity", "no answer");
    Given::facts(|facts| facts.started_at.clear()).is_held_by("identity", "cannot be read");
    let stranger = |given: &mut Given| given.standing.as_mut().unwrap().subject.id.0.clear();
    Given::with(stranger).is_held_by("identity", "does not know");
    Given::facts(|facts| facts.status = Status::Gone).is_held_by("identity", "gone");
}

#[test]
fn another_run_than_the_one_judged_is_left_alone_unless_the_judgement_is_a_crash_loop() {
    let moved = |facts: &mut Facts| facts.started_at = "1970-01-12T13:46:00Z".to_owned();
    let mut given = Given::facts(moved);
    given.is_held_by("identity", "no longer the same run");
    given.request.symptoms.push(SymptomKind::CrashLoop);
    given.is_held_by("identity", "no longer the same run");
    given.standing.as_mut().unwrap().active = vec![SymptomKind::CrashLoop];
    given.passes();
}

#[test]
fn an_operators_decision_stands() {
    Given::facts(|facts| facts.stopped_by_operator = true)
        .is_held_by("operator_intent", "stopped it");
    Given::facts(|facts| facts.status = Status::Paused).is_held_by("operator_intent", "paused");
    Given::facts(|facts| facts.deploying = true).is_held_by("operator_intent", "deployed");
    let mut job = Given::facts(|facts| facts.one_shot = true);
    job.is_held_by("operator_intent", "runs once");
    job.action = Action::Cleanup;
    job.passes();
}

#[test]
fn a_command_is_run_only_if_its_whole_argument_vector_is_listed() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let allow = vec![words("df -h"), words("env")];
    let exec = |command: &str, enabled| {
        Given::with(|given| {
            given.action = Action::Exec(words(command));
            given.config.exec = Exec { enabled, allow: allow.clone(), ..Exec::default() };
        })
    };
    exec("df -h", true).passes();
    for refused in ["env sh -c reboot", "df", "df -h /", "DF -h"] {
        exec(refused, true).is_held_by("allow_list", "word for word");
    }
    exec("df -h", false).is_held_by("allow_list", "off");
}

#[test]
fn a_maintenance_window_holds_until_its_end() {
    let raw = Raw {
        start: Some("1970-01-12T13:00:00Z".to_owned()),
        end: Some("1970-01-12T14:00:00Z".to_owned()),
        reason: Some("backup".to_owned()),
        ..Raw::default()
    };
    let window = Window::try_from(raw).unwrap();
    let held = Given::with(|given| given.config.maintenance = vec![window]).held();
    assert_eq!(held.gate, "maintenance");
    assert!(held.reason.contains("(backup) for another 13m 20s"), "{held:?}");
    assert_eq!(held.until, Some(NOW + Duration::from_secs(800)));
}

#[test]
fn cooldown_holds_a_new_remediation_with_the_time_that_remains() {
    let given = Given::record(Record { ran: Some(ago(600)), ..Record::default() });
    let held = given.held();
    assert_eq!(held.gate, "cooldown");
    assert!(held.reason.ends_with("50m remain"), "{held:?}");
    assert_eq!(held.until, Some(NOW + Duration::from_secs(3000)));
    Given::record(Record { ran: Some(ago(3600)), ..Record::default() }).passes();
}

#[test]
fn cooldown_does_not_hold_the_next_rung_of_a_remediation_under_way() {
    let mut given = Given::record(Record { ran: Some(ago(60)), ..Record::default() });
    given.rung = 2;
    given.passes();
}

#[test]
fn the_containers_budget_counts_attempts_of_the_last_hour() {
    let attempts = |times: &[u64]| Record {
        attempts: times.iter().map(|seconds| ago(*seconds)).collect(),
        ..Record::default()
    };
    Given::record(attempts(&[3600, 3000, 2000])).passes();
    let held = Given::record(attempts(&[3000, 2000, 1000])).held();
    assert_eq!(held.gate, "budget");
    assert!(held.reason.contains("3 of 3 attempts this hour, the next in 10m"), "{held:?}");
    assert_eq!(held.until, Some(NOW + Duration::from_secs(600)));
}

#[test]
fn a_label_overrides_the_containers_budget_in_both_directions() {
    let attempts = vec![ago(3000), ago(2000), ago(1000)];
    let labelled = |max: u32, attempts: &[Timestamp]| {
        let mut given = Given::facts(|facts| facts.restart_max = Some(max));
        given.record = Some(Record { attempts: attempts.to_vec(), ..Record::default() });
        given
    };
    labelled(4, &attempts).passes();
    labelled(1, &attempts[..1]).is_held_by("budget", "1 of 1");
    labelled(0, &[]).is_held_by("budget", "no actions at all");
}

#[test]
fn the_nodes_budget_holds_whatever_the_container() {
    let given = Given::with(|given| given.node = vec![ago(10); 10]);
    given.is_held_by("budget", "budget of the node spent: 10 of 10");
}

#[test]
fn an_open_breaker_holds_and_a_half_open_one_lets_exactly_one_probe_through() {
    let breaker = |open_until, probe: Option<&str>| {
        let probe = probe.map(|probe| IncidentId(probe.to_owned()));
        Given::record(Record {
            breaker: Breaker { failures: 3, open_until, probe },
            ..Record::default()
        })
    };
    breaker(None, None).passes();
    let held = breaker(Some(NOW + Duration::from_secs(60)), None).held();
    assert_eq!((held.gate.as_str(), held.until), ("breaker", Some(NOW + Duration::from_secs(60))));
    breaker(Some(NOW), None).passes();
    breaker(Some(NOW), Some("inc-0")).is_held_by("breaker", "the probe is under way");
}

#[test]
fn only_one_remediation_of_a_container_is_under_way() {
    let rival = IncidentId("inc-0".to_owned());
    Given::with(|given| given.rival = Some(rival)).is_held_by("one_at_a_time", "inc-0");
}

#[test]
fn at_most_a_third_of_a_project_is_disturbed_and_one_of_a_small_project() {
    let cases = [
        (Some(1), 0, true),
        (Some(2), 0, true),
        (Some(2), 1, false),
        (Some(5), 1, false),
        (Some(6), 1, true),
        (Some(6), 2, false),
        (Some(9), 2, true),
        (None, 0, true),
        (None, 1, false),
    ];
    for (size, busy, passes) in cases {
        let project = Project { name: "shop", size, busy };
        let given = Given::with(|given| given.project = Some(project));
        if passes {
            given.passes();
        } else {
            given.is_held_by("blast_radius", "project shop");
        }
    }
}

#[test]
fn a_dry_run_passes_every_gate_and_is_not_an_action() {
    let ruling = Given::with(|given| given.config.dry_run = true).rule();
    assert_eq!(ruling.decision, Decision::Simulate);
    assert!(ruling.records.iter().all(|record| record.passed));
    assert!(ruling.records.last().unwrap().reason.contains("simulated"));
}
