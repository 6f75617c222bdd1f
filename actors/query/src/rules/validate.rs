//! What is suspicious about rules that can be performed.

use std::time::Duration;

use super::check::{of_action, of_rule};
use super::conflicts::conflicts;
use super::rule::{Rule, RuleAction};
use super::steps::calls;
use crate::check::place::{Findings, Place};

/// The characters of a name that people still read.
pub const NAME_LENGTH: usize = 100;
/// More actions belong into a pipeline, or into several rules.
pub const ACTIONS: usize = 10;
/// More tests are no longer understood at a glance.
pub const CONDITIONS: usize = 20;
/// Among more tests none are compared with each other: it takes the square of their number.
const COMPARED: usize = 200;
/// An attempt that may take longer holds up whoever waits for the rule.
pub const TIMEOUT: Duration = Duration::from_secs(300);
/// More attempts hide a fault instead of bridging it.
pub const ATTEMPTS: u32 = 10;

/// Tools that do whatever their arguments say. Where facts get into those, whoever gives the facts decides.
pub const DANGEROUS: [&str; 5] = ["shell", "execute_code", "run_command", "system_call", "eval"];

/// Warns of everything suspicious about `rule`: none of it keeps the rule from firing.
pub(super) fn warn(rule: &Rule, findings: &mut Findings) {
    let place = of_rule(rule);
    let length = rule.name.chars().count();
    if length > NAME_LENGTH {
        let message = format!("has {length} characters, more than {NAME_LENGTH}");
        findings.warning(&place.field("name"), "long_name", message);
    }
    if rule.actions.len() > ACTIONS {
        let message = format!("are {}, more than {ACTIONS}", rule.actions.len());
        findings.warning(&place.field("actions"), "many_actions", message);
    }
    let conditions = place.field("conditions");
    let tests = rule.condition.tests().len();
    if tests > CONDITIONS {
        let message = format!("are {tests}, more than {CONDITIONS}");
        findings.warning(&conditions, "many_conditions", message);
    }
    if tests <= COMPARED {
        for conflict in conflicts(&rule.condition) {
            findings.warning(&conditions, conflict.code, conflict.message);
        }
    }
    for action in &rule.actions {
        warn_of(action, &of_action(rule, &action.id), findings);
    }
}

fn warn_of(action: &RuleAction, place: &Place, findings: &mut Findings) {
    if let Some(timeout) = action.timeout.filter(|timeout| *timeout > TIMEOUT) {
        let message = format!("an attempt may take {timeout:?}, more than {TIMEOUT:?}");
        findings.warning(&place.field("timeout"), "long_timeout", message);
    }
    if action.retry.attempts > ATTEMPTS {
        let message = format!("are {}, more than {ATTEMPTS}", action.retry.attempts);
        findings.warning(&place.field("retry.attempts"), "many_attempts", message);
    }
    for call in calls(action).filter(|call| DANGEROUS.contains(&call.tool.as_str())) {
        let message =
            format!("`{}` does whatever it is told; let no facts decide what that is", call.tool);
        findings.warning(&place.field("tool"), "dangerous_tool", message);
    }
}
