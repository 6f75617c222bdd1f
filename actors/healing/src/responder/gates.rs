//! Whether an action may be done: pure, in a fixed order, each answer recorded with its reason. The
//! first gate that holds ends it. What cannot be read is held.

use std::time::Duration;

use perennial_runtime::Timestamp;

use crate::model::{Action, Facts, GateRecord, IncidentId, Mode, Status, SymptomKind};
use crate::monitor::Standing;
use crate::responder::past::{HOUR, Record, within_the_hour};
use crate::responder::{Config, Request};

/// Everything the gates look at.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What the Analyzer asked for.
    pub request: &'a Request,
    /// What this rung would do.
    pub action: &'a Action,
    /// Which rung, from 1.
    pub rung: u32,
    /// What the Monitor answered at the start of this rung; none if it did not.
    pub standing: Option<&'a Standing>,
    /// The container's past; none if it was never acted on.
    pub record: Option<&'a Record>,
    /// Attempts on the whole node within the hour, oldest first.
    pub node_attempts: &'a [Timestamp],
    /// Another incident's remediation of the same container that is under way.
    pub rival: Option<&'a IncidentId>,
    /// Its Compose project's containers, and how many others of them are being acted on, watched
    /// after an action or were acted on recently; none outside of a project.
    pub project: Option<Project<'a>>,
    /// When.
    pub now: Timestamp,
}

/// A Compose project, as far as its other containers are disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Project<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its containers, as far as the last census knows; none before the first one.
    pub size: Option<u32>,
    /// Containers of it that are disturbed, this one not counted.
    pub busy: u32,
}

/// What the gates decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// What each gate said, in order; the last one held unless all passed.
    pub records: Vec<GateRecord>,
    /// What follows.
    pub decision: Decision,
}

/// What follows from the gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every gate passed: act.
    Act,
    /// Every gate passed, and dry run is on.
    Simulate,
    /// Mode `propose`.
    Propose,
    /// A gate held.
    Hold,
}

/// Why a gate holds, and until when if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    reason: String,
    until: Option<Timestamp>,
}

type Answer = Result<String, Held>;
type Gate = (&'static str, fn(&Case<'_>, &Config) -> Answer);

/// In the order in which they are asked: what was decided about the container comes first, then what
/// is known of it, then what has been done already, and dry run after everything.
const GATES: [Gate; 12] = [
    ("mode", mode),
    ("deadline", deadline),
    ("identity", identity),
    ("operator_intent", operator_intent),
    ("allow_list", allow_list),
    ("maintenance", maintenance),
    ("cooldown", cooldown),
    ("budget", budget),
    ("breaker", breaker),
    ("one_at_a_time", one_at_a_time),
    ("blast_radius", blast_radius),
    ("dry_run", dry_run),
];

/// The names of all gates, in the order in which they are asked.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    GATES.iter().map(|(name, _)| *name)
}

/// Asks the gates in order, up to the first that holds.
#[must_use]
pub fn rule(case: &Case<'_>, config: &Config) -> Ruling {
    let mut records = Vec::with_capacity(GATES.len());
    for (gate, ask) in GATES {
        let answer = ask(case, config);
        let passed = answer.is_ok();
        let (reason, until) = match answer {
            Ok(reason) => (reason, None),
            Err(held) => (held.reason, held.until),
        };
        records.push(GateRecord { gate: gate.to_owned(), passed, reason, until });
        if !passed {
            let proposes = gate == "mode" && case.mode() == Mode::Propose;
            let decision = if proposes { Decision::Propose } else { Decision::Hold };
            return Ruling { records, decision };
        }
    }
    let decision = if config.dry_run { Decision::Simulate } else { Decision::Act };
    Ruling { records, decision }
}

impl Case<'_> {
    /// The latest facts: the Monitor's, or without them the request's.
    fn facts(&self) -> &Facts {
        self.standing.map_or(&self.request.facts, |standing| &standing.facts)
    }

    fn mode(&self) -> Mode {
        self.facts().mode
    }
}

fn mode(case: &Case<'_>, _: &Config) -> Answer {
    match case.mode() {
        Mode::Auto => Ok("mode auto: acts within the gates".to_owned()),
        Mode::Propose => {
            hold(format!("mode propose: would {}, and does not", case.action.as_str()))
        }
        Mode::Observe => hold("mode observe: incidents and notifications only"),
    }
}

