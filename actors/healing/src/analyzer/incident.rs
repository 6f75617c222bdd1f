//! What an Analyzer keeps of the one incident its container may have.

use perennial_runtime::{IdempotencyKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::analyzer::SymptomReport;
use crate::analyzer::history::{Episode, History, trend};
use crate::analyzer::rules::Case;
use crate::model::{Facts, IncidentId, Severity, Subject, Symptom, SymptomKind};

/// Different diagnoses one incident gets, at most.
const JUDGED: usize = 16;
/// Values of each ratio that are kept.
const TREND: usize = 5;
/// Digits that are hard to mistake for each other when read aloud.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// An incident that is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Which.
    pub id: IncidentId,
    /// Who is sick.
    pub subject: Subject,
    /// What the Monitor knew last.
    pub facts: Facts,
    /// The last values of CPU and memory, oldest first.
    trend: Vec<(f64, f64)>,
    /// What is wrong now.
    pub active: Vec<Symptom>,
    /// Everything that was wrong since it was opened or reopened.
    seen: Vec<SymptomKind>,
    /// Where it stands.
    pub phase: Phase,
    /// What has been diagnosed already: the same gives no second diagnosis.
    judged: Vec<String>,
    /// Times a gate held its action.
    pub held: u32,
    /// When evidence was last asked for.
    pub captured_at: Timestamp,
}

/// Where an incident stands with its Analyzer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Evidence has been asked for under this key.
    Capturing(IdempotencyKey),
    /// The Responder has it.
    Remediating,
    /// Nothing is to be done until something changes.
    Waiting,
    /// A gate held the action; it is asked for again later.
    Held,
}

/// How the symptoms of an incident changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Newly true, true again, or worse.
    pub raised: Vec<Symptom>,
    /// No longer true.
    pub cleared: Vec<SymptomKind>,
    /// Whether all of it is the known course of a crash loop.
    pub routine: bool,
}

impl Change {
    /// Whether the journal gains by it.
    #[must_use]
    pub fn is_worth_recording(&self) -> bool {
        let changed = !self.raised.is_empty() || !self.cleared.is_empty();
        changed && !self.routine
    }
}

impl Incident {
    /// Begins with the first report.
    #[must_use]
    pub fn new(id: IncidentId, report: &SymptomReport) -> Self {
        let mut incident = Self {
            id,
            subject: report.subject.clone(),
            facts: report.facts.clone(),
            trend: Vec::new(),
            active: Vec::new(),
            seen: Vec::new(),
            phase: Phase::Waiting,
            judged: Vec::new(),
            held: 0,
            captured_at: Timestamp::EPOCH,
        };
        incident.take(report);
        incident
    }

    /// Begins again, as if what is wrong now had just been reported.
    pub fn renew(&mut self) {
        self.seen = self.active.iter().map(|symptom| symptom.kind).collect();
        self.judged.clear();
        self.held = 0;
        self.phase = Phase::Waiting;
    }

    /// Joins a later report to the incident.
    pub fn take(&mut self, report: &SymptomReport) -> Change {
        let before = |kind| self.active.iter().find(|symptom| symptom.kind == kind);
        let again = |kind| report.raised.iter().any(|symptom| symptom.kind == kind);
        let is_new = |symptom: &&Symptom| {
            again(symptom.kind)
                || before(symptom.kind).is_none_or(|old| old.severity < symptom.severity)
        };
        let raised: Vec<Symptom> = report.active.iter().filter(is_new).cloned().collect();
        let now = |kind| report.active.iter().any(|symptom| symptom.kind == kind);
        let cleared: Vec<SymptomKind> =
            self.active.iter().map(|symptom| symptom.kind).filter(|kind| !now(*kind)).collect();
        let looping = before(SymptomKind::CrashLoop).is_some() && now(SymptomKind::CrashLoop);
        let routine = looping && raised.iter().all(|symptom| self.seen.contains(&symptom.kind));
        for symptom in &raised {
            if !self.seen.contains(&symptom.kind) {
                self.seen.push(symptom.kind);
            }
        }
        self.subject.clone_from(&report.subject);
        self.facts.clone_from(&report.facts);
        self.active.clone_from(&report.active);
        let surplus = report.trend.len().saturating_sub(TREND);
        self.trend = report.trend.iter().skip(surplus).copied().collect();
        Change { raised, cleared, routine }
    }

