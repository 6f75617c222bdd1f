//! Folds what was seen into the Monitor's state. Observations come from several sensors and may
//! overtake each other: what is older than what is known changes nothing.

use std::time::Duration;

use perennial_runtime::{Failure, Timestamp, Turn};

use crate::model::{Facts, Health, Status};
use crate::monitor::{
    Config, ContainerEvent, EventKind, Inspection, Monitor, Sample, detect::Usage, intent,
    intent::LATE, watch,
};

/// An end within this time after the kernel killed a process for memory is put down to that.
const OOM_TO_END: Duration = Duration::from_secs(30);
/// An end that is told of later than this, while it runs again, is not worth a symptom any more.
const STILL_NEWS: Duration = Duration::from_secs(60);
/// How long an end that was inspected waits for its event, which another sensor brings and which says
/// whether somebody asked for it.
const EVENT_COMES: Duration = Duration::from_secs(3);
/// How long an end by a signal waits for an event that says that somebody sent it: a busy engine may
/// tell of the end first. Kept short, because a kill by somebody else is told only after it.
const WISH_COMES: Duration = Duration::from_millis(150);

/// The engine's time, as a timestamp; none for its zero time, and for anything else.
pub(crate) fn engine_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    let micros = u64::try_from(time.as_microsecond()).ok()?;
    (micros > 0).then_some(Timestamp::from_micros(micros))
}

impl Monitor {
    /// Takes over what never changes during a container's life, or changes without a run's end.
    pub(super) fn identify(&mut self, seen: &Inspection, config: &Config) {
        if seen.at < self.inspected_at {
            return;
        }
        self.subject = seen.subject.clone();
        self.labels.clone_from(&seen.labels);
        self.stop_signal = seen.stop_signal;
        self.has_health_check = seen.has_health_check;
        self.facts.restart_policy = seen.facts.restart_policy;
        self.facts.cpus = seen.facts.cpus;
        self.facts.memory_limit = seen.facts.memory_limit;
        self.facts.stop_timeout = seen.facts.stop_timeout;
        let service = self.subject.service.is_some() || self.subject.swarm_service.is_some();
        if service {
            let from = if seen.facts.deploying { seen.at } else { seen.created_at };
            self.deploying_until = self.deploying_until.max(from + config.settle_time);
        }
    }

    pub(super) fn fold_event(
        &mut self,
        event: &ContainerEvent,
        seen: Option<&Inspection>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        if event.kind == EventKind::Start {
            self.decide_end(turn)?;
        }
        let asked = self.intent.stopped().is_some() || self.acts(turn.now());
        let run = engine_time(&self.facts.started_at);
        let ends_known_run = matches!(event.kind, EventKind::Die(_));
        if let Some(run) = run.filter(|run| ends_known_run && *run <= event.at) {
            self.intent.forget_before(run);
        }
        self.intent.observe(event.at, &event.kind, self.stop_signal, self.facts.stop_timeout);
        match &event.kind {
            EventKind::Start => self.fold_start(event.at, asked, seen),
            EventKind::Die(code) => return self.fold_end(event.at, *code, seen, turn),
            EventKind::Oom => self.oom_at = Some(event.at),
            EventKind::HealthStatus(status) => self.fold_health(event.at, health(status)),
            EventKind::Rename(name) => {
                self.subject.name = name.trim_start_matches('/').to_owned();
            }
            EventKind::Kill(_) if self.ended => self.intent.explain_late(),
            EventKind::Create | EventKind::Kill(_) | EventKind::Stop | EventKind::Destroy => {}
        }
        Ok(())
    }

    /// A start of a run that is known already, from an inspection that overtook it, says nothing new.
    fn fold_start(&mut self, at: Timestamp, asked: bool, seen: Option<&Inspection>) {
        // Events come in order: whatever the kernel did before was done to an earlier run.
        self.oom_at = None;
        if !self.ended || self.knows_start(at, seen) {
            return;
        }
        if !asked {
            self.starts.add(at, 1);
        }
        self.run_expected = true;
        self.begin_run();
        self.facts.status = Status::Running;
        self.facts.health = if self.has_health_check { Health::Starting } else { Health::None };
    }

