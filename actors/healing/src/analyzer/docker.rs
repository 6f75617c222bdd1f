//! The edge: asks the engine for evidence. Whatever cannot be had is named and not waited for.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{ContainerInspectResponse, ContainerState, HostConfig, RestartPolicy};
use bollard::query_parameters::{InspectContainerOptions, LogsOptions, StatsOptions};
use futures::StreamExt;
use perennial_runtime::{Attempt, EffectError, Performer, instant};
use tokio::time::timeout_at;

use crate::analyzer::evidence::{CaptureEvidence, LOG_LINES, MEMORY_PEAK, log_tail, one_line};
use crate::docker::{Engine, EngineError};
use crate::model::Evidence;

/// The label that keeps a container from models, and what [`Evidence::inspect`] calls it.
pub(super) const MODEL_LABEL: &str = "perennial.model";
/// Longest time one capture takes in all.
const TOTAL: Duration = Duration::from_secs(3);
/// Lines asked for: more than are kept, so that a private key that began before them is seen.
const TAIL: usize = LOG_LINES * 2;
/// Bytes of log that are read at most.
const LOG_BYTES: usize = 4 << 20;
/// Results of the health check that are kept.
const HEALTH_RESULTS: usize = 3;

/// Captures evidence from the engine.
#[derive(Clone, Debug)]
pub struct EvidencePerformer {
    engine: Engine,
}

impl EvidencePerformer {
    /// Captures from `engine`.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl Performer<CaptureEvidence> for EvidencePerformer {
    async fn perform(
        &self,
        effect: &CaptureEvidence,
        attempt: &Attempt,
    ) -> Result<Evidence, EffectError> {
        let id = effect.subject.id.0.as_str();
        let ((log, log_end), inspected, peak) =
            tokio::join!(self.log(id), self.inspect(id), self.memory_peak(id));
        if let (Err(lost), Err(_)) = (&log_end, &inspected)
            && lost.is_lost()
            && log.is_empty()
        {
            return Err(EffectError::transient(lost));
        }
        let mut evidence = Evidence {
            at: attempt.now,
            log: log_tail(log.iter().map(String::as_str)),
            ..Evidence::default()
        };
        if let Err(error) = log_end {
            evidence.missing.push(format!("log: {error}"));
        }
        match inspected {
            Ok(answer) => evidence.inspect = facts(&answer),
            Err(error) => evidence.missing.push(format!("inspection: {error}")),
        }
        match peak {
            Ok(Some(bytes)) => {
                evidence.inspect.insert(MEMORY_PEAK.to_owned(), bytes.to_string());
            }
            Ok(None) => {
                evidence.missing.push("memory peak: the engine does not report it".to_owned())
            }
            Err(error) => evidence.missing.push(format!("memory peak: {error}")),
        }
        Ok(evidence)
    }
}

impl EvidencePerformer {
    async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, EngineError> {
        let request = |docker: bollard::Docker| async move {
            docker.inspect_container(id, None::<InspectContainerOptions>).await
        };
        self.engine.call(TOTAL, request).await
    }

    /// The most memory ever used; engines on cgroup v2 do not tell, and give nothing for a container
    /// that is down.
    async fn memory_peak(&self, id: &str) -> Result<Option<u64>, EngineError> {
        let request = |docker: bollard::Docker| async move {
            let options = StatsOptions { stream: false, one_shot: true };
            pin!(docker.stats(id, Some(options))).next().await.transpose()
        };
        let stats = self.engine.call(TOTAL, request).await?;
        let memory = stats.and_then(|stats| stats.memory_stats);
        Ok(memory.and_then(|memory| memory.max_usage).filter(|peak| *peak > 0))
    }

    /// The lines that came in time, and why there are not more, if the log did not end by itself.
    async fn log(&self, id: &str) -> (Vec<String>, Result<(), EngineError>) {
        let deadline = instant() + TOTAL;
        let mut lines = Lines::default();
        let late = || Err(EngineError::TimedOut(TOTAL));
        let docker = match timeout_at(deadline, self.engine.client()).await {
            Ok(Ok(docker)) => docker.clone(),
            Ok(Err(error)) => return (Vec::new(), Err(error)),
            Err(_) => return (Vec::new(), late()),
        };
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: TAIL.to_string(),
            ..LogsOptions::default()
        };
        let mut chunks = pin!(docker.logs(id, Some(options)));
        let end = loop {
            match timeout_at(deadline, chunks.next()).await {
                Ok(Some(Ok(chunk))) if lines.bytes < LOG_BYTES => lines.add(&chunk),
                Ok(Some(Ok(_)) | None) => break Ok(()),
                Ok(Some(Err(error))) => break Err(error.into()),
                Err(_) => break late(),
            }
        };
        (lines.finish(), end)
    }
}

