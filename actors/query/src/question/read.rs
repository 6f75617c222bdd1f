//! Tables of intents as people write them; see [`question`](super) for the format. Everything that is wrong
//! with one is told at once, with its line.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use super::batches::{self, Tags};
use super::builtin;
use super::compose::gate_ids;
use super::inspect;
use super::intents::{Intent, PRIORITY, Table};
use super::period::{Calendar, FURTHEST, Unit, Word, day_of_year};
use super::words::Words;
use crate::check::Finding;
use crate::check::place::{Findings, Place};
use crate::pipeline::fields::{self, Fields};
use crate::pipeline::steps::{self, unknown_value};
use crate::pipeline::tree::{Data, Lines, Node};
use crate::pipeline::yaml;
use crate::plan::{Step, StepId};
use crate::rules::pattern::Pattern;
use crate::tool::Catalogue;

/// A table that can be used.
#[derive(Clone, Debug)]
pub struct Read {
    /// The table.
    pub table: Table,
    /// What is doubtful in it.
    pub warnings: Vec<Finding>,
}

/// Reads the YAML document `text`, whose steps may call the tools in `catalogue`. Without a default intent,
/// the tools that search are it, if there are any.
///
/// # Errors
/// Everything that is wrong or doubtful, each with its line: at least one [`Finding::is_error`].
pub fn read(text: &str, catalogue: &Catalogue) -> Result<Read, Vec<Finding>> {
    let mut read = written(text, catalogue)?;
    builtin::search_by_default(&mut read.table, catalogue);
    Ok(read)
}

/// The same, as it is written.
pub(super) fn written(text: &str, catalogue: &Catalogue) -> Result<Read, Vec<Finding>> {
    let mut findings = Findings::default();
    let Some(root) = yaml::read(text, &mut findings) else { return Err(findings.into_findings()) };
    let mut lines = Lines::default();
    lines.add(&Place::default(), root.line, &root);
    let table = document(&root, &mut lines, &mut findings).unwrap_or_default();
    inspect::inspect(&table, catalogue, &mut findings);
    for (place, finding) in &mut findings.0 {
        finding.line = finding.line.or_else(|| lines.line(place));
    }
    let mut findings = findings.into_findings();
    findings.sort_by_key(|finding| finding.line);
    if findings.iter().any(Finding::is_error) {
        return Err(findings);
    }
    Ok(Read { table, warnings: findings })
}

/// As much of the table as can be read.
fn document(root: &Node, lines: &mut Lines, findings: &mut Findings) -> Option<Table> {
    let mut table = Table::default();
    let mut fields = Fields::of(root, &Place::default(), findings)?;
    table.examples = fields.texts("examples");
    table.calendar = time(&mut fields).unwrap_or_default();
    table.tags = tools(&mut fields);
    let default = fields.text("default");
    fields.need("intents");
    let nodes = fields.list("intents").unwrap_or_default();
    let place = fields.at("intents");
    if nodes.is_empty() && fields.take("intents").is_some() {
        fields.findings.error(&place, "no_intents", "there is no intent in it");
    }
    let mut first = 0;
    for (at, node) in nodes.iter().enumerate() {
        let intent = intent(node, &place.item(at), (&mut first, lines), fields.findings);
        table.intents.push(intent.unwrap_or_default());
    }
    if let Some(default) = default {
        table.default = table.intents.iter().position(|intent| intent.id == default);
        if table.default.is_none() {
            let place = fields.at("default");
            let message = format!("there is no intent `{default}`");
            fields.findings.error(&place, "unknown_intent", message);
            let known = table.intents.iter().map(|intent| intent.id.as_str());
            fields.findings.suggest_closest(&default, known);
        }
    }
    fields.finish();
    Some(table)
}

/// Reads an intent; `first` is the number that its first step has among those of all intents.
fn intent(
    node: &Node,
    place: &Place,
    (first, lines): (&mut usize, &mut Lines),
    findings: &mut Findings,
) -> Option<Intent> {
    let mut fields = Fields::of(node, place, findings)?;
    let id = fields.needed_text("id").unwrap_or_default();
    if fields.take("id").is_some() && !StepId::is_valid(&id) {
        let place = fields.at("id");
        let message = "must be a letter, then letters, digits and underscores";
        fields.findings.error(&place, "invalid_id", message);
    }
    let mut intent = Intent {
        description: fields.text("description").unwrap_or_default(),
        keywords: keywords(&mut fields),
        patterns: patterns(&mut fields),
        priority: fields.count("priority").unwrap_or(PRIORITY),
        roles: fields.texts("roles"),
        steps: Vec::new(),
        answer: fields.text("answer"),
        cache: fields.flag("cache").unwrap_or(true),
        min_evidence: fields.count("min_evidence"),
        min_confidence: confidence(&mut fields),
        id,
    };
    fields.need("steps");
    for node in fields.list("steps").unwrap_or_default() {
        lines.add(&Place { at: Some(*first), ..Place::default() }, node.line, node);
        let step = steps::read(*first, node, fields.findings);
        reserved(&intent, &step, *first, fields.findings);
        intent.steps.push(step);
        *first += 1;
    }
    fields.finish();
    Some(intent)
}