    /// Whether the run that began at `at` is the known one, which has ended since. What was seen was
    /// asked for after the start.
    fn knows_start(&self, at: Timestamp, seen: Option<&Inspection>) -> bool {
        let finished = engine_time(&self.facts.finished_at);
        finished.is_some_and(|finished| at <= finished)
            || seen.is_some_and(|seen| seen.facts.started_at == self.facts.started_at)
    }

    /// An event that may say that somebody wished for the end that is known already. The engine's
    /// events are not always in the order of their times.
    pub(super) fn is_late_wish(&self, event: &ContainerEvent) -> bool {
        let wish = matches!(event.kind, EventKind::Kill(_) | EventKind::Stop);
        let end = self.intent.unexplained().filter(|_| wish && self.ended);
        end.is_some_and(|end| end.since(event.at) <= LATE)
    }

    /// Until when it is open whether somebody wished for the end that is known.
    pub(super) fn awaits_cause_until(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.end_confirmed_at).filter(|due| self.ended && *due > now)
    }

    /// When the end happened whose cause was waited for until now.
    pub(super) fn take_awaited_end(&mut self, now: Timestamp) -> Option<Timestamp> {
        let over = self.ended && self.end_confirmed_at <= now;
        if !over || self.end_confirmed_at == Timestamp::EPOCH {
            return None;
        }
        self.end_confirmed_at = Timestamp::EPOCH;
        self.intent.unexplained()
    }

    /// A new run decides about an end that still waits for its cause: nobody has asked for it.
    fn decide_end(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let waits = self.awaits_cause_until(turn.now());
        let Some(end) = self.intent.unexplained().filter(|_| waits.is_some()) else {
            return Ok(());
        };
        self.end_confirmed_at = Timestamp::EPOCH;
        self.judge(end, turn)
    }

    /// As for a start, when the run it began is seen before.
    pub(super) fn decide_end_before(
        &mut self,
        seen: &Inspection,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let run = |facts: &Facts| engine_time(&facts.started_at);
        if run(&seen.facts) > run(&self.facts) { self.decide_end(turn) } else { Ok(()) }
    }

    fn begin_run(&mut self) {
        self.ended = false;
        self.acting_until = Timestamp::EPOCH;
        self.ended_before_us = false;
        self.usage = Usage::default();
        self.facts.oom_killed = false;
        (self.facts.cpu, self.facts.memory, self.facts.memory_bytes) = (None, None, None);
    }

    /// An end. When the container runs again already, the end is judged first, so that a crash that
    /// the engine repairs at once is not overlooked.
    fn fold_end(
        &mut self,
        at: Timestamp,
        code: i64,
        seen: Option<&Inspection>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let later_run = |facts: &Facts| engine_time(&facts.started_at).is_some_and(|run| run > at);
        let past = later_run(&self.facts);
        let repaired = past || seen.is_some_and(|seen| later_run(&seen.facts));
        let before = past.then(|| (self.facts.clone(), self.ended));
        self.ended = true;
        self.facts.status = Status::Exited;
        self.facts.exit_code = Some(code);
        // The inspection that came with the kernel's event may show the next run already.
        let oom = if past { self.oom_at } else { self.oom_in_this_run() };
        self.facts.oom_killed = oom.is_some_and(|oom| at.since(oom) <= OOM_TO_END);
        let waits = !repaired && self.may_be_wished(code, seen);
        self.end_confirmed_at = if waits { turn.now() + WISH_COMES } else { Timestamp::EPOCH };
        let told = past && self.has_told_end(at);
        if repaired && !told && turn.now().since(at) <= STILL_NEWS {
            self.judge(at, turn)?;
        }
        if let Some((facts, ended)) = before {
            (self.facts, self.ended) = (facts, ended);
        }
        Ok(())
    }

    /// Whether somebody may have wished for this end without it being known yet. The engine does not
    /// bring back what it was asked to stop.
    fn may_be_wished(&self, code: i64, seen: Option<&Inspection>) -> bool {
        let explained = self.intent.stopped().is_some() || self.facts.oom_killed;
        let faulty = |facts: &Facts| facts.oom_killed || facts.status == Status::Restarting;
        !explained
            && !seen.is_some_and(|seen| faulty(&seen.facts))
            && intent::may_be_wished(code, self.stop_signal)
    }

    /// When the kernel last killed a process of the run in `facts` for memory.
    pub(super) fn oom_in_this_run(&self) -> Option<Timestamp> {
        let run = engine_time(&self.facts.started_at).unwrap_or(Timestamp::EPOCH);
        self.oom_at.filter(|oom| *oom >= run)
    }

    /// Only a check that passed before has changed its mind: one that fails in each run anew has not.
    fn fold_health(&mut self, at: Timestamp, health: Health) {
        if health == Health::Unhealthy && self.facts.health == Health::Healthy {
            self.flips.add(at, 1);
        }
        self.facts.health = health;
    }

    pub(super) fn fold_inspection(&mut self, seen: &Inspection, now: Timestamp, config: &Config) {
        let first = self.inspected_at == Timestamp::EPOCH;
        let (ours, theirs) =
            (engine_time(&self.facts.started_at), engine_time(&seen.facts.started_at));
        let same_run = self.facts.started_at == seen.facts.started_at;
        let was_up = matches!(seen.facts.status, Status::Running | Status::Paused);
        // Asked for before what is known: of an earlier run, or of this one before its end.
        let overtaken = seen.at < self.inspected_at
            || theirs < ours
            || (same_run && was_up && (self.ended || self.run_expected) && !first);
        if overtaken {
            return;
        }
        self.inspected_at = seen.at;
        self.count_restarts(seen, same_run, ours.is_some(), first);
        let end_known = self.ended;
        if !same_run && !first {
            self.begin_run();
        }
        let oom_known = self.ended && self.facts.oom_killed;
        self.ended =
            matches!(seen.facts.status, Status::Exited | Status::Dead | Status::Restarting);
        if self.ended && !end_known {
            self.end_confirmed_at = now + EVENT_COMES;
        }
        self.take_facts(&seen.facts, oom_known, seen.at);
        let finished = engine_time(&seen.facts.finished_at).unwrap_or(now);
        if first {
            self.ended_before_us = self.ended
                && seen.facts.status != Status::Restarting
                && now.since(finished) > config.restart_window;
        }
        self.intent.infer(finished, &self.facts);
    }

    /// Counts runs that no event told of, and what the engine's own counter grew by.
    fn count_restarts(&mut self, seen: &Inspection, same_run: bool, ran: bool, first: bool) {
        let grown = seen.facts.restart_count.saturating_sub(self.facts.restart_count);
        if !first && grown > 0 {
            self.counted.add(seen.at, grown as usize);
        }
        if same_run {
            return;
        }
        let told = std::mem::take(&mut self.run_expected);
        if !told && ran && self.intent.stopped().is_none() {
            self.starts.add(engine_time(&seen.facts.started_at).unwrap_or(seen.at), 1);
        }
    }

    fn take_facts(&mut self, seen: &Facts, oom_known: bool, at: Timestamp) {
        self.fold_health(at, seen.health);
        let facts = &mut self.facts;
        facts.status = seen.status;
        facts.exit_code = seen.exit_code;
        facts.oom_killed = seen.oom_killed || (oom_known && self.ended);
        facts.restart_count = seen.restart_count;
        facts.started_at.clone_from(&seen.started_at);
        facts.finished_at.clone_from(&seen.finished_at);
    }

    /// Folds a sample of this run; says whether it was news.
    pub(super) fn fold_sample(&mut self, sample: &Sample, config: &Config) -> bool {
        let policy = watch::policy(config, &self.subject.name, &self.labels);
        let limits = (policy.cpu, policy.memory);
        self.usage.observe(sample, &mut self.facts, limits, config)
    }
}

fn health(status: &str) -> Health {
    match status {
        "healthy" => Health::Healthy,
        "unhealthy" => Health::Unhealthy,
        "starting" => Health::Starting,
        _ => Health::None,
    }
}
