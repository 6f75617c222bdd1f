//! Rules in sentences, in the notation of Gherkin. A bounded set of forms is understood; every other line is
//! refused with its number, and none is passed over.
//!
//! A scenario is a rule: `Given` and `When` are its conditions, all of which must be true, `Then` its actions,
//! `And` and `But` more of the same. Conditions of a `Background` hold for every scenario behind it. A
//! `Scenario Outline` is a rule for each row of its `Examples`. Comments stand behind `#`; text under
//! `Feature` and `Rule` is for people.
//!
//! Tags: `@critical`, `@high`, `@medium`, `@low` or `@priority:7`, `@disabled`, `@role:NAME` (one of several is
//! needed), and of a scenario `@id:NAME`. Otherwise the id is the name in lower case with underscores, with
//! the number of the row behind it for an outline. What is nearer to the scenario wins.
//!
//! # Conditions
//!
//! | Sentence | Test |
//! |---|---|
//! | `the sentiment score is below 0.3` | `sentiment_score` less_than 0.3 |
//! | `a customer with tier "premium"` | `tier` equals "premium"; from now on `the customer sentiment score` is `sentiment_score` |
//! | `a customer with the following attributes:` and a table | a test for each row |
//! | `the following facts:` and a table | the same |
//! | `more than 2 interactions`, `there are at most 3 orders` | `interactions` greater_than 2, … |
//! | `the customer has at least 2 orders` | `customer_orders` greater_or_equal 2, or `orders` as above |
//! | `the customer's address is "x"` | `customer.address` equals "x" |
//! | `` `transaction.amount` is above ${limits.amount} `` | exactly this field, compared with another |
//! | `When a support ticket is created` | `event` equals "support_ticket_created" |
//!
//! Comparisons are `is`, `is not`, `equals`, `is below`, `is above`, `exceeds`, `is at least`, `is at most`,
//! `is between 1 and 2`, `is one of "a", "b"`, `is not one of`, `contains`, `does not contain`, `starts with`,
//! `ends with`, `matches`, `exists`, `does not exist`, and the synonyms in the source; `ignoring case` may
//! follow. Values are numbers, `true`, `false`, text in quotes, and `${field}`.
//!
//! Tables of conditions have the columns `attribute` (or `field`) and `value`, and may have `operator` between
//! them. In tables text needs no quotes.
//!
//! # Actions
//!
//! | Sentence | Call |
//! |---|---|
//! | `call notify with channel = "ops", text = "{{ facts.name }}"` | the tool `notify` with these arguments |
//! | `escalate to manager via MCP toolkit` (or `using`) | the tool `mcp_toolkit` with `action` = "escalate to manager" |
//! | either, and a table with the columns `argument` and `value` | the same with these arguments |
//! | `the following actions:` and a table | an action for each row: column `tool`, perhaps `id`, others are arguments |
//!
//! The id of an action is its phrase, or the name of the tool it calls, with underscores; a second of the same
//! name has `_2` behind it.

mod action;
mod comparison;
mod condition;
mod document;
mod outline;
mod scenario;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::check;
use super::read::Read;
use super::rule::{RuleId, RuleSet};
use crate::check::Finding;
use crate::check::place::{Findings, Place};
use crate::tool::Catalogue;

/// Something in a text that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mistake {
    /// From 1.
    line: usize,
    message: String,
}

impl Mistake {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// Reads the rules in `text`, whose actions may call the tools in `catalogue`; without one, tools are not
/// looked at.
///
/// # Errors
/// Everything in it that is not understood, wrong or doubtful, each with its line: at least one
/// [`Finding::is_error`].
pub fn read(text: &str, catalogue: Option<&Catalogue>) -> Result<Read, Vec<Finding>> {
    let mut mistakes = Vec::new();
    let (set, lines) = rules(text, &mut mistakes);
    mistakes.sort();
    // A line of an outline is read once for each row.
    mistakes.dedup();
    let mut findings = Findings::default();
    for mistake in mistakes {
        findings.error(&Place::default(), "not_understood", mistake.message);
        findings.in_line(Some(mistake.line));
    }
    let mut found = check::examine_set(&set, catalogue);
    for (place, finding) in &mut found.0 {
        let named = lines.iter().find(|(rule, _)| is_of(place, rule));
        finding.line = named.map(|(_, line)| *line);
    }
    findings.0.extend(found.0);
    let mut findings = findings.into_findings();
    findings.sort_by_key(|finding| finding.line);
    Read::unless(set, findings)
}

/// Whether `place` is in the rule `rule`.
fn is_of(place: &Place, rule: &RuleId) -> bool {
    let behind =
        place.path.strip_prefix("rules.").and_then(|path| path.strip_prefix(rule.as_str()));
    behind.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The rules that are understood, with the lines in which they begin.
fn rules(text: &str, mistakes: &mut Vec<Mistake>) -> (RuleSet, BTreeMap<RuleId, usize>) {
    let (mut set, mut lines) = (RuleSet::default(), BTreeMap::new());
    let written = document::read(text, mistakes);
    if written.is_empty() && mistakes.is_empty() {
        mistakes.push(Mistake::new(1, "there is no scenario in it"));
    }
    for scenario in &written {
        for concrete in outline::expand(scenario, mistakes) {
            let Some(rule) = scenario::rule(&concrete, mistakes) else { continue };
            if let Some(first) = lines.insert(rule.id.clone(), concrete.line) {
                let message =
                    format!("line {first} has a rule `{}` already; give one an @id", rule.id);
                mistakes.push(Mistake::new(concrete.line, message));
                continue;
            }
            set.rules.push(rule);
        }
    }
    (set, lines)
}
