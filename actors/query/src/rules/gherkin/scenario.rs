//! From a scenario to a rule.

use std::collections::BTreeSet;

use super::document::{Step, StepKind, Tag};
use super::outline::Concrete;
use super::words::{Names, slug, tokens};
use super::{Mistake, action, condition};
use crate::plan::StepId;
use crate::rules::condition::Condition;
use crate::rules::rule::{Priority, Rule, RuleAction, RuleId};

/// The rule that `concrete` writes, if all of it is understood.
pub(super) fn rule(concrete: &Concrete, mistakes: &mut Vec<Mistake>) -> Option<Rule> {
    let (scenario, before) = (&concrete.scenario, mistakes.len());
    let marks = Marks::of(&scenario.tags, mistakes);
    let id = id(concrete, marks.id.as_deref(), mistakes);
    let conditions = conditions(&scenario.steps, mistakes);
    let actions = actions(&scenario.steps, mistakes);
    let complete = mistakes.len() == before;
    for (missing, what) in [(conditions.is_empty(), "Given or When"), (actions.is_empty(), "Then")]
    {
        if complete && missing {
            let message = format!("the scenario has no step with {what}");
            mistakes.push(Mistake::new(scenario.line, message));
        }
    }
    (mistakes.len() == before).then(|| Rule {
        id: RuleId(id),
        name: scenario.name.clone(),
        description: scenario.within.clone(),
        priority: marks.priority.unwrap_or_default(),
        enabled: !marks.disabled,
        condition: Condition::All(conditions),
        actions,
        required_roles: marks.roles,
    })
}

fn id(concrete: &Concrete, marked: Option<&str>, mistakes: &mut Vec<Mistake>) -> String {
    let scenario = &concrete.scenario;
    let plain: String = scenario
        .name
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { ' ' })
        .collect();
    let named = marked.map(str::to_owned).or_else(|| slug(plain.split_whitespace()));
    let Some(name) = named else {
        let message = "the name makes no id; it begins with a letter, or an @id:NAME says another";
        mistakes.push(Mistake::new(scenario.line, message));
        return String::new();
    };
    match concrete.number {
        Some(number) => format!("{name}_{number}"),
        None => name,
    }
}

fn conditions(steps: &[Step], mistakes: &mut Vec<Mistake>) -> Vec<Condition> {
    let given = || steps.iter().filter(|step| step.kind != StepKind::Then);
    let mut names = Names::default();
    for tokens in given().filter_map(|step| tokens(&step.text).ok()) {
        names.introduce(&tokens);
    }
    let mut conditions = Vec::new();
    for step in given() {
        match condition::read(step, &mut names) {
            Ok(found) => conditions.extend(found),
            Err(found) => mistakes.extend(found),
        }
    }
    conditions
}

fn actions(steps: &[Step], mistakes: &mut Vec<Mistake>) -> Vec<RuleAction> {
    let mut actions: Vec<RuleAction> = Vec::new();
    let mut taken = BTreeSet::new();
    for step in steps.iter().filter(|step| step.kind == StepKind::Then) {
        match action::read(step) {
            Ok(found) => {
                for mut action in found {
                    action.id = free(action.id, &taken);
                    taken.insert(action.id.clone());
                    actions.push(action);
                }
            }
            Err(found) => mistakes.extend(found),
        }
    }
    actions
}

/// The id itself, or with the first number behind it that is not taken.
fn free(id: StepId, taken: &BTreeSet<StepId>) -> StepId {
    let numbered = |number: usize| StepId(format!("{id}_{number}"));
    if !taken.contains(&id) {
        return id;
    }
    // Of one more number than ids are taken, one is free.
    (2..taken.len() + 3).map(numbered).find(|id| !taken.contains(id)).unwrap_or(id)
}

/// What tags say.
#[derive(Default)]
struct Marks {
    priority: Option<Priority>,
    disabled: bool,
    roles: Vec<String>,
    id: Option<String>,
}

impl Marks {
    fn of(levels: &[Vec<Tag>], mistakes: &mut Vec<Mistake>) -> Self {
        let mut marks = Self::default();
        for level in levels {
            let (mut priority, mut roles) = (None, Vec::new());
            for tag in level {
                let mut mistake = |message: String| mistakes.push(Mistake::new(tag.line, message));
                match read(&tag.text) {
                    Some(Mark::Priority(found)) => {
                        if priority.replace(found).is_some_and(|other| other != found) {
                            mistake(format!("`@{}` is the second priority here", tag.text));
                        }
                    }
                    Some(Mark::Disabled) => marks.disabled = true,
                    Some(Mark::Role(role)) => roles.push(role),
                    Some(Mark::Id(id)) => marks.id = Some(id),
                    None => mistake(format!(
                        "`@{}` says nothing; tags are @critical, @high, @medium, @low, \
                         @priority:NUMBER, @disabled, @role:NAME and @id:NAME",
                        tag.text
                    )),
                }
            }
            marks.priority = priority.or(marks.priority);
            if !roles.is_empty() {
                marks.roles = roles;
            }
        }
        marks
    }
}

enum Mark {
    Priority(Priority),
    Disabled,
    Role(String),
    Id(String),
}

fn read(tag: &str) -> Option<Mark> {
    if tag == "disabled" {
        return Some(Mark::Disabled);
    }
    let Some((name, value)) = tag.split_once(':') else {
        let named = Priority::NAMED.iter().any(|(name, _)| *name == tag);
        return Priority::parse(tag).filter(|_| named).map(Mark::Priority);
    };
    match name {
        "priority" => Priority::parse(value).map(Mark::Priority),
        "role" if !value.is_empty() => Some(Mark::Role(value.to_owned())),
        "id" if StepId::is_valid(value) => Some(Mark::Id(value.to_owned())),
        _ => None,
    }
}
