//! Judges the state after each fold, and tells the other agents and the table what changed.

use std::time::Duration;

use perennial_runtime::{Failure, Timestamp, Turn};

use crate::alert::{ALERT, Alert, AlertMessage};
use crate::analyzer::{Analyzer, AnalyzerMessage, SymptomReport};
use crate::model::{IncidentId, RestartPolicy, Symptom, SymptomKind};
use crate::monitor::fold::engine_time;
use crate::monitor::judge::Case;
use crate::monitor::watch::{self, Policy};
use crate::monitor::{
    CONTAINERS, Config, ContainerRow, LOOK_AGAIN, Monitor, MonitorMessage, Standing,
};

/// How long symptoms that ended are remembered for the Responder.
const MEMORY: Duration = Duration::from_secs(3600);
/// A run that lives this long after the kernel killed a process in it is not ended by that.
const OOM_SETTLES: Duration = Duration::from_secs(5);

/// What a judgement follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    /// When it happened.
    at: Timestamp,
    /// When the run began that it was the first to show.
    began: Option<Timestamp>,
}

impl From<Timestamp> for Cause {
    fn from(at: Timestamp) -> Self {
        Self { at, began: None }
    }
}

impl Cause {
    /// When a symptom was over that was told at `since` and is not true any more: what was wrong with
    /// a run ended when the next one began, however late that is heard of.
    fn end_of(self, since: Timestamp) -> Timestamp {
        self.began.filter(|began| since < *began).unwrap_or(self.at)
    }

    /// Whether what was told before is another's, although it looks the same: each run ends once.
    fn is_anew(self, kind: SymptomKind) -> bool {
        self.began.is_some() && is_end(kind)
    }
}

/// Whether a symptom is the end of a run.
pub(super) const fn is_end(kind: SymptomKind) -> bool {
    match kind {
        SymptomKind::NonZeroExit | SymptomKind::OomKilled => true,
        SymptomKind::CrashLoop
        | SymptomKind::Unhealthy
        | SymptomKind::FlappingHealth
        | SymptomKind::HighCpu
        | SymptomKind::HighMemory
        | SymptomKind::MemoryLeak
        | SymptomKind::HostPressure => false,
    }
}

impl Monitor {
    /// What follows from what happened at `at`, when `before` was the run that was known.
    pub(super) fn cause(&self, at: Timestamp, before: &str) -> Cause {
        let other = self.facts.started_at != before;
        Cause { at, began: engine_time(&self.facts.started_at).filter(|_| other) }
    }

    /// Draws the consequences of the state as it is.
    pub(super) fn judge(
        &mut self,
        cause: impl Into<Cause>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let (config, now) = (turn.settings(), turn.now());
        let policy = watch::policy(config, &self.subject.name, &self.labels);
        self.refresh(&policy, config, now);
        if let Some(since) = self.stop_that_lasts() {
            self.settle_stop(since, turn);
        } else if !policy.watched && !self.symptoms.is_empty() {
            self.withdraw(now, "the container is not watched any more", turn);
        } else {
            self.withdrawn = false;
            let symptoms = self.true_symptoms(&policy, config, now);
            self.tell_symptoms(symptoms, cause.into(), turn);
        }
        self.tell_coverage(&policy, turn);
        self.write_row(&policy, turn)?;
        self.set_timer(turn);
        Ok(())
    }

    /// Brings the facts that are the Monitor's own up to date.
    fn refresh(&mut self, policy: &Policy, config: &Config, now: Timestamp) {
        self.starts.expire(now, config.restart_window);
        self.counted.expire(now, config.restart_window);
        self.flips.expire(now, config.flapping_window);
        self.ended_symptoms.retain(|(_, at)| *at + MEMORY > now);
        let acts = self.acts(now);
        let restarts = self.starts.count().max(self.counted.count());
        let facts = &mut self.facts;
        facts.restarts_in_window = u32::try_from(restarts).unwrap_or(u32::MAX);
        facts.mode = policy.mode;
        facts.restart_max = policy.restart_max;
        facts.stop_timeout = policy.stop_timeout.or(facts.stop_timeout);
        facts.one_shot =
            facts.restart_policy == RestartPolicy::No && !self.has_health_check && !policy.opted_in;
        facts.stopped_by_operator = self.intent.stopped().is_some() && !acts;
        facts.deploying = self.deploying_until > now;
    }

    /// Since when it is down by somebody's wish.
    fn stop_that_lasts(&self) -> Option<Timestamp> {
        self.intent.stopped().filter(|_| !self.runs())
    }

    /// When a stop that lasts is sure to be no restart.
    fn stop_settles(&self, since: Timestamp, config: &Config) -> Timestamp {
        self.acting_until.max(since + config.stop_settles)
    }

