//! What is suspicious about rules that can be performed.

use std::time::Duration;

use super::check::{Problem, calls};
use super::conflicts::conflicts;
use super::rule::{Rule, RuleAction, RuleSet};

/// The characters of a name that people still read.
pub const NAME_LENGTH: usize = 100;
/// More actions belong into a pipeline, or into several rules.
pub const ACTIONS: usize = 10;
/// More tests are no longer understood at a glance.
pub const CONDITIONS: usize = 20;
/// An attempt that may take longer holds up whoever waits for the rule.
pub const TIMEOUT: Duration = Duration::from_secs(300);
/// More attempts hide a fault instead of bridging it.
pub const ATTEMPTS: u32 = 10;

/// Tools that do whatever their arguments say. Where facts get into those, whoever gives the facts decides.
pub const DANGEROUS: [&str; 5] = ["shell", "execute_code", "run_command", "system_call", "eval"];

/// Everything suspicious about `set`: none of it keeps a rule from firing.
#[must_use]
pub fn warnings(set: &RuleSet) -> Vec<Problem> {
    set.rules.iter().flat_map(of_rule).collect()
}

fn of_rule(rule: &Rule) -> Vec<Problem> {
    let mut found = Vec::new();
    let length = rule.name.chars().count();
    if length > NAME_LENGTH {
        found.push(format!("its name has {length} characters, more than {NAME_LENGTH}"));
    }
    if rule.actions.len() > ACTIONS {
        found.push(format!("it has {} actions, more than {ACTIONS}", rule.actions.len()));
    }
    let tests = rule.condition.tests().len();
    if tests > CONDITIONS {
        found.push(format!("it has {tests} conditions, more than {CONDITIONS}"));
    }
    found.extend(conflicts(&rule.condition));
    let mut problems: Vec<Problem> =
        found.into_iter().map(|message| Problem::of_rule(rule, message)).collect();
    for action in &rule.actions {
        let found = of_action(action).into_iter();
        problems.extend(found.map(|message| Problem::of_action(rule, &action.id, message)));
    }
    problems
}

fn of_action(action: &RuleAction) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(timeout) = action.timeout.filter(|timeout| *timeout > TIMEOUT) {
        let (given, most) = (timeout.as_secs(), TIMEOUT.as_secs());
        found.push(format!("an attempt may take {given} s, more than {most} s"));
    }
    if action.retry.attempts > ATTEMPTS {
        found.push(format!("it has {} attempts, more than {ATTEMPTS}", action.retry.attempts));
    }
    let dangerous = calls(action).filter(|call| DANGEROUS.contains(&call.tool.as_str()));
    found.extend(dangerous.map(|call| {
        let tool = &call.tool;
        format!("`{tool}` does whatever it is told; let no facts decide what that is")
    }));
    found
}
