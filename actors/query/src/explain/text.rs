//! An explanation in words.

use std::fmt;
use std::time::Duration;

use humantime_serde::re::humantime::format_duration;

use super::{CallExplanation, Explanation, StepExplanation};
use crate::plan::{OnFailure, StepId, Work};

/// What a step does.
pub(super) fn of_work(work: &Work) -> String {
    match work {
        Work::Call(call) => format!("calls {}", call.tool),
        Work::Value(_) => "gives a value".to_owned(),
        Work::Gate { that, .. } => format!("ends the query as abstained unless {that}"),
        Work::Approval { prompt, wait } => {
            format!("waits up to {} for a person to approve: {prompt}", format_duration(*wait))
        }
    }
}

/// What is done when no attempt is left.
pub(super) fn of_failure(policy: &OnFailure) -> String {
    match policy {
        OnFailure::Fail => "the query fails and nothing more is started".to_owned(),
        OnFailure::Continue => "the other steps go on, and the query has failed".to_owned(),
        OnFailure::Skip => {
            "the steps that need it are skipped, the others go on, and the query has failed"
                .to_owned()
        }
        OnFailure::Route(target) => format!("goes on at {target}, and the query has failed"),
        OnFailure::Fallback(calls) => {
            let tools: Vec<&str> = calls.iter().map(|call| call.tool.as_str()).collect();
            format!("{} is tried instead", tools.join(", then "))
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (steps, levels) = (self.steps.len(), self.levels.len());
        writeln!(out, "{}: {steps} steps on {levels} levels", self.name)?;
        if !self.description.is_empty() {
            writeln!(out, "{}", self.description.trim_end())?;
        }
        writeln!(out, "takes at the longest {}", shown(self.longest))?;
        let whose = |of_node| if of_node { ", the node's bound" } else { "" };
        let (timeout, tools) = (shown(self.timeout), self.max_parallel);
        writeln!(out, "is broken off after {timeout}{}", whose(self.timeout_of_node))?;
        let of_node = whose(self.max_parallel_of_node);
        writeln!(out, "calls at most {tools} tools at a time{of_node}")?;
        if !self.permissions.is_empty() {
            writeln!(out, "needs the permissions {}", self.permissions.join(", "))?;
        }
        for (number, level) in self.levels.iter().enumerate() {
            writeln!(out, "\nlevel {}", number + 1)?;
            for step in self.steps.iter().filter(|step| level.contains(&step.id)) {
                write!(out, "{step}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for StepExplanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "  {}: {}", self.id, self.does)?;
        if !self.waits_for.is_empty() {
            writeln!(out, "    waits for {}", listed(&self.waits_for))?;
        }
        if let Some(condition) = &self.condition {
            writeln!(out, "    only if {condition}")?;
        }
        if self.times != 1 {
            writeln!(out, "    at most {} times, {} at a time", self.times, self.max_parallel)?;
        }
        for call in &self.calls {
            writeln!(out, "    {call}")?;
        }
        if !self.calls.is_empty() {
            let (attempts, longest) = (self.attempts, shown(self.longest));
            writeln!(out, "    at most {attempts} attempts; at the longest {longest}")?;
        }
        writeln!(out, "    on failure: {}", self.on_failure)?;
        for (when, target) in [("success", &self.on_success), ("false", &self.on_false)] {
            if let Some(target) = target {
                writeln!(
                    out,
                    "    on {when}: goes on at {target}; what stands between is skipped"
                )?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for CallExplanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tool, group, group_concurrency, timeout, .. } = self;
        let timeout = shown(*timeout);
        write!(out, "{tool}: group {group} ({group_concurrency} at a time), {timeout} an attempt")?;
        if let Some(wanted) = self.shortened_from {
            write!(out, " (the tool's bound: the step asks for {})", shown(wanted))?;
        }
        if let Some(permission) = &self.permission {
            write!(out, ", needs the permission {permission}")?;
        }
        if self.changes_world {
            write!(out, ", changes the world")?;
        }
        Ok(())
    }
}

fn shown(duration: Duration) -> String {
    format_duration(duration).to_string()
}

fn listed(steps: &[StepId]) -> String {
    steps.iter().map(StepId::as_str).collect::<Vec<_>>().join(", ")
}
