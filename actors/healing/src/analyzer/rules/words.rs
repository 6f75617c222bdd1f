//! What the rules say to people: causes with the numbers, and advice.

use crate::analyzer::exit_codes::meaning;
use crate::analyzer::rules::Case;
use crate::model::{RestartPolicy, Status, SymptomKind};

/// The symptoms' own sentences.
pub(super) fn symptoms(case: &Case<'_>) -> String {
    if case.symptoms.is_empty() {
        return gone(case);
    }
    let texts: Vec<&str> = case.symptoms.iter().map(|symptom| symptom.text.as_str()).collect();
    texts.join("; ")
}

pub(super) fn passing(case: &Case<'_>) -> String {
    if case.symptoms.is_empty() {
        return gone(case);
    }
    format!("a passing state: {}", symptoms(case))
}

fn gone(case: &Case<'_>) -> String {
    let kinds: Vec<&str> = case.gone.iter().map(|kind| kind.as_str()).collect();
    format!("no longer shown: {}", kinds.join(", "))
}

pub(super) fn ended(case: &Case<'_>) -> String {
    match case.facts.exit_code {
        Some(code) => {
            format!("it ended with exit code {code}: {}", meaning(code, case.facts.oom_killed).text)
        }
        None => format!("it ended; {}", symptoms(case)),
    }
}

pub(super) fn state(case: &Case<'_>) -> String {
    let state = match case.facts.status {
        Status::Paused => "paused",
        Status::Dead => "dead: the engine could not remove it",
        Status::Removing => "being removed",
        Status::Gone => "gone",
        Status::Created => "created and never started",
        Status::Running => "running",
        Status::Restarting => "between two runs",
        Status::Exited => "down",
    };
    format!("it is {state}; {}", symptoms(case))
}

pub(super) fn look_at_state(case: &Case<'_>) -> String {
    match case.facts.status {
        Status::Paused => "somebody paused it: unpause it when that is over".to_owned(),
        Status::Dead => "remove it by force and create it again".to_owned(),
        Status::Removing
        | Status::Gone
        | Status::Created
        | Status::Running
        | Status::Restarting
        | Status::Exited => "nothing: it is going away".to_owned(),
    }
}

/// The cause of an OOM kill with limit and peak.
pub(super) fn out_of_memory(case: &Case<'_>) -> String {
    let limit = match case.facts.memory_limit {
        Some(limit) => format!("its limit of {}", mebibytes(limit)),
        None => "the host's memory (it has no limit of its own)".to_owned(),
    };
    // Of a run that is over nothing can be measured any more; the engine's figures are the next one's.
    let (peak, last) = match case.back_from_out_of_memory() {
        true => (None, None),
        false => (case.memory_peak, case.facts.memory_bytes),
    };
    let peak = match (peak, last) {
        (Some(peak), _) => format!("peak {}", mebibytes(peak)),
        (None, Some(bytes)) => format!("last measured {}, peak not known", mebibytes(bytes)),
        // The kernel kills when the limit is reached, so the peak was the limit.
        (None, None) => "peak: all of it".to_owned(),
    };
    format!("it used up {limit} and was killed for memory ({peak})")
}

pub(super) fn out_of_memory_advice(case: &Case<'_>) -> String {
    format!("{}; {}", out_of_memory(case), raise_limit(case))
}

pub(super) fn raise_limit(case: &Case<'_>) -> String {
    match case.facts.memory_limit {
        Some(limit) => {
            format!("raise its memory limit (now {}) or lower what it needs", mebibytes(limit))
        }
        None => "give it a memory limit of its own, or the host more memory".to_owned(),
    }
}

pub(super) fn relieve_host(_: &Case<'_>) -> String {
    "find out what uses the memory, here or elsewhere on the host; give this container a memory limit, \
     move some of the load away, or give the host more memory"
        .to_owned()
}

pub(super) fn set_limit(_: &Case<'_>) -> String {
    "give it a memory limit, so that it cannot take all that its host has; restart it by hand if the \
     host runs short"
        .to_owned()
}

pub(super) fn crash_loop(case: &Case<'_>) -> String {
    let restarts = case.facts.restarts_in_window.max(1);
    format!("a crash loop: {restarts} restarts within the window; {}", ended(case))
}

pub(super) fn stop_restarting(case: &Case<'_>) -> String {
    let by = match case.facts.restart_policy {
        RestartPolicy::No => "stop restarting it",
        RestartPolicy::OnFailure(_) | RestartPolicy::Always | RestartPolicy::UnlessStopped => {
            "stop it, or the engine's restart policy goes on"
        }
    };
    format!("{by}; find the cause in its last log lines, then start it again")
}

pub(super) fn look_at_job(_: &Case<'_>) -> String {
    "read its last log lines and run it again by hand if that is safe".to_owned()
}

pub(super) fn fix_command(_: &Case<'_>) -> String {
    "correct its command, its entry point or its image, and create it again".to_owned()
}

pub(super) fn engine_acts(case: &Case<'_>) -> String {
    let policy = match case.facts.restart_policy {
        RestartPolicy::No => "no".to_owned(),
        RestartPolicy::OnFailure(0) => "on-failure".to_owned(),
        RestartPolicy::OnFailure(most) => {
            format!("on-failure, {} of {most} used", case.facts.restart_count)
        }
        RestartPolicy::Always => "always".to_owned(),
        RestartPolicy::UnlessStopped => "unless-stopped".to_owned(),
    };
    let state = if case.facts.status == Status::Exited {
        "if it stays down, somebody stopped it by hand: start it when that is over"
    } else {
        "if it keeps ending, that is a crash loop of its own"
    };
    format!("no action is needed now: the engine restarts it (policy {policy}); {state}")
}

pub(super) fn watch(_: &Case<'_>) -> String {
    "no action is needed now: it runs again and is watched".to_owned()
}

pub(super) fn look_at_check(case: &Case<'_>) -> String {
    let hint = if case.resources().next().is_some() { ", and its load" } else { "" };
    format!("look at the check's interval, timeout and retries, at what it depends on{hint}")
}

pub(super) fn give_cpu(case: &Case<'_>) -> String {
    let kind = SymptomKind::HighCpu.as_str();
    let cpus = case.facts.cpus.map_or_else(String::new, |cpus| format!(" (now {cpus:.1})"));
    format!("if this load is wanted, give it more CPUs{cpus} or raise its {kind} threshold")
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
