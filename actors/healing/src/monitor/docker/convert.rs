//! From the engine's words to ours. Pure; tolerant of what older and newer engines leave out.

use std::collections::HashMap;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerStatsResponse,
    ContainerSummary, EventMessage, HealthStatusEnum, HostConfig, RestartPolicyNameEnum,
};
use perennial_runtime::Timestamp;

use super::fleet::{Host, Target};
use crate::model::{ContainerId, Facts, Health, RestartPolicy, Status, Subject};
use crate::monitor::fold::engine_time;
use crate::monitor::{ContainerEvent, EventKind, Inspection, Sample};

const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const SWARM_SERVICE: &str = "com.docker.swarm.service.name";

type Labels = HashMap<String, String>;

/// What a stream's event means here.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Notice {
    /// Something a Monitor folds.
    Event(ContainerEvent),
    /// Something only an inspection shows: paused, limits changed.
    LookAgain,
}

/// An event: whose, when in nanoseconds of the engine, and what. None for what is not watched.
pub(super) fn notice(event: &EventMessage) -> Option<(String, i64, Notice)> {
    let actor = event.actor.as_ref()?;
    let id = actor.id.clone()?;
    let nanos = event.time_nano.or_else(|| event.time?.checked_mul(1_000_000_000))?;
    let attribute = |name: &str| actor.attributes.as_ref()?.get(name).map(String::as_str);
    let action = event.action.as_deref()?;
    let (action, detail) = action.split_once(':').unwrap_or((action, ""));
    let kind = match action.trim() {
        "create" => EventKind::Create,
        "start" => EventKind::Start,
        "die" => EventKind::Die(attribute("exitCode").and_then(|code| code.parse().ok())?),
        "oom" => EventKind::Oom,
        "health_status" => EventKind::HealthStatus(detail.trim().to_owned()),
        "kill" => EventKind::Kill(attribute("signal").and_then(signal)?),
        "stop" => EventKind::Stop,
        "destroy" => EventKind::Destroy,
        "rename" => EventKind::Rename(attribute("name").unwrap_or_default().to_owned()),
        "pause" | "unpause" | "update" => return Some((id, nanos, Notice::LookAgain)),
        _ => return None,
    };
    let at = Timestamp::from_micros(u64::try_from(nanos / 1000).ok()?);
    Some((id, nanos, Notice::Event(ContainerEvent { at, kind })))
}

/// The labels of the container that an event carries, as a subject.
pub(super) fn subject_of_event(event: &EventMessage) -> Subject {
    let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
    attributes.map(|labels| subject(labels, &[None, None, None])).unwrap_or_default()
}

/// `fields`: id, name, image.
fn subject(labels: &Labels, fields: &[Option<&String>; 3]) -> Subject {
    let text = |field: Option<&String>| field.cloned().unwrap_or_default();
    let [id, name, image] = *fields;
    Subject {
        id: ContainerId(text(id)),
        name: text(name).trim_start_matches('/').to_owned(),
        image: text(image),
        project: labels.get(COMPOSE_PROJECT).cloned(),
        service: labels.get(COMPOSE_SERVICE).cloned(),
        swarm_service: labels.get(SWARM_SERVICE).cloned(),
    }
}