/// Refuses a step that has the name of one that is made of the intent's least evidence.
fn reserved(intent: &Intent, step: &Step, at: usize, findings: &mut Findings) {
    if gate_ids(&intent.id).contains(&step.id) {
        let place = Place::of_step(at, step).field("id");
        let message = format!("`{}` is the name of a step that the intent itself makes", step.id);
        findings.error(&place, "reserved_id", message);
    }
}

fn keywords(fields: &mut Fields<'_, '_>) -> Vec<Words> {
    let place = fields.at("keywords");
    let mut keywords = Vec::new();
    for (at, text) in fields.texts("keywords").iter().enumerate() {
        let words = Words::of(text);
        if words.len() == 0 {
            let message = format!("`{text}` has no word in it");
            fields.findings.error(&place.item(at), "invalid_value", message);
        }
        keywords.push(words);
    }
    keywords
}

fn patterns(fields: &mut Fields<'_, '_>) -> Vec<Pattern> {
    let place = fields.at("patterns");
    let mut patterns = Vec::new();
    for (at, text) in fields.texts("patterns").iter().enumerate() {
        match Pattern::new(text, false) {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => fields.findings.error(&place.item(at), "invalid_value", why),
        }
    }
    patterns
}

fn confidence(fields: &mut Fields<'_, '_>) -> Option<f64> {
    let least = fields.number("min_confidence")?;
    if !(0.0..=1.0).contains(&least) {
        let place = fields.at("min_confidence");
        let message = format!("must be from 0 to 1, not {least}");
        fields.findings.error(&place, "out_of_range", message);
    }
    Some(least)
}

fn time(fields: &mut Fields<'_, '_>) -> Option<Calendar> {
    let node = fields.take("time")?;
    let place = fields.at("time");
    let mut fields = Fields::of(node, &place, fields.findings)?;
    let mut calendar = Calendar::default();
    if let Some(name) = fields.text("zone") {
        match TimeZone::get(&name) {
            Ok(zone) => calendar.zone = zone,
            Err(_) => {
                let place = fields.at("zone");
                let message = format!("`{name}` is no time zone of the IANA database, such as UTC");
                fields.findings.error(&place, "invalid_value", message);
            }
        }
    }
    let place = fields.at("words");
    for (at, node) in fields.list("words").unwrap_or_default().iter().enumerate() {
        calendar.words.extend(word(node, &place.item(at), fields.findings));
    }
    if let Some(default) = fields.text("default") {
        let words = Words::of(&default);
        if !calendar.knows(&words) {
            let place = fields.at("default");
            let message = format!("`{default}` is none of the words for a time");
            fields.findings.error(&place, "invalid_value", message);
        }
        calendar.default = Some(words);
    }
    fields.finish();
    Some(calendar)
}

fn word(node: &Node, place: &Place, findings: &mut Findings) -> Option<Word> {
    let mut fields = Fields::of(node, place, findings)?;
    fields.need("say");
    let say = fields.texts("say").iter().map(|text| Words::of(text)).collect();
    let name = fields.needed_text("unit").unwrap_or_default();
    let unit = Unit::ALL.into_iter().find(|unit| unit.as_str() == name);
    if unit.is_none() && fields.take("unit").is_some() {
        let place = fields.at("unit");
        unknown_value(&name, &Unit::ALL.map(Unit::as_str), &place, fields.findings);
    }
    let back = fields.count("back").unwrap_or_default();
    if back > FURTHEST {
        let place = fields.at("back");
        let message = format!("must be at most {FURTHEST}, not {back}");
        fields.findings.error(&place, "out_of_range", message);
    }
    let begins = begins(&mut fields, unit);
    fields.finish();
    Some(Word { say, unit: unit?, back, begins })
}

fn begins(fields: &mut Fields<'_, '_>, unit: Option<Unit>) -> (i8, i8) {
    let first = (1, 1);
    if unit.is_some_and(|unit| unit != Unit::Year) {
        fields.misplaced("begins", "`unit: year`");
        return first;
    }
    let Some(text) = fields.text("begins") else { return first };
    day_of_year(&text).unwrap_or_else(|| {
        let place = fields.at("begins");
        let message = format!("`{text}` is no month and day that every year has, such as 10-01");
        fields.findings.error(&place, "invalid_value", message);
        first
    })
}

fn tools(fields: &mut Fields<'_, '_>) -> BTreeMap<String, Tags> {
    let mut tags = BTreeMap::new();
    let Some(node) = fields.take("tools") else { return tags };
    let place = fields.at("tools");
    let Data::Map(entries) = &node.data else {
        fields::wrong_type(node, &place, "a mapping of tools", fields.findings);
        return tags;
    };
    for (key, node) in entries {
        let Some(mut fields) = Fields::of(node, &place.field(&key.text), fields.findings) else {
            continue;
        };
        let set = |texts: Vec<String>| texts.into_iter().collect::<BTreeSet<String>>();
        let (consumes, produces) = (set(fields.texts("consumes")), set(fields.texts("produces")));
        fields.finish();
        tags.insert(key.text.clone(), Tags { consumes, produces });
    }
    let circle = batches::cycle(&tags);
    if !circle.is_empty() {
        let message = format!("tools come after each other: {}", circle.join(", "));
        fields.findings.error(&place, "cycle", message);
    }
    tags
}
