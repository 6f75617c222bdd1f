//! What tools take from each other, as tags: whoever consumes something comes after all that produce it.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Step, StepId, Work};

/// What a tool takes from others and gives to others, by names that the table chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    pub(super) consumes: BTreeSet<String>,
    pub(super) produces: BTreeSet<String>,
}

impl Tags {
    fn comes_after(&self, other: &Self) -> bool {
        !self.consumes.is_disjoint(&other.produces)
    }
}

/// Has every step wait for those that produce what its tool consumes.
pub(super) fn link(steps: &mut [Step], tags: &BTreeMap<String, Tags>) {
    let tagged: Vec<(StepId, Option<&Tags>)> =
        steps.iter().map(|step| (step.id.clone(), of_step(step, tags))).collect();
    for (at, step) in steps.iter_mut().enumerate() {
        let Some(own) = tagged[at].1 else { continue };
        for (id, other) in &tagged {
            let before = *id != step.id && other.is_some_and(|other| own.comes_after(other));
            if before && !step.needs.contains(id) {
                step.needs.push(id.clone());
            }
        }
    }
}

fn of_step<'t>(step: &Step, tags: &'t BTreeMap<String, Tags>) -> Option<&'t Tags> {
    match &step.work {
        Work::Call(call) => tags.get(&call.tool),
        Work::Value(_) | Work::Gate { .. } | Work::Approval { .. } => None,
    }
}

/// Tools that come after themselves, each by way of the others; none if there is an order.
pub(super) fn cycle(tags: &BTreeMap<String, Tags>) -> Vec<&str> {
    let before: BTreeMap<&str, Vec<&str>> = tags
        .iter()
        .map(|(name, own)| {
            let others = tags.iter().filter(|(other, of)| *other != name && own.comes_after(of));
            (name.as_str(), others.map(|(other, _)| other.as_str()).collect())
        })
        .collect();
    before.keys().copied().filter(|name| leads_back(name, &before)).collect()
}

fn leads_back(name: &str, before: &BTreeMap<&str, Vec<&str>>) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), before[name].clone());
    while let Some(at) = open.pop() {
        if at == name {
            return true;
        }
        if seen.insert(at) {
            open.extend(&before[at]);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(rows: &[(&str, &[&str], &[&str])]) -> BTreeMap<String, Tags> {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let rows = rows.iter().map(|(name, consumes, produces)| {
            let tags = Tags { consumes: set(consumes), produces: set(produces) };
            ((*name).to_owned(), tags)
        });
        rows.collect()
    }

    #[test]
    fn tools_that_wait_for_each_other_are_found_and_those_around_them_are_not() {
        let rows = tags(&[
            ("a", &["z"], &["x"]),
            ("b", &["x"], &["y"]),
            ("c", &["y"], &["z"]),
            ("d", &["z"], &[]),
        ]);
        assert_eq!(cycle(&rows), ["a", "b", "c"]);
        assert!(cycle(&tags(&[("a", &[], &["x"]), ("b", &["x"], &["x"])])).is_empty());
    }
}
