//! Scenario outlines: a scenario for each row of the examples.

use std::collections::BTreeSet;

use super::Mistake;
use super::document::{Examples, Row, Scenario, Step};

/// A scenario without placeholders.
#[derive(Clone, Debug)]
pub(super) struct Concrete {
    /// The scenario itself.
    pub(super) scenario: Scenario,
    /// Its heading, or its row among the examples.
    pub(super) line: usize,
    /// The number of its row, from 1; none if it is no outline.
    pub(super) number: Option<usize>,
}

/// The scenarios that `scenario` stands for: itself, or one for each row of its examples.
pub(super) fn expand(scenario: &Scenario, mistakes: &mut Vec<Mistake>) -> Vec<Concrete> {
    if scenario.examples.is_empty() {
        if scenario.is_outline {
            mistakes.push(Mistake::new(scenario.line, "an outline has examples"));
            return Vec::new();
        }
        let line = scenario.line;
        return vec![Concrete { scenario: scenario.clone(), line, number: None }];
    }
    let mut concrete = Vec::new();
    for examples in &scenario.examples {
        let Some((header, rows)) = examples.rows.split_first().filter(|(_, rows)| !rows.is_empty())
        else {
            let message = "examples have a row of names, and rows of values under it";
            mistakes.push(Mistake::new(examples.line, message));
            continue;
        };
        unused(scenario, header, mistakes);
        for row in rows {
            let filled = fill(scenario, examples, &Filling { header, row }, mistakes);
            let number = Some(concrete.len() + 1);
            concrete.push(Concrete { scenario: filled, line: row.line, number });
        }
    }
    concrete
}

fn unused(scenario: &Scenario, header: &Row, mistakes: &mut Vec<Mistake>) {
    let mut used = BTreeSet::new();
    let mut look = |text: &str| used.extend(placeholders(text).map(|(name, _)| name.to_owned()));
    look(&scenario.name);
    for step in &scenario.steps {
        look(&step.text);
        step.table.iter().flat_map(|row| &row.cells).for_each(|cell| look(cell));
    }
    for name in header.cells.iter().filter(|name| !used.contains(*name)) {
        let message = format!("the column `{name}` is used by no step as `<{name}>`");
        mistakes.push(Mistake::new(header.line, message));
    }
}

struct Filling<'a> {
    header: &'a Row,
    row: &'a Row,
}

impl Filling<'_> {
    fn text(&self, line: usize, text: &str, mistakes: &mut Vec<Mistake>) -> String {
        let (mut out, mut end) = (String::new(), 0);
        for (name, at) in placeholders(text) {
            let column = self.header.cells.iter().position(|cell| cell == name);
            let Some(value) = column.and_then(|column| self.row.cells.get(column)) else {
                let message = format!("the examples have no column `{name}`");
                mistakes.push(Mistake::new(line, message));
                continue;
            };
            out.push_str(&text[end..at]);
            out.push_str(value);
            end = at + name.len() + 2;
        }
        out.push_str(&text[end..]);
        out
    }
}

fn fill(
    scenario: &Scenario,
    examples: &Examples,
    filling: &Filling<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Scenario {
    let mut step = |step: &Step| {
        let mut filled = step.clone();
        filled.text = filling.text(step.line, &step.text, mistakes);
        for row in &mut filled.table {
            let line = row.line;
            row.cells.iter_mut().for_each(|cell| *cell = filling.text(line, cell, mistakes));
        }
        filled
    };
    let steps = scenario.steps.iter().map(&mut step).collect();
    let name = filling.text(scenario.line, &scenario.name, mistakes);
    let tags = scenario.tags.iter().cloned().chain([examples.tags.clone()]).collect();
    Scenario { name, steps, tags, examples: Vec::new(), ..scenario.clone() }
}

/// The names in `<name>`, each with the place where its `<` stands. What has a space inside next to a bracket
/// is none, as in `a < b`.
fn placeholders(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.match_indices('<').filter_map(|(at, _)| {
        let inner = &text[at + 1..];
        let name = &inner[..inner.find(['<', '>'])?];
        let closed = inner[name.len()..].starts_with('>');
        (closed && !name.is_empty() && name.trim() == name).then_some((name, at))
    })
}