/// The request's deadline guards its first action, which rests on what was known when it was asked
/// for. Each further rung rests on what the Monitor answered at its own start.
fn deadline(case: &Case<'_>, _: &Config) -> Answer {
    let (deadline, now) = (case.request.deadline, case.now);
    if case.rung > 1 {
        return Ok("a further rung rests on a new answer of the Monitor".to_owned());
    }
    if now > deadline {
        return hold(format!("the request expired {} ago", human(now.since(deadline))));
    }
    Ok(format!("{} before the request expires", human(deadline.since(now))))
}

/// The first action is meant for the run that was judged. A crash loop is a judgement about many
/// runs: while it lasts, the newest run is as sick as the one that was judged. Further rungs are
/// meant for the run that the Monitor just named.
fn identity(case: &Case<'_>, _: &Config) -> Answer {
    let Some(standing) = case.standing else {
        return hold("the container's state cannot be read: the Monitor gave no answer");
    };
    if standing.subject.id != case.request.subject.id {
        return hold("the Monitor does not know this container");
    }
    let (judged, runs) = (&case.request.facts.started_at, &standing.facts.started_at);
    if runs.is_empty() {
        return hold("the container's state cannot be read: it is not known when it was started");
    }
    match standing.facts.status {
        Status::Gone | Status::Removing => return hold("the container is gone"),
        Status::Created
        | Status::Running
        | Status::Paused
        | Status::Restarting
        | Status::Exited
        | Status::Dead => {}
    }
    let loops = |kinds: &[SymptomKind]| kinds.contains(&SymptomKind::CrashLoop);
    if case.rung > 1 {
        return Ok(format!("fenced to the run of {runs}, after a look at the container"));
    }
    if runs == judged {
        return Ok(format!("still the run of {runs}"));
    }
    if loops(&standing.active) && loops(&case.request.symptoms) {
        return Ok(format!("another run of the same crash loop: fenced to the run of {runs}"));
    }
    hold(format!("no longer the same run: started {runs}, judged was the run of {judged}"))
}

fn operator_intent(case: &Case<'_>, _: &Config) -> Answer {
    let facts = case.facts();
    if facts.stopped_by_operator {
        return hold("an operator stopped it and has not started it since");
    }
    if facts.status == Status::Paused {
        return hold("an operator paused it");
    }
    if facts.deploying {
        return hold("it is being deployed");
    }
    let runs_it = matches!(case.action, Action::Restart | Action::Start);
    if facts.one_shot && runs_it {
        return hold("it runs once and ends: running it again could do its work twice");
    }
    Ok("no operator's decision stands against it".to_owned())
}

fn allow_list(case: &Case<'_>, config: &Config) -> Answer {
    match case.action {
        Action::Exec(command) => match exec_allowed(command, config) {
            Ok(()) => Ok("the command is on the allow-list".to_owned()),
            Err(reason) => hold(reason),
        },
        Action::Restart | Action::Start | Action::Stop | Action::Scale | Action::Cleanup => {
            Ok("runs no command in the container".to_owned())
        }
    }
}

/// Whether `command` may be run: the whole argument vector must be listed, word for word. No prefix
/// and no program name is enough, since `env`, `nice` or `timeout` would run anything.
///
/// # Errors
/// Why not.
pub fn exec_allowed(command: &[String], config: &Config) -> Result<(), String> {
    if !config.exec.enabled {
        return Err("running commands is off: see responder.exec.enabled".to_owned());
    }
    if command.is_empty() || !config.exec.allow.iter().any(|allowed| allowed == command) {
        return Err(
            "the command is not on the allow-list, word for word: see responder.exec.allow"
                .to_owned(),
        );
    }
    Ok(())
}

fn maintenance(case: &Case<'_>, config: &Config) -> Answer {
    let name = &case.request.subject.name;
    let mut windows = config.maintenance.iter();
    let held = windows.find_map(|window| Some((window.until(name, case.now)?, window.reason())));
    match held {
        None => Ok("in no maintenance window".to_owned()),
        Some((until, reason)) => Err(Held {
            reason: format!(
                "in a maintenance window ({reason}) for another {}",
                human(until.since(case.now))
            ),
            until: Some(until),
        }),
    }
}

