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
use super::rule::{RuleId, RuleSet};

/// Something in a text that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// In which line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Mistake {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// The rules that `text` writes.
///
/// # Errors
/// Everything in it that is not understood, by line.
pub fn read(text: &str) -> Result<RuleSet, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let scenarios = document::read(text, &mut mistakes);
    let scenarios = scenarios.iter().flat_map(|one| outline::expand(one, &mut mistakes));
    let scenarios: Vec<_> = scenarios.collect();
    let mut set = RuleSet::default();
    let mut lines: BTreeMap<RuleId, usize> = BTreeMap::new();
    for scenario in &scenarios {
        let Some(rule) = scenario::rule(scenario, &mut mistakes) else { continue };
        if let Some(first) = lines.insert(rule.id.clone(), scenario.line) {
            let message = format!("line {first} has a rule `{}` already; give one an @id", rule.id);
            mistakes.push(Mistake::new(scenario.line, message));
            continue;
        }
        set.rules.push(rule);
    }
    if mistakes.is_empty() {
        for problem in check::problems(&set) {
            let line = problem.rule.as_ref().and_then(|rule| lines.get(rule)).copied();
            mistakes.push(Mistake::new(line.unwrap_or(1), problem.to_string()));
        }
    }
    mistakes.sort();
    // A line of an outline is read once for each row.
    mistakes.dedup();
    if mistakes.is_empty() { Ok(set) } else { Err(mistakes) }
}
