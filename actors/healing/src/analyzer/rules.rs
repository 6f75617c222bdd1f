//! The rules: an ordered table; the first that applies gives the diagnosis.

use crate::analyzer::exit_codes::{ExitClass, meaning};
use crate::analyzer::history::{History, Trend};
use crate::model::{
    Action, Diagnosis, Facts, RestartPolicy, Severity, Status, Symptom, SymptomKind, Verdict,
};

mod words;

/// CPU share above which sustained load is worth a restart.
const CPU_RESTART: f64 = 0.90;
/// Memory share above which growth is worth a restart.
const MEMORY_RESTART: f64 = 0.70;

/// Everything a diagnosis rests on.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// What is known of the container.
    pub facts: &'a Facts,
    /// What is wrong now.
    pub symptoms: &'a [Symptom],
    /// What was wrong earlier in this incident and no longer is.
    pub gone: &'a [SymptomKind],
    /// Earlier diagnoses, this one not among them.
    pub history: &'a History,
    /// Where its CPU share is going.
    pub cpu_trend: Trend,
    /// Where its memory share is going.
    pub memory_trend: Trend,
    /// The most memory it ever used, in bytes, if the engine tells.
    pub memory_peak: Option<u64>,
}

/// One row of the table.
#[derive(Debug)]
pub struct Rule {
    /// Stable: journals, metrics and documents use it.
    pub name: &'static str,
    /// 0 to 1: how sure the answer is when the rule applies.
    pub confidence: f64,
    /// Why this answer, for people.
    pub reason: &'static str,
    applies: fn(&Case<'_>) -> bool,
    cause: fn(&Case<'_>) -> String,
    /// What follows.
    pub answer: Answer,
}

/// What a rule answers.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// A restart is expected to help.
    Restart,
    /// Nothing is wrong.
    FalseAlarm,
    /// What is missing to say.
    NotEnough(&'static str),
    /// What a person can do, or why nothing need be done.
    NoSafeAction(fn(&Case<'_>) -> String),
}

/// In order. Causes of their own come before the plain exit code, and those before resources;
/// confidences of the plain rules are HemoStat's.
pub const RULES: &[Rule] = &[
    Rule {
        name: "stopped_by_operator",
        confidence: 0.95,
        reason: "an operator's stop or kill is an intention, not a fault",
        applies: |case| case.facts.stopped_by_operator && !case.running(),
        cause: |_| "an operator stopped or killed it".to_owned(),
        answer: Answer::FalseAlarm,
    },
    Rule {
        name: "one_shot_job",
        confidence: 0.90,
        reason: "running a job a second time may repeat what it has already done",
        applies: |case| case.facts.one_shot && case.ended_badly(),
        cause: words::ended,
        answer: Answer::NoSafeAction(words::look_at_job),
    },
    Rule {
        name: "not_restartable",
        confidence: 0.90,
        reason: "a restart is not possible or not wanted in this state",
        applies: |case| {
            matches!(
                case.facts.status,
                Status::Paused | Status::Dead | Status::Removing | Status::Gone
            )
        },
        cause: words::state,
        answer: Answer::NoSafeAction(words::look_at_state),
    },
    Rule {
        name: "oom_repeated",
        confidence: 0.90,
        reason: "it ran out of memory before; another restart leads to the same end",
        applies: |case| case.out_of_memory() && case.oom_repeats(),
        cause: words::out_of_memory,
        answer: Answer::NoSafeAction(words::raise_limit),
    },
    Rule {
        name: "oom_killed",
        confidence: 0.90,
        reason: "it is down and the engine will not start it; one restart brings the service back",
        applies: |case| case.out_of_memory() && case.down() && !case.engine_restarts(),
        cause: words::out_of_memory_advice,
        answer: Answer::Restart,
    },
    Rule {
        name: "oom_survived",
        confidence: 0.90,
        reason: "it runs, or the engine starts it by itself; only the limit or the program can help",
        applies: |case| case.out_of_memory(),
        cause: words::out_of_memory,
        answer: Answer::NoSafeAction(words::raise_limit),
    },
    Rule {
        name: "crash_loop",
        confidence: 0.60,
        reason: "it has been restarted again and again, and one more restart changes nothing",
        applies: |case| case.has(SymptomKind::CrashLoop),
        cause: words::crash_loop,
        answer: Answer::NoSafeAction(words::stop_restarting),
    },
    Rule {
        name: "bad_command",
        confidence: 0.90,
        reason: "what it is told to run cannot be run; the same again gives the same again",
        applies: |case| {
            case.has(SymptomKind::NonZeroExit) && case.exit_class() == ExitClass::Misconfigured
        },
        cause: words::ended,
        answer: Answer::NoSafeAction(words::fix_command),
    },
    Rule {
        name: "exit_code",
        confidence: 0.90,
        reason: "it is down with an error and the engine will not start it",
        applies: |case| {
            case.has(SymptomKind::NonZeroExit) && case.down() && !case.engine_restarts()
        },
        cause: words::ended,
        answer: Answer::Restart,
    },
    Rule {
        name: "engine_restarts",
        confidence: 0.90,
        reason: "the engine's own restart policy starts it",
        applies: |case| case.has(SymptomKind::NonZeroExit) && !case.running(),
        cause: words::ended,
        answer: Answer::NoSafeAction(words::engine_acts),
    },
    Rule {
        name: "runs_again",
        confidence: 0.90,
        reason: "it ended with an error and has been started since",
        applies: |case| case.ended_and_is_back(),
        cause: words::ended,
        answer: Answer::NoSafeAction(words::watch),
    },
    Rule {
        name: "critical_resource",
        confidence: 0.85,
        reason: "a resource has been at its critical level for the whole window",
        applies: |case| case.resources().any(|symptom| symptom.severity == Severity::Critical),
        cause: words::symptoms,
        answer: Answer::Restart,
    },
    Rule {
        name: "flapping_health",
        confidence: 0.60,
        reason: "its health check changes its mind; a restart would hide why",
        applies: |case| case.has(SymptomKind::FlappingHealth),
        cause: words::symptoms,
        answer: Answer::NoSafeAction(words::look_at_check),
    },
    Rule {
        name: "unhealthy",
        confidence: 0.70,
        reason: "its own health check fails",
        applies: |case| case.has(SymptomKind::Unhealthy),
        cause: words::symptoms,
        answer: Answer::Restart,
    },
    Rule {
        name: "sustained_cpu",
        confidence: 0.75,
        reason: "CPU use is above 90 % and not falling",
        applies: |case| {
            case.reading(SymptomKind::HighCpu).is_some_and(|cpu| cpu > CPU_RESTART)
                && matches!(case.cpu_trend, Trend::Increasing | Trend::Stable)
        },
        cause: words::symptoms,
        answer: Answer::Restart,
    },
    Rule {
        name: "growing_memory",
        confidence: 0.80,
        reason: "memory is above 70 % of its limit and growing",
        applies: |case| {
            case.growing() && case.facts.memory.is_some_and(|share| share > MEMORY_RESTART)
        },
        cause: words::symptoms,
        answer: Answer::Restart,
    },
    Rule {
        name: "host_pressure",
        confidence: 0.65,
        reason: "that it is the largest does not make it the cause: a restart loses its work and may \
                 only hand the memory to another",
        applies: |case| case.has(SymptomKind::HostPressure),
        cause: words::symptoms,
        answer: Answer::NoSafeAction(words::relieve_host),
    },
    Rule {
        name: "no_memory_limit",
        confidence: 0.65,
        reason: "without a limit nobody has said how much is too much, so that no restart is due",
        applies: |case| case.memory_symptom() && case.facts.memory_limit.is_none(),
        cause: words::symptoms,
        answer: Answer::NoSafeAction(words::set_limit),
    },
    Rule {
        name: "transient",
        confidence: 0.65,
        reason: "one mild sign, gone or below its threshold by now, and nothing in the last hour",
        applies: |case| case.history.is_empty() && case.mild_at_most(),
        cause: words::passing,
        answer: Answer::FalseAlarm,
    },
    Rule {
        name: "steady_memory",
        confidence: 0.65,
        reason: "memory use is high and does not grow; a restart would only bring it back here",
        applies: |case| {
            case.reading_above(SymptomKind::HighMemory)
                && matches!(case.memory_trend, Trend::Stable | Trend::Decreasing)
        },
        cause: words::symptoms,
        answer: Answer::NoSafeAction(words::raise_limit),
    },
    Rule {
        name: "steady_cpu",
        confidence: 0.65,
        reason: "CPU use is high and not at its end; a restart interrupts work and brings it back",
        applies: |case| {
            case.reading_above(SymptomKind::HighCpu) && case.cpu_trend != Trend::Unknown
        },
        cause: words::symptoms,
        answer: Answer::NoSafeAction(words::give_cpu),
    },
    Rule {
        name: "undecided",
        confidence: 0.50,
        reason: "no rule is sure",
        applies: |_| true,
        cause: words::symptoms,
        answer: Answer::NotEnough("more values over time, or a second sign"),
    },
];

/// Gives the diagnosis of the first rule that applies. A remedy less sure than `threshold` becomes
/// "not enough evidence".
#[must_use]
pub fn diagnose(case: &Case<'_>, threshold: f64) -> Diagnosis {
    let rule = RULES.iter().find(|rule| (rule.applies)(case)).unwrap_or(&UNREACHED);
    let verdict = match rule.answer {
        Answer::Restart if rule.confidence >= threshold => Verdict::Remediate(Action::Restart),
        Answer::Restart => Verdict::InsufficientEvidence(format!(
            "a restart may help, with confidence {:.2} where {threshold:.2} is asked for",
            rule.confidence
        )),
        Answer::FalseAlarm => Verdict::FalseAlarm,
        Answer::NotEnough(missing) => Verdict::InsufficientEvidence(missing.to_owned()),
        Answer::NoSafeAction(advice) => Verdict::NoSafeAction(advice(case)),
    };
    Diagnosis {
        rule: rule.name.to_owned(),
        cause: (rule.cause)(case),
        reason: rule.reason.to_owned(),
        confidence: rule.confidence,
        verdict,
    }
}

/// The table ends with a rule that always applies; this keeps `diagnose` total without a panic.
const UNREACHED: Rule = Rule {
    name: "undecided",
    confidence: 0.0,
    reason: "no rule applies",
    applies: |_| true,
    cause: words::symptoms,
    answer: Answer::NotEnough("a rule for this"),
};

impl Case<'_> {
    fn has(&self, kind: SymptomKind) -> bool {
        self.symptoms.iter().any(|symptom| symptom.kind == kind)
    }

    fn running(&self) -> bool {
        self.facts.status == Status::Running
    }

    fn down(&self) -> bool {
        matches!(self.facts.status, Status::Exited | Status::Created)
    }

    fn ended_badly(&self) -> bool {
        self.has(SymptomKind::NonZeroExit) || self.has(SymptomKind::OomKilled)
    }

    fn ended_and_is_back(&self) -> bool {
        let ended = [SymptomKind::NonZeroExit, SymptomKind::OomKilled, SymptomKind::CrashLoop];
        let earlier = self.symptoms.is_empty() && self.gone.iter().any(|kind| ended.contains(kind));
        earlier || self.has(SymptomKind::NonZeroExit)
    }

    /// Whether the engine's own policy starts it after this end. A policy that would and did not is
    /// a person's doing (a manual stop), which is not undone either.
    fn engine_restarts(&self) -> bool {
        match self.facts.restart_policy {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure(0) | RestartPolicy::Always | RestartPolicy::UnlessStopped => {
                true
            }
            RestartPolicy::OnFailure(most) => self.facts.restart_count < most,
        }
    }

    fn exit_class(&self) -> ExitClass {
        meaning(self.facts.exit_code.unwrap_or(0), self.facts.oom_killed).class
    }

    fn out_of_memory(&self) -> bool {
        self.has(SymptomKind::OomKilled)
            || (self.has(SymptomKind::NonZeroExit) && self.facts.oom_killed)
            || self.back_from_out_of_memory()
    }

    /// It was killed for memory, and the engine had it running again before it could be looked at.
    fn back_from_out_of_memory(&self) -> bool {
        self.symptoms.is_empty() && self.gone.contains(&SymptomKind::OomKilled)
    }

    fn oom_repeats(&self) -> bool {
        self.has(SymptomKind::CrashLoop)
            || self.history.had_in_another_run(SymptomKind::OomKilled, &self.facts.started_at)
    }

    fn resources(&self) -> impl Iterator<Item = &Symptom> {
        self.symptoms.iter().filter(|symptom| is_resource(symptom.kind))
    }

    fn memory_symptom(&self) -> bool {
        self.has(SymptomKind::HighMemory) || self.has(SymptomKind::MemoryLeak)
    }

    fn growing(&self) -> bool {
        self.has(SymptomKind::MemoryLeak)
            || (self.has(SymptomKind::HighMemory) && self.memory_trend == Trend::Increasing)
    }

    /// The share that `kind` is about, as last read; none if the container does not show `kind`.
    fn reading(&self, kind: SymptomKind) -> Option<f64> {
        let symptom = self.symptoms.iter().find(|symptom| symptom.kind == kind)?;
        let fact = if kind == SymptomKind::HighCpu { self.facts.cpu } else { self.facts.memory };
        Some(fact.unwrap_or(symptom.actual))
    }

    fn reading_above(&self, kind: SymptomKind) -> bool {
        let threshold = self.symptoms.iter().find(|symptom| symptom.kind == kind);
        let reading = self.reading(kind);
        threshold.zip(reading).is_some_and(|(symptom, reading)| reading > symptom.threshold)
    }

    /// One resource symptom that is for the record only, or has fallen back below its threshold, or
    /// none any more.
    fn mild_at_most(&self) -> bool {
        match self.symptoms {
            [] => self.gone.iter().copied().all(passes_unnoticed),
            [one] => {
                let ratio = matches!(one.kind, SymptomKind::HighCpu | SymptomKind::HighMemory);
                one.severity == Severity::Info
                    || (ratio && one.severity < Severity::Critical && !self.reading_above(one.kind))
            }
            _ => false,
        }
    }

    /// Equal for cases that the table would treat alike, as far as engine and detectors decide:
    /// resource readings, which move all the time, are not in it.
    #[must_use]
    pub fn basis(&self) -> String {
        let mut kinds: Vec<(SymptomKind, Severity)> = self
            .symptoms
            .iter()
            .filter(|symptom| !self.overshadowed(symptom.kind))
            .map(|symptom| (symptom.kind, symptom.severity))
            .collect();
        kinds.sort_unstable();
        if self.has(SymptomKind::CrashLoop) {
            return format!("{kinds:?} oom={}", self.out_of_memory());
        }
        format!(
            "{kinds:?} running={} engine={} exit={:?} oom={} again={}",
            self.running(),
            self.engine_restarts(),
            self.facts.exit_code,
            self.out_of_memory(),
            self.out_of_memory() && self.oom_repeats(),
        )
    }

    /// While it crash-loops, each single end and start is part of the loop.
    fn overshadowed(&self, kind: SymptomKind) -> bool {
        let part = [
            SymptomKind::NonZeroExit,
            SymptomKind::OomKilled,
            SymptomKind::Unhealthy,
            SymptomKind::FlappingHealth,
        ];
        self.has(SymptomKind::CrashLoop) && part.contains(&kind)
    }
}

/// Whether its end leaves nothing to find out.
fn passes_unnoticed(kind: SymptomKind) -> bool {
    is_resource(kind) || kind == SymptomKind::HostPressure
}

/// Whether it is about what the container itself uses.
fn is_resource(kind: SymptomKind) -> bool {
    matches!(kind, SymptomKind::HighCpu | SymptomKind::HighMemory | SymptomKind::MemoryLeak)
}

#[cfg(test)]
mod tests;