/// The cooldown guards against a new remediation of a container that an action has just been done
/// to. Between the rungs of one remediation the ladder's own back-off stands in its place, and the
/// budget bounds both: otherwise no second rung could ever be tried.
fn cooldown(case: &Case<'_>, config: &Config) -> Answer {
    if case.rung > 1 {
        return Ok(format!("rung {} of a remediation under way: its back-off is over", case.rung));
    }
    let Some(ran) = case.record.and_then(|record| record.ran) else {
        return Ok("no action was done to it lately".to_owned());
    };
    let until = ran + config.cooldown;
    if case.now < until {
        let reason = format!(
            "cooldown of {} after the last action: {} remain",
            human(config.cooldown),
            human(until.since(case.now))
        );
        return Err(Held { reason, until: Some(until) });
    }
    Ok(format!("the last action was {} ago", human(case.now.since(ran))))
}

fn budget(case: &Case<'_>, config: &Config) -> Answer {
    let own = case.record.map(|record| within_the_hour(&record.attempts, case.now));
    let own = own.unwrap_or_default();
    let allowed = case.facts().restart_max.unwrap_or(config.budget_per_container);
    spent("container", &own, allowed, case.now)?;
    spent("node", case.node_attempts, config.budget_per_node, case.now)?;
    Ok(format!(
        "{} of {allowed} attempts on the container and {} of {} on the node this hour",
        own.len(),
        case.node_attempts.len(),
        config.budget_per_node
    ))
}

fn spent(whose: &str, attempts: &[Timestamp], allowed: u32, now: Timestamp) -> Result<(), Held> {
    let Some(over) = attempts.len().checked_sub(allowed as usize) else { return Ok(()) };
    let until = attempts.get(over).map(|oldest| *oldest + HOUR);
    let reason = match until {
        Some(until) => format!(
            "budget of the {whose} spent: {} of {allowed} attempts this hour, the next in {}",
            attempts.len(),
            human(until.since(now))
        ),
        None => format!("the {whose} has a budget of no actions at all"),
    };
    Err(Held { reason, until })
}

fn breaker(case: &Case<'_>, config: &Config) -> Answer {
    let Some(breaker) = case.record.map(|record| &record.breaker) else {
        return Ok("breaker closed: no failures".to_owned());
    };
    let Some(until) = breaker.open_until else {
        let (failures, allowed) = (breaker.failures, config.breaker_failures);
        return Ok(format!("breaker closed: {failures} of {allowed} failures in a row"));
    };
    if case.now < until {
        let (failures, rest) = (breaker.failures, human(until.since(case.now)));
        let reason =
            format!("breaker open after {failures} failures in a row: one probe in {rest}");
        return Err(Held { reason, until: Some(until) });
    }
    match &breaker.probe {
        Some(probe) => {
            hold(format!("breaker half-open: the probe is under way for incident {}", probe.0))
        }
        None => Ok("breaker half-open: this is the probe".to_owned()),
    }
}

fn one_at_a_time(case: &Case<'_>, _: &Config) -> Answer {
    match case.rival {
        Some(incident) => {
            hold(format!("a remediation of it is under way for incident {}", incident.0))
        }
        None => Ok("no other remediation of it is under way".to_owned()),
    }
}

/// At most a third of a Compose project, and one container of a project too small for a third. A
/// project whose size is not known yet counts as small.
fn blast_radius(case: &Case<'_>, _: &Config) -> Answer {
    let Some(Project { name, size, busy }) = case.project else {
        return Ok("not in a Compose project".to_owned());
    };
    let limit = size.map_or(1, |size| (size / 3).max(1));
    let of = size.map_or_else(|| "an unknown number".to_owned(), |size| size.to_string());
    let text = format!("{busy} of {of} other containers of project {name} are disturbed");
    if busy >= limit {
        return hold(format!("{text}, and at most {limit} may be at once"));
    }
    Ok(format!("{text}; at most {limit} may be at once, this one included"))
}

fn dry_run(_: &Case<'_>, config: &Config) -> Answer {
    Ok(if config.dry_run { "on: simulated, nothing is done" } else { "off" }.to_owned())
}

fn hold(reason: impl Into<String>) -> Answer {
    Err(Held { reason: reason.into(), until: None })
}

/// A duration for people, in whole seconds.
#[must_use]
pub fn human(duration: Duration) -> String {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    format!("{:#}", jiff::SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