/// An inspection that was asked for at `at`, on a machine of `host_cpus` cores.
pub(super) fn inspection(
    at: Timestamp,
    seen: &ContainerInspectResponse,
    host_cpus: u32,
) -> Inspection {
    let config = seen.config.as_ref();
    let none = Labels::new();
    let labels = config.and_then(|config| config.labels.as_ref()).unwrap_or(&none);
    let image = config.and_then(|config| config.image.as_ref());
    let ours = |name: &str| {
        name.starts_with("perennial.") || name == "autoheal" || name.starts_with("autoheal.")
    };
    let mut kept: Vec<_> =
        labels.iter().filter(|(name, _)| ours(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    kept.sort();
    let check = config.and_then(|config| config.healthcheck.as_ref());
    let test = check.and_then(|check| check.test.as_ref());
    let health = seen.state.as_ref().and_then(|state| state.health.as_ref());
    Inspection {
        at,
        subject: subject(labels, &[seen.id.as_ref(), seen.name.as_ref(), image]),
        facts: facts(seen, host_cpus),
        labels: kept,
        created_at: seen.created.as_deref().and_then(engine_time).unwrap_or_default(),
        stop_signal: config.and_then(|config| signal(config.stop_signal.as_deref()?)),
        // `NONE` as a test switches an image's check off.
        has_health_check: health.is_some()
            || test.is_some_and(|test| test.first().is_some_and(|kind| kind != "NONE")),
    }
}

fn facts(seen: &ContainerInspectResponse, host_cpus: u32) -> Facts {
    let state = seen.state.clone().unwrap_or_default();
    let host = seen.host_config.clone().unwrap_or_default();
    let config = seen.config.as_ref();
    let status = status(&state);
    let ended = matches!(status, Status::Exited | Status::Restarting | Status::Dead);
    Facts {
        status,
        health: health(&state),
        exit_code: state.exit_code.filter(|_| ended),
        oom_killed: state.oom_killed.unwrap_or(false),
        restart_count: whole(seen.restart_count).unwrap_or(0),
        started_at: state.started_at.unwrap_or_default(),
        finished_at: state.finished_at.unwrap_or_default(),
        restart_policy: restart_policy(&host),
        memory_limit: host.memory.and_then(|b| u64::try_from(b).ok()).filter(|bytes| *bytes > 0),
        cpus: Some(cpus(&host).unwrap_or_else(|| f64::from(host_cpus.max(1)))),
        stop_timeout: config.and_then(|config| whole(config.stop_timeout)),
        ..Facts::default()
    }
}

fn whole(number: Option<i64>) -> Option<u32> {
    u32::try_from(number?).ok()
}

fn status(state: &ContainerState) -> Status {
    use ContainerStateStatusEnum as Engine;
    match state.status.unwrap_or(Engine::EMPTY) {
        Engine::CREATED | Engine::EMPTY => Status::Created,
        Engine::RUNNING | Engine::STOPPING => Status::Running,
        Engine::PAUSED => Status::Paused,
        Engine::RESTARTING => Status::Restarting,
        Engine::REMOVING => Status::Removing,
        Engine::EXITED => Status::Exited,
        Engine::DEAD => Status::Dead,
    }
}

fn health(state: &ContainerState) -> Health {
    use HealthStatusEnum as Engine;
    match state.health.as_ref().and_then(|health| health.status).unwrap_or(Engine::EMPTY) {
        Engine::EMPTY | Engine::NONE => Health::None,
        Engine::STARTING => Health::Starting,
        Engine::HEALTHY => Health::Healthy,
        Engine::UNHEALTHY => Health::Unhealthy,
    }
}

fn restart_policy(host: &HostConfig) -> RestartPolicy {
    use RestartPolicyNameEnum as Engine;
    let Some(policy) = &host.restart_policy else { return RestartPolicy::No };
    match policy.name.unwrap_or(Engine::EMPTY) {
        Engine::EMPTY | Engine::NO => RestartPolicy::No,
        Engine::ALWAYS => RestartPolicy::Always,
        Engine::UNLESS_STOPPED => RestartPolicy::UnlessStopped,
        Engine::ON_FAILURE => {
            RestartPolicy::OnFailure(whole(policy.maximum_retry_count).unwrap_or(0))
        }
    }
}

/// Cores its quota allows, if it has one.
fn cpus(host: &HostConfig) -> Option<f64> {
    let nano = host.nano_cpus.filter(|nano| *nano > 0).map(|nano| nano as f64 / 1e9);
    let quota = host.cpu_quota.filter(|quota| *quota > 0);
    // The kernel's period, in microseconds, where none is set.
    let period = host.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
    nano.or_else(|| quota.map(|quota| quota as f64 / period as f64))
}

/// A signal by number or by name.
fn signal(text: &str) -> Option<i32> {
    let name = text.trim().trim_start_matches("SIG");
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let known = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("ALRM", 14),
        ("TERM", 15),
        ("CONT", 18),
        ("STOP", 19),
        ("WINCH", 28),
        ("PWR", 30),
        ("RTMIN", 34),
    ];
    let (base, offset) = name.split_once('+').unwrap_or((name, "0"));
    let (_, number) = known.iter().find(|(known, _)| *known == base)?;
    Some(number + offset.parse::<i32>().ok()?)
}

/// What of a list's line tells that a container changed: everything but how long ago.
pub(super) fn summary(line: &ContainerSummary) -> String {
    let status = line.status.as_deref().unwrap_or_default();
    // "Exited (1) 3 minutes ago", "Up 2 hours (healthy)": what is in the brackets.
    let detail = status.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let name = line.names.iter().flatten().next().map_or("", String::as_str);
    let state = line.state.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{state}|{}|{name}", detail.map_or("", |(detail, _)| detail))
}

/// Whether its state is so young that it may be another run than at the last list.
pub(super) fn is_young(line: &ContainerSummary) -> bool {
    line.status.as_deref().is_none_or(|status| status.contains("second"))
}

/// The Compose project that a list's line names.
pub(super) fn project(line: &ContainerSummary) -> Option<&String> {
    line.labels.as_ref()?.get(COMPOSE_PROJECT)
}

/// A sample; none of a container that does not run. `now` stands in where the engine gave no time.
pub(super) fn sample(
    stats: &ContainerStatsResponse,
    target: &Target,
    host: Host,
    now: Timestamp,
) -> Option<Sample> {
    let cpu = stats.cpu_stats.as_ref()?;
    let memory = stats.memory_stats.as_ref()?;
    let usage = cpu.cpu_usage.as_ref()?;
    let in_use = memory.usage?;
    // Page cache that can be dropped: cgroup v1 names the hierarchy's total apart, v2 has only one.
    let parts = memory.stats.as_ref();
    let cache = parts
        .and_then(|parts| parts.get("total_inactive_file").or_else(|| parts.get("inactive_file")))
        .copied()
        .unwrap_or(0);
    let limited = |bytes: &u64| *bytes > 0 && (host.memory == 0 || *bytes < host.memory);
    Some(Sample {
        at: stats.read.as_deref().and_then(engine_time).unwrap_or(now),
        started_at: target.started_at.clone(),
        cpu_total_ns: usage.total_usage?,
        memory_bytes: in_use.saturating_sub(cache),
        memory_limit: memory.limit.filter(limited),
        host_cpus: host.cpus.max(1),
        network_bytes: network(stats),
        block_bytes: blocks(stats),
        host: None,
    })
}

fn network(stats: &ContainerStatsResponse) -> (u64, u64) {
    let all = stats.networks.iter().flat_map(HashMap::values);
    all.fold((0, 0), |(received, sent), one| {
        let (more_received, more_sent) = (one.rx_bytes.unwrap_or(0), one.tx_bytes.unwrap_or(0));
        (received.saturating_add(more_received), sent.saturating_add(more_sent))
    })
}

fn blocks(stats: &ContainerStatsResponse) -> (u64, u64) {
    let entries = stats.blkio_stats.as_ref().and_then(|io| io.io_service_bytes_recursive.as_ref());
    let sum = |name: &str| {
        let named = entries
            .into_iter()
            .flatten()
            .filter(|entry| entry.op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case(name)));
        named.filter_map(|entry| entry.value).fold(0, u64::saturating_add)
    };
    (sum("read"), sum("write"))
}

#[cfg(test)]
mod tests;