    /// Everything a diagnosis of it rests on.
    #[must_use]
    pub fn case<'a>(
        &'a self,
        gone: &'a [SymptomKind],
        history: &'a History,
        memory_peak: Option<u64>,
    ) -> Case<'a> {
        let (cpu, memory): (Vec<f64>, Vec<f64>) = self.trend.iter().copied().unzip();
        let (cpu_trend, memory_trend) =
            if self.trend.len() < 2 { history.trends() } else { (trend(&cpu), trend(&memory)) };
        Case {
            facts: &self.facts,
            symptoms: &self.active,
            gone,
            history,
            cpu_trend,
            memory_trend,
            memory_peak,
        }
    }

    /// What was wrong in this incident and no longer is.
    #[must_use]
    pub fn gone(&self) -> Vec<SymptomKind> {
        let active = |kind| self.active.iter().any(|symptom| symptom.kind == kind);
        self.seen.iter().copied().filter(|kind| !active(*kind)).collect()
    }

    /// Remembers that this state of it has been diagnosed.
    pub fn judge(&mut self, basis: String) {
        if !self.judged.contains(&basis) && self.judged.len() < JUDGED {
            self.judged.push(basis);
        }
    }

    /// Whether this state of it has been diagnosed before.
    #[must_use]
    pub fn was_judged(&self, basis: &str) -> bool {
        self.judged.iter().any(|judged| judged == basis)
    }

    /// Whether something is wrong in a way that has not been diagnosed yet.
    #[must_use]
    pub fn is_news(&self, history: &History) -> bool {
        let basis = || self.case(&[], history, None).basis();
        !self.active.is_empty() && self.judged.len() < JUDGED && !self.was_judged(&basis())
    }

    /// Whether `change` shows that what the Responder is doing cannot help.
    #[must_use]
    pub fn is_hopeless(&self, change: &Change, history: &History) -> bool {
        let run = &self.facts.started_at;
        change.raised.iter().any(|symptom| match symptom.kind {
            SymptomKind::CrashLoop => true,
            SymptomKind::OomKilled => history.had_in_another_run(SymptomKind::OomKilled, run),
            SymptomKind::NonZeroExit
            | SymptomKind::Unhealthy
            | SymptomKind::FlappingHealth
            | SymptomKind::HighCpu
            | SymptomKind::HighMemory
            | SymptomKind::MemoryLeak
            | SymptomKind::HostPressure => false,
        })
    }

    /// How bad it is: a service that is down or does not answer is critical, a failed job is not.
    #[must_use]
    pub fn severity(&self) -> Severity {
        if self.facts.one_shot {
            return Severity::Warning;
        }
        let of = |symptom: &Symptom| match symptom.kind {
            SymptomKind::NonZeroExit
            | SymptomKind::OomKilled
            | SymptomKind::CrashLoop
            | SymptomKind::Unhealthy => Severity::Critical,
            SymptomKind::FlappingHealth
            | SymptomKind::HighCpu
            | SymptomKind::HighMemory
            | SymptomKind::MemoryLeak
            | SymptomKind::HostPressure => symptom.severity.max(Severity::Warning),
        };
        self.active.iter().map(of).max().unwrap_or(Severity::Warning)
    }

    /// Equal for failures that look the same.
    #[must_use]
    pub fn signature(&self) -> String {
        let mut kinds: Vec<&str> =
            self.active.iter().map(|symptom| symptom.kind.as_str()).collect();
        kinds.sort_unstable();
        let code = self.facts.exit_code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        format!("exit={code} oom={} symptoms={}", self.facts.oom_killed, kinds.join(","))
    }

    /// What history keeps of it.
    #[must_use]
    pub fn episode(&self, at: Timestamp) -> Episode {
        Episode {
            at,
            run: self.facts.started_at.clone(),
            kinds: self.active.iter().map(|symptom| symptom.kind).collect(),
            cpu: self.facts.cpu,
            memory: self.facts.memory,
        }
    }
}

/// Makes an incident's name of a random number.
#[must_use]
pub fn incident_id(random: u64) -> IncidentId {
    let digit = |place: u32| {
        let index = usize::try_from((random >> (5 * place)) & 31).unwrap_or(0);
        char::from(DIGITS.get(index).copied().unwrap_or(b'0'))
    };
    IncidentId(format!("inc-{}", (0..10).map(digit).collect::<String>()))
}
