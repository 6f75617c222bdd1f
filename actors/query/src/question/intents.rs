//! What can be asked: intents, and which of them a question is about.

use std::collections::{BTreeMap, BTreeSet};

use super::batches::Tags;
use super::period::Calendar;
use super::words::Words;
use crate::plan::{Step, Work};
use crate::roles::{EVERYTHING, Roles};
use crate::rules::pattern::Pattern;
use crate::tool::Identity;

/// Where an intent comes among those of one question, unless it says otherwise: behind those that do.
pub(super) const PRIORITY: u32 = 100;

/// What can be asked of a node, and what is done then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// In the order of the document.
    pub(super) intents: Vec<Intent>,
    /// The intent of a question that is about none, by its place.
    pub(super) default: Option<usize>,
    /// Questions that are offered to who has to ask again.
    pub(super) examples: Vec<String>,
    pub(super) calendar: Calendar,
    /// Of tools, by their names.
    pub(super) tags: BTreeMap<String, Tags>,
}

/// Something that can be asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Intent {
    /// Of the form of a step's id.
    pub(super) id: String,
    /// For people.
    pub(super) description: String,
    /// Words and phrases that say that it is meant.
    pub(super) keywords: Vec<Words>,
    /// The same, as patterns; their named groups become inputs.
    pub(super) patterns: Vec<Pattern>,
    /// Of several intents of one question the steps of the lowest come first.
    pub(super) priority: u32,
    /// Who may ask it; everybody if there are none.
    pub(super) roles: Vec<String>,
    /// What is done.
    pub(super) steps: Vec<Step>,
    /// A template of the answer.
    pub(super) answer: Option<String>,
    /// Whether its answer is the same a while later, so that it may be given again.
    pub(super) cache: bool,
    /// There is no answer with fewer citations.
    pub(super) min_evidence: Option<u32>,
    /// There is no answer unless a result says that it is as sure, 0 to 1.
    pub(super) min_confidence: Option<f64>,
}

impl Intent {
    /// How much in a question says that it is meant.
    fn hits(&self, question: &str, words: &Words) -> usize {
        let keywords = self.keywords.iter().filter(|keyword| words.contain(keyword)).count();
        keywords
            + self
                .patterns
                .iter()
                .filter(|pattern| matches!(pattern.matches(question), Ok(true)))
                .count()
    }

    /// Whether `identity` may ask it.
    pub(super) fn admits(&self, identity: &Identity, roles: &Roles) -> bool {
        self.roles.is_empty()
            || self.roles.contains(&identity.role)
            || roles.permit(&identity.role, EVERYTHING)
    }

    /// The names of all groups of its patterns.
    pub(super) fn groups(&self) -> BTreeSet<&str> {
        self.patterns.iter().flat_map(Pattern::groups).collect()
    }

    /// Whether `text` is something that a group of this name could match.
    pub(super) fn could_capture(&self, group: &str, text: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.group_fits(group, text))
    }

    /// What groups match of `question`: of two of one name the first one that does.
    pub(super) fn captured(&self, question: &str) -> BTreeMap<String, String> {
        let mut captured = BTreeMap::new();
        for (name, text) in self.patterns.iter().flat_map(|pattern| pattern.captures(question)) {
            captured.entry(name.to_owned()).or_insert_with(|| text.trim().to_owned());
        }
        captured
    }

    /// Whether any step of it calls a tool.
    pub(super) fn calls(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.work, Work::Call(_)))
    }

    /// What it is, for people.
    pub(super) fn label(&self) -> &str {
        if self.description.is_empty() { &self.id } else { &self.description }
    }
}

/// What a question is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Classified<'t> {
    /// Of lowest priority first, then in the order of the document.
    pub(super) intents: Vec<&'t Intent>,
    /// The one of which the question says the most; of several the first in the document.
    pub(super) winner: Option<&'t Intent>,
}

impl<'t> Classified<'t> {
    /// A question about `intents`, the one that it says most of first.
    pub(super) fn of(intents: impl Iterator<Item = &'t Intent>) -> Self {
        let mut intents: Vec<&Intent> = intents.collect();
        let winner = intents.first().copied();
        intents.sort_by_key(|intent| intent.priority);
        Self { intents, winner }
    }
}

impl Table {
    /// The intent of this name.
    pub(super) fn named(&self, id: &str) -> Option<&Intent> {
        self.intents.iter().find(|intent| intent.id == id)
    }

    /// The intents that a question is about.
    pub(super) fn classify(&self, question: &str, words: &Words) -> Classified<'_> {
        let mut classified = Classified::default();
        let mut most = 0;
        for intent in &self.intents {
            let hits = intent.hits(question, words);
            if hits > most {
                (most, classified.winner) = (hits, Some(intent));
            }
            if hits > 0 {
                classified.intents.push(intent);
            }
        }
        classified.intents.sort_by_key(|intent| intent.priority);
        classified
    }

    /// The intent of a question that is about none.
    pub(super) fn by_default(&self) -> Option<&Intent> {
        self.intents.get(self.default?)
    }

    /// What can be asked, for who has to ask again.
    pub(super) fn offered(&self) -> Vec<String> {
        if self.examples.is_empty() {
            self.intents.iter().map(|intent| intent.label().to_owned()).collect()
        } else {
            self.examples.clone()
        }
    }
}

/// The steps of `intents`, each once: a step of several intents is the same in all of them.
pub(super) fn union(intents: &[&Intent]) -> Vec<Step> {
    let mut seen = BTreeSet::new();
    let steps = intents.iter().flat_map(|intent| &intent.steps);
    steps.filter(|step| seen.insert(&step.id)).cloned().collect()
}