    /// A restart through the engine looks like a stop at first: nothing changes before it is sure. But
    /// an end that was told as a crash before the wish for it was known is taken back at once.
    fn settle_stop(&mut self, since: Timestamp, turn: &mut Turn<'_, Self>) {
        let late = self.intent.came_late() && self.has(SymptomKind::NonZeroExit);
        if late && (self.symptoms.len() > 1 || self.acts(turn.now())) {
            let mut rest = self.symptoms.clone();
            rest.retain(|symptom| symptom.kind != SymptomKind::NonZeroExit);
            self.tell_symptoms(rest, turn.now().into(), turn);
            return;
        }
        let settled = turn.now() >= self.stop_settles(since, turn.settings());
        if self.withdrawn || !(settled || late) {
            return;
        }
        self.withdrawn = true;
        if self.reported {
            self.withdraw(turn.now(), "it was stopped through the engine", turn);
        }
    }

    pub(super) fn withdraw(&mut self, at: Timestamp, reason: &str, turn: &mut Turn<'_, Self>) {
        for symptom in std::mem::take(&mut self.symptoms) {
            self.remember(symptom.kind, at);
        }
        let message = AnalyzerMessage::Withdrawn { at, reason: reason.to_owned() };
        turn.send::<Analyzer>(turn.key().to_owned(), &message);
    }

    fn remember(&mut self, kind: SymptomKind, at: Timestamp) {
        let before = self.ended_symptoms.iter().find(|(other, _)| *other == kind);
        let last = before.map_or(at, |(_, before)| at.max(*before));
        self.ended_symptoms.retain(|(other, _)| *other != kind);
        self.ended_symptoms.push((kind, last));
    }

    /// Whether the end at `at` of an earlier run has been told of: a symptom of it was true then.
    pub(super) fn has_told_end(&self, at: Timestamp) -> bool {
        let oom = self.facts.oom_killed;
        let same = |kind| is_end(kind) && (!oom || kind == SymptomKind::OomKilled);
        self.ended_symptoms.iter().any(|(kind, ended)| same(*kind) && *ended >= at)
    }

    fn true_symptoms(&self, policy: &Policy, config: &Config, now: Timestamp) -> Vec<Symptom> {
        let case = Case {
            facts: &self.facts,
            usage: &self.usage,
            policy,
            config,
            flips: self.flips.count(),
            oom_survived: self
                .oom_in_this_run()
                .is_some_and(|at| at + OOM_SETTLES <= now && at + config.restart_window > now),
            now,
        };
        let mut symptoms = case.symptoms();
        symptoms.retain(|symptom| self.has(symptom.kind) || !self.is_held_back(symptom.kind, now));
        symptoms
    }

    fn has(&self, kind: SymptomKind) -> bool {
        self.symptoms.iter().any(|symptom| symptom.kind == kind)
    }

    /// Crashes during a deploy wait until it settles, ends that were only inspected wait for their
    /// event, and ends while the Responder restarts it for the run that follows; ends before our time are
    /// history.
    fn is_held_back(&self, kind: SymptomKind, now: Timestamp) -> bool {
        match kind {
            SymptomKind::NonZeroExit | SymptomKind::OomKilled => {
                let awaited = self.awaits_cause_until(now).is_some();
                let restarted = self.acts(now) && !self.facts.oom_killed;
                self.facts.deploying || self.ended_before_us || awaited || restarted
            }
            SymptomKind::CrashLoop => self.facts.deploying,
            SymptomKind::Unhealthy
            | SymptomKind::FlappingHealth
            | SymptomKind::HighCpu
            | SymptomKind::HighMemory
            | SymptomKind::MemoryLeak
            | SymptomKind::HostPressure => false,
        }
    }

    /// Tells the Analyzer what began, got worse or ended. A symptom never gets milder while it lasts.
    fn tell_symptoms(
        &mut self,
        mut now_true: Vec<Symptom>,
        cause: Cause,
        turn: &mut Turn<'_, Self>,
    ) {
        let mut raised = Vec::new();
        for symptom in &mut now_true {
            let old = self.symptoms.iter().find(|old| old.kind == symptom.kind);
            let old = old.filter(|old| !cause.is_anew(old.kind));
            let worse = old.is_none_or(|old| symptom.severity > old.severity);
            if let Some(old) = old {
                symptom.since = old.since;
                symptom.severity = symptom.severity.max(old.severity);
            }
            if worse {
                raised.push(symptom.clone());
            }
        }
        let was_true = std::mem::replace(&mut self.symptoms, now_true);
        let over = was_true.iter().filter(|symptom| !self.has(symptom.kind));
        let over: Vec<_> = over.map(|old| (old.kind, cause.end_of(old.since))).collect();
        for (kind, at) in &over {
            self.remember(*kind, *at);
        }
        let cleared: Vec<_> = over.into_iter().map(|(kind, _)| kind).collect();
        if raised.is_empty() && cleared.is_empty() {
            return;
        }
        self.reported = true;
        let report = SymptomReport {
            subject: self.subject.clone(),
            at: turn.now(),
            event_at: cause.at,
            facts: self.facts.clone(),
            raised,
            cleared,
            active: self.symptoms.clone(),
            trend: self.usage.recent().to_vec(),
        };
        turn.send::<Analyzer>(turn.key().to_owned(), &AnalyzerMessage::Symptoms(report));
    }

