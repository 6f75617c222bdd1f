//! Whether everything that expressions refer to is there.

use std::collections::{BTreeMap, BTreeSet};

use super::ids;
use super::place::{Findings, Place};
use super::sites::{self, Site};
use crate::expression;
use crate::names;
use crate::plan::Plan;

/// What every expression knows.
const TOP: [&str; 4] = ["inputs", "steps", "now", "query"];

/// What is known of a step that has ended, as in `steps.name.result`.
pub(super) const FIELDS: [&str; 7] =
    ["result", "success", "status", "error", "skipped", "attempts", "citations"];

/// Refuses what refers to something that is not there, and warns of inputs to which nothing refers.
pub(super) fn check(plan: &Plan, findings: &mut Findings) {
    let steps = plan.steps.iter().enumerate().map(|(at, step)| (step.id.as_str(), at));
    let mut check = Check {
        steps: steps.collect(),
        inputs: plan.inputs.iter().map(|input| input.name.as_str()).collect(),
        used: BTreeSet::new(),
        findings,
    };
    let mut all_used = false;
    for site in sites::of(plan) {
        match site.references() {
            Ok(references) => {
                for path in &references.0 {
                    all_used |= path == "inputs";
                    check.reference(&site, path);
                }
            }
            Err(error) => {
                check.findings.error(&site.place, "malformed_expression", error);
                check.findings.suggest(without_braces(&site));
            }
        }
    }
    let Check { used, .. } = check;
    for input in plan.inputs.iter().filter(|input| !all_used && !used.contains(&input.name)) {
        let place = Place::of_plan("inputs").field(&input.name);
        findings.warning(&place, "unused_input", "nothing refers to this input");
    }
}

/// An expression is not put in braces where nothing else can stand.
fn without_braces(site: &Site<'_>) -> Option<String> {
    let inner = site.text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let meant = site.is_expression() && expression::of_expression(inner).is_ok();
    meant.then(|| inner.to_owned())
}

/// The inputs to which something in `plan` refers. What cannot be read refers to nothing.
pub(crate) fn used_inputs(plan: &Plan) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for path in sites::of(plan).iter().filter_map(|site| site.references().ok()).flat_map(|r| r.0) {
        match path.split_once('.') {
            Some(("inputs", rest)) => {
                used.extend(rest.split('.').next().map(str::to_owned));
            }
            None if path == "inputs" => used.extend(plan.inputs.iter().map(|one| one.name.clone())),
            Some(_) | None => {}
        }
    }
    used
}

struct Check<'p, 'f> {
    steps: BTreeMap<&'p str, usize>,
    inputs: BTreeSet<&'p str>,
    used: BTreeSet<String>,
    findings: &'f mut Findings,
}

impl Check<'_, '_> {
    fn reference(&mut self, site: &Site<'_>, path: &str) {
        let mut parts = path.split('.');
        let first = parts.next().unwrap_or_default();
        match first {
            "inputs" => parts.next().into_iter().for_each(|input| self.input(site, input)),
            "steps" => self.step(site, parts.next(), parts.next()),
            "item" if site.known.item => {}
            "last" if site.known.last => {}
            "loop" if site.known.repeats() => {}
            _ if TOP.contains(&first) || expression::is_built_in(first) => {}
            _ => self.unknown(site, first),
        }
    }

    fn input(&mut self, site: &Site<'_>, name: &str) {
        if self.inputs.contains(name) {
            self.used.insert(name.to_owned());
            return;
        }
        let message = format!("there is no input `{name}`");
        self.findings.error(&site.place, "unknown_input", message);
        self.findings.suggest_closest(name, self.inputs.iter().copied());
    }

    fn step(&mut self, site: &Site<'_>, name: Option<&str>, field: Option<&str>) {
        let Some(name) = name else {
            // Outputs and the answer are made after all steps.
            if site.place.at.is_some() {
                let message = "`steps` needs the name of one, as in `steps.name.result`";
                self.findings.error(&site.place, "all_steps", message);
            }
            return;
        };
        let Some(at) = self.steps.get(name) else {
            ids::unknown_step(&site.place, name, self.steps.keys().copied(), self.findings);
            return;
        };
        match field {
            Some(field) if !FIELDS.contains(&field) => self.step_field(site, name, field),
            // The graph finds a step that waits for its own result.
            Some("result") => {}
            Some(_) | None if site.place.at == Some(*at) && !site.known.itself => {
                let message = format!("`steps.{name}` is not there before the step has ended");
                self.findings.error(&site.place, "self_reference", message);
            }
            Some(_) | None => {}
        }
    }

    fn step_field(&mut self, site: &Site<'_>, name: &str, field: &str) {
        let message = format!("`steps.{name}` has no `{field}`; it has {}", FIELDS.join(", "));
        self.findings.error(&site.place, "unknown_step_field", message);
        let meant = match names::closest(field, FIELDS) {
            Some(meant) => format!("steps.{name}.{meant}"),
            None => format!("steps.{name}.result.{field}"),
        };
        self.findings.suggest(Some(meant));
    }

    fn unknown(&mut self, site: &Site<'_>, name: &str) {
        let message = match name {
            "item" => "only a step with `each` knows `item`, and not in its `if` or `each`".into(),
            "last" => "only a step with `while` knows `last`, and not in its `if`".into(),
            "loop" => "only a step with `each` or `while` knows `loop`, and not in its `if`".into(),
            _ => format!("there is no `{name}`"),
        };
        self.findings.error(&site.place, "unknown_name", message);
        if self.steps.contains_key(name) {
            self.findings.suggest(Some(format!("steps.{name}.result")));
        } else if self.inputs.contains(name) {
            self.findings.suggest(Some(format!("inputs.{name}")));
        } else {
            self.findings.suggest_closest(name, TOP);
        }
    }
}