/// Puts chunks of the two streams together to lines.
#[derive(Debug, Default)]
struct Lines {
    whole: Vec<String>,
    /// The unfinished line of each stream, standard output first.
    open: [Vec<u8>; 2],
    bytes: usize,
}

impl Lines {
    fn add(&mut self, chunk: &LogOutput) {
        let (stream, message) = match chunk {
            LogOutput::StdErr { message } => (1, message),
            LogOutput::StdOut { message }
            | LogOutput::StdIn { message }
            | LogOutput::Console { message } => (0, message),
        };
        self.bytes += message.len();
        let [out, err] = &mut self.open;
        let open = if stream == 1 { err } else { out };
        for part in message.split_inclusive(|byte| *byte == b'\n') {
            open.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.whole.push(String::from_utf8_lossy(open).trim_end().to_owned());
                open.clear();
            }
        }
    }

    fn finish(mut self) -> Vec<String> {
        for open in self.open.iter().filter(|open| !open.is_empty()) {
            self.whole.push(String::from_utf8_lossy(open).into_owned());
        }
        self.whole
    }
}

/// What an inspection says that helps to find a cause. Values of environment variables are never
/// taken, only their names.
fn facts(answer: &ContainerInspectResponse) -> BTreeMap<String, String> {
    let mut facts = Facts(BTreeMap::new());
    facts.put("restart_count", answer.restart_count);
    facts.put("driver", answer.driver.as_deref());
    if let Some(state) = &answer.state {
        facts.state(state);
    }
    if let Some(host) = &answer.host_config {
        facts.limits(host);
    }
    if let Some(config) = &answer.config {
        facts.put("image", config.image.as_deref());
        facts.put("user", config.user.as_deref());
        facts.put("working_dir", config.working_dir.as_deref());
        facts.put("stop_signal", config.stop_signal.as_deref());
        let labels = config.labels.as_ref();
        facts.put(MODEL_LABEL, labels.and_then(|labels| labels.get(MODEL_LABEL)));
        let names = config.env.iter().flatten().filter_map(|entry| entry.split('=').next());
        facts.put("env_names", Some(names.collect::<Vec<_>>().join(" ")));
    }
    let words = answer.path.iter().chain(answer.args.iter().flatten());
    let command: Vec<&str> = words.map(String::as_str).collect();
    facts.put("command", Some(command.join(" ")));
    facts.0
}

#[derive(Debug)]
struct Facts(BTreeMap<String, String>);

impl Facts {
    fn put(&mut self, name: &str, value: Option<impl ToString>) {
        let text = value.map(|value| one_line(&value.to_string())).unwrap_or_default();
        if !text.is_empty() {
            self.0.insert(name.to_owned(), text);
        }
    }

    fn state(&mut self, state: &ContainerState) {
        self.put("status", state.status);
        self.put("exit_code", state.exit_code);
        self.put("oom_killed", state.oom_killed);
        self.put("error", state.error.as_deref());
        self.put("started_at", state.started_at.as_deref());
        self.put("finished_at", state.finished_at.as_deref());
        let Some(health) = &state.health else { return };
        self.put("health", health.status);
        self.put("health_failing_streak", health.failing_streak);
        let results = health.log.iter().flatten().rev().take(HEALTH_RESULTS);
        for (number, result) in (1..).zip(results) {
            let code = result.exit_code.unwrap_or_default();
            let output = result.output.as_deref().unwrap_or_default();
            self.put(&format!("health_log_{number}"), Some(format!("exit {code}: {output}")));
        }
    }

    fn limits(&mut self, host: &HostConfig) {
        self.put("restart_policy", host.restart_policy.as_ref().and_then(policy));
        self.put("memory_limit_bytes", host.memory.filter(|limit| *limit > 0));
        self.put("memory_swap_bytes", host.memory_swap.filter(|limit| *limit != 0));
        self.put("pids_limit", host.pids_limit.filter(|limit| *limit > 0));
        self.put("cpuset", host.cpuset_cpus.as_deref());
        self.put("nano_cpus", host.nano_cpus.filter(|cpus| *cpus > 0));
        self.put("cpu_quota_us", host.cpu_quota.filter(|quota| *quota > 0));
        self.put("cpu_period_us", host.cpu_period.filter(|period| *period > 0));
        self.put("read_only", host.readonly_rootfs.filter(|read_only| *read_only));
    }
}

fn policy(policy: &RestartPolicy) -> Option<String> {
    let name = policy.name.as_ref()?.to_string();
    match policy.maximum_retry_count {
        Some(most) if most > 0 => Some(format!("{name}:{most}")),
        Some(_) | None => Some(name).filter(|name| !name.is_empty()),
    }
}

#[cfg(test)]
mod tests;