    pub(super) fn standing(&self, incident: IncidentId, now: Timestamp) -> Standing {
        let active: Vec<_> = self.symptoms.iter().map(|symptom| symptom.kind).collect();
        let ended = self.ended_symptoms.iter().filter(|(kind, _)| !active.contains(kind));
        let last_seen = active.iter().map(|kind| (*kind, now)).chain(ended.copied()).collect();
        let (subject, facts) = (self.subject.clone(), self.facts.clone());
        Standing { incident, at: now, subject, facts, last_seen, active }
    }

    /// In what respect nobody can judge it.
    fn gaps(&self) -> Vec<String> {
        let limit = self.facts.memory_limit.is_none().then_some("no_memory_limit");
        let check = (!self.has_health_check).then_some("no_health_check");
        limit.into_iter().chain(check).map(str::to_owned).collect()
    }

    /// When the gaps are worth telling: jobs that are soon over are not.
    fn coverage_due(&self, config: &Config) -> Option<Timestamp> {
        let open = !self.coverage_told && self.runs() && !self.gaps().is_empty();
        let started = engine_time(&self.facts.started_at).filter(|_| open)?;
        Some(started + config.settle_time)
    }

    fn tell_coverage(&mut self, policy: &Policy, turn: &mut Turn<'_, Self>) {
        let due = self.coverage_due(turn.settings()).filter(|_| policy.watched);
        if due.is_some_and(|due| due <= turn.now()) {
            self.coverage_told = true;
            let (subject, gaps, at) = (self.subject.clone(), self.gaps(), turn.now());
            turn.send::<Alert>(ALERT, &AlertMessage::Coverage { subject, gaps, at });
        }
    }

    fn write_row(&self, policy: &Policy, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let row = ContainerRow {
            subject: self.subject.clone(),
            facts: self.facts.clone(),
            coverage: self.gaps(),
            symptoms: self.symptoms.clone(),
            watched: policy.watched,
            reason: policy.reason.clone(),
            ignored_labels: policy.ignored.clone(),
            sampled_at: Some(self.usage.at).filter(|at| *at > Timestamp::EPOCH),
            updated_at: turn.now(),
        };
        let key = turn.key().to_owned();
        let old = turn.get(&CONTAINERS, key.as_str())?;
        if old.is_none_or(|old| row.differs(&old)) {
            turn.put(&CONTAINERS, key.as_str(), &row);
        }
        Ok(())
    }

    fn set_timer(&mut self, turn: &mut Turn<'_, Self>) {
        let wake = self.next_look(turn.settings(), turn.now());
        if wake == self.wake {
            return;
        }
        self.wake = wake;
        match wake {
            Some(due) => turn.send_at(due, LOOK_AGAIN, &MonitorMessage::Tick),
            None => turn.cancel(LOOK_AGAIN),
        }
    }

    /// When something may change with nothing happening but time.
    fn next_look(&self, config: &Config, now: Timestamp) -> Option<Timestamp> {
        let settles = self.stop_that_lasts().map(|since| self.stop_settles(since, config));
        let loops = self.has(SymptomKind::CrashLoop).then(|| {
            let limit = config.restart_limit as usize;
            let falls =
                [&self.starts, &self.counted].map(|m| m.falls_to(limit, config.restart_window));
            falls.into_iter().flatten().max()
        });
        let flaps = (config.flapping_limit as usize)
            .checked_sub(1)
            .and_then(|calm| self.flips.falls_to(calm, config.flapping_window));
        let oom = self.oom_in_this_run().filter(|_| self.runs());
        let candidates = [
            Some(self.deploying_until),
            settles.filter(|_| !self.withdrawn),
            loops.flatten(),
            flaps,
            Some(self.end_confirmed_at).filter(|_| self.ended),
            Some(self.acting_until).filter(|_| self.ended),
            oom.map(|at| at + OOM_SETTLES),
            oom.map(|at| at + config.restart_window),
            self.coverage_due(config),
        ];
        candidates.into_iter().flatten().filter(|due| *due > now).min()
    }
}
