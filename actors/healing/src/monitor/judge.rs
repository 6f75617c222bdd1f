//! Which symptoms are true, given everything that was folded. Pure; the only place where
//! severities are decided.

use perennial_runtime::Timestamp;

use crate::model::{Facts, Health, RestartPolicy, Severity, Status, Symptom, SymptomKind};
use crate::monitor::Config;
use crate::monitor::detect::Usage;
use crate::monitor::watch::Policy;

/// Everything a judgement rests on.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) usage: &'a Usage,
    pub(crate) policy: &'a Policy,
    pub(crate) config: &'a Config,
    /// Turns to unhealthy within the window.
    pub(crate) flips: usize,
    /// Last time the kernel killed a process of this run for memory while the run went on.
    pub(crate) oom_survived: bool,
    pub(crate) now: Timestamp,
}

impl Case<'_> {
    /// All symptoms that are true now, at most one of each kind.
    pub(crate) fn symptoms(&self) -> Vec<Symptom> {
        if !self.policy.watched {
            return Vec::new();
        }
        let checks = [
            self.ended(),
            self.oom_in_a_run(),
            self.crash_loop(),
            self.unhealthy(),
            self.flapping(),
            self.high_cpu(),
            self.high_memory(),
            self.leak(),
            self.host_pressure(),
        ];
        checks.into_iter().flatten().collect()
    }

    fn symptom(&self, kind: SymptomKind, severity: Severity, numbers: (f64, f64)) -> Symptom {
        let (actual, threshold) = numbers;
        Symptom { kind, severity, since: self.now, actual, threshold, text: String::new() }
    }

    fn runs(&self) -> bool {
        matches!(self.facts.status, Status::Running | Status::Paused)
    }

    /// An end by itself: for memory, or with a code other than 0.
    fn ended(&self) -> Option<Symptom> {
        let facts = self.facts;
        let down = matches!(facts.status, Status::Exited | Status::Restarting | Status::Dead);
        if !down {
            return None;
        }
        let code = facts.exit_code.unwrap_or(0);
        if facts.oom_killed {
            let text = match facts.memory_limit {
                Some(limit) => format!(
                    "the kernel killed it for memory (exit code {code}); its limit is {} MiB",
                    limit >> 20
                ),
                None => format!("the kernel killed it for memory (exit code {code})"),
            };
            let symptom =
                self.symptom(SymptomKind::OomKilled, Severity::Critical, (code as f64, 0.0));
            return Some(Symptom { text, ..symptom });
        }
        if code == 0 {
            return None;
        }
        let comes_back = facts.status == Status::Restarting
            || matches!(facts.restart_policy, RestartPolicy::Always | RestartPolicy::UnlessStopped);
        let severity = match facts.one_shot || comes_back {
            true => Severity::Warning,
            false => Severity::Critical,
        };
        let text = format!("its main process ended with exit code {code}, expected 0");
        let symptom = self.symptom(SymptomKind::NonZeroExit, severity, (code as f64, 0.0));
        Some(Symptom { text, ..symptom })
    }

    /// The kernel killed one of its processes, and the main one lives.
    fn oom_in_a_run(&self) -> Option<Symptom> {
        let found = self.runs() && self.oom_survived;
        found.then(|| Symptom {
            text: "the kernel killed a process in it for memory; its main process still runs"
                .into(),
            ..self.symptom(SymptomKind::OomKilled, Severity::Warning, (1.0, 0.0))
        })
    }

    fn crash_loop(&self) -> Option<Symptom> {
        let (seen, limit) = (self.facts.restarts_in_window, self.config.restart_limit);
        (seen > limit).then(|| Symptom {
            text: format!(
                "{seen} restarts within {}, at most {limit} are in order",
                minutes(self.config.restart_window)
            ),
            ..self.symptom(
                SymptomKind::CrashLoop,
                Severity::Critical,
                (f64::from(seen), f64::from(limit)),
            )
        })
    }

    fn unhealthy(&self) -> Option<Symptom> {
        let found = self.runs() && self.facts.health == Health::Unhealthy;
        found.then(|| Symptom {
            text: "its health check fails: unhealthy, expected healthy".into(),
            ..self.symptom(SymptomKind::Unhealthy, Severity::Critical, (1.0, 0.0))
        })
    }

    fn flapping(&self) -> Option<Symptom> {
        let limit = self.config.flapping_limit as usize;
        let found = limit > 0 && self.flips >= limit;
        found.then(|| Symptom {
            text: format!(
                "turned unhealthy {} times within {}, fewer than {limit} are in order",
                self.flips,
                minutes(self.config.flapping_window)
            ),
            ..self.symptom(
                SymptomKind::FlappingHealth,
                Severity::Warning,
                (self.flips as f64, limit as f64),
            )
        })
    }

    fn grade(&self, share: f64) -> Severity {
        let critical = share * 100.0 > self.config.critical_percent;
        if critical { Severity::Critical } else { Severity::Warning }
    }

    fn high_cpu(&self) -> Option<Symptom> {
        let share = self.usage.cpu.verdict().filter(|_| self.runs())?;
        let text = format!(
            "CPU at {:.0} % of {:.2} cores for {}, at most {:.0} % is in order",
            share * 100.0,
            self.facts.cpus.unwrap_or(0.0),
            minutes(self.config.cpu_window),
            self.policy.cpu * 100.0
        );
        let numbers = (share, self.policy.cpu);
        Some(Symptom { text, ..self.symptom(SymptomKind::HighCpu, self.grade(share), numbers) })
    }

    fn high_memory(&self) -> Option<Symptom> {
        let share = self.usage.memory.verdict().filter(|_| self.runs())?;
        let text = format!(
            "memory at {:.0} % of its limit of {} MiB for {}, at most {:.0} % is in order",
            share * 100.0,
            self.facts.memory_limit.unwrap_or(0) >> 20,
            minutes(self.config.memory_window),
            self.policy.memory * 100.0
        );
        let numbers = (share, self.policy.memory);
        Some(Symptom { text, ..self.symptom(SymptomKind::HighMemory, self.grade(share), numbers) })
    }

    fn leak(&self) -> Option<Symptom> {
        let leak = self.usage.leak(self.facts, self.config).filter(|_| self.runs())?;
        let mib_per_hour = |slope: f64| slope * 3600.0 / f64::from(1 << 20);
        let end = match self.facts.memory_limit {
            Some(_) => "reaches its limit".to_owned(),
            None => {
                format!("without a limit uses up the {} MiB its host has left", leak.left >> 20)
            }
        };
        let text = format!(
            "memory rises by {:.1} MiB per hour and {end} in {}; up to {:.1} MiB per hour is in order",
            mib_per_hour(leak.slope),
            minutes(leak.full_in),
            mib_per_hour(leak.threshold)
        );
        let numbers = (leak.slope, leak.threshold);
        let symptom = self.symptom(SymptomKind::MemoryLeak, Severity::Warning, numbers);
        Some(Symptom { text, ..symptom })
    }

    /// Tasks that wait for memory make it worse and are no sign by themselves: those of a container at
    /// its own limit wait as well.
    fn host_pressure(&self) -> Option<Symptom> {
        let used = self.usage.pressure.verdict().filter(|_| self.runs())?;
        let host = self.usage.host?;
        let stalled = host.stalled.unwrap_or(0.0) * 100.0;
        let mut text = format!(
            "its host has used {:.0} % of {} MiB of memory for {}, at most {:.0} % is in order; of the containers without a limit it is the largest, with {} MiB",
            used * 100.0,
            host.total >> 20,
            minutes(self.config.memory_window),
            self.config.host_memory_percent,
            self.facts.memory_bytes.unwrap_or(0) >> 20
        );
        let mut severity = self.grade(used);
        if stalled >= self.config.host_stall_percent {
            text.push_str(&format!("; tasks waited for memory {stalled:.0} % of the last minute"));
            severity = Severity::Critical;
        }
        let numbers = (used, self.config.host_memory_percent / 100.0);
        Some(Symptom { text, ..self.symptom(SymptomKind::HostPressure, severity, numbers) })
    }
}

/// A duration for people: seconds below two minutes, then minutes.
fn minutes(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}
