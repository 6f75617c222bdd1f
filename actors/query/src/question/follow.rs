//! Questions that follow others: what the earlier one said and the new one leaves out is taken from it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::clarify::{Clarification, LONGEST, is_ambiguous};
use super::compose::{Composed, INPUTS, QUESTION};
use super::intents::{Classified, Intent};
use super::key::changes_world;
use super::period::{NAMES, Period};
use super::words::{Words, trimmed};
use super::{Denied, Planned, PlannedQuestion, Planner, QuestionError};
use crate::check::references::used_inputs;
use crate::json::Json;
use crate::pipeline;
use crate::plan::{Input, Plan, ValueType};
use crate::record::Outcome;
use crate::tool::Identity;

/// The input that says what was taken from an earlier question.
const TAKEN: &str = "taken_from_earlier";
/// Words at the beginning of a question that add to the one before.
const LEADS: [&str; 7] = ["and", "also", "then", "or", "what about", "how about", "same for"];
/// Words that may stand between them and what they are about.
const FILLERS: [&str; 9] = ["about", "for", "of", "in", "on", "with", "the", "to", "at"];
/// Words of a name.
const NAME_WORDS: usize = 4;

/// What a question was understood as, for those that follow it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Its words, together with those before that it adds to.
    pub question: String,
    /// The intents that it is about, the one that it says most of first; none if it was asked back.
    pub intents: Vec<String>,
    /// What it said, and what was said before it, by the names of inputs.
    pub slots: BTreeMap<String, String>,
}

impl Reading {
    /// What is left of it once its query has ended so. What nothing was known of was asked back, and the next
    /// question adds to it, unless a model has answered it all the same.
    #[must_use]
    pub fn ended(self, outcome: Outcome) -> Self {
        if self.intents.is_empty() && outcome != Outcome::Clarification {
            return Self { question: String::new(), ..self };
        }
        self
    }
}

/// A question that was read after another one.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowUp {
    /// What follows from it.
    pub planned: Planned,
    /// What it was understood as.
    pub reading: Reading,
    /// What was taken from the earlier one, in words.
    pub taken: Vec<String>,
}

/// A name in a question, and what it may be of.
struct Named {
    name: String,
    /// Inputs that could be meant.
    inputs: Vec<String>,
    /// Those of them of which it is a value.
    fits: Vec<String>,
}

/// A question as it is to be understood.
struct Understood<'q> {
    /// Its own words: the names in it are looked for here.
    own: &'q str,
    /// Where words for a time are looked for.
    time: &'q str,
    /// All that is asked, for tools that search for it.
    whole: String,
    /// What it is about, where its own words do not say it.
    intents: Option<&'q [String]>,
    /// What was said before.
    slots: BTreeMap<String, String>,
    /// A name that it says, outside of a pattern.
    named: Option<Named>,
    taken: Vec<String>,
    /// What the next question follows if this one is asked back.
    back: Reading,
}

/// What follows from `question`, asked by `identity` at `now`, after one that was understood as `earlier`.
///
/// # Errors
/// [`QuestionError`].
pub fn follow_up(
    planner: &Planner,
    question: &str,
    earlier: Option<&Reading>,
    identity: &Identity,
    now: Timestamp,
) -> Result<FollowUp, QuestionError> {
    let length = question.chars().count();
    if !(1..=LONGEST).contains(&length) {
        return Err(QuestionError::Length(length));
    }
    let Some(earlier) = earlier else {
        let alone = Understood::new(question, BTreeMap::new());
        return planner.understand(alone, identity, now);
    };
    let slots = earlier.slots.clone();
    let elliptic = planner.elliptic(question, earlier);
    let combined = together(&earlier.question, question)
        .filter(|_| earlier.intents.is_empty() && !is_ambiguous(&earlier.question));
    let understood = match &combined {
        Some(combined) => {
            let timed = planner.table.calendar.said(&Words::of(question)).is_some();
            Understood {
                time: if timed { question } else { combined },
                taken: vec![format!("\"{}\"", earlier.question.trim())],
                ..Understood::new(combined, slots)
            }
        }
        None => elliptic.unwrap_or_else(|| {
            let plain = Understood::new(question, slots);
            // Who says nothing may go on with what was asked before.
            let says_nothing = is_ambiguous(question) || after_lead(question) == Some("");
            let back = if says_nothing { earlier.clone() } else { plain.back };
            Understood { back, ..plain }
        }),
    };
    planner.understand(understood, identity, now)
}

/// Both, if they are no longer than one question may be.
fn together(earlier: &str, question: &str) -> Option<String> {
    let both = format!("{} {}", earlier.trim(), question.trim());
    (both.chars().count() <= LONGEST).then_some(both)
}

impl<'q> Understood<'q> {
    fn new(own: &'q str, slots: BTreeMap<String, String>) -> Self {
        let whole = own.trim().to_owned();
        let (question, intents) = (whole.clone(), Vec::new());
        let back = Reading { question, intents, slots: slots.clone() };
        Self { own, time: own, whole, intents: None, slots, named: None, taken: Vec::new(), back }
    }
}

impl Planner {
    /// A question that is none by itself, such as `and last week?`: it is about what the earlier one was about.
    fn elliptic<'q>(&self, question: &'q str, earlier: &'q Reading) -> Option<Understood<'q>> {
        let words = Words::of(question);
        if earlier.intents.is_empty() {
            return None;
        }
        let said = self.table.calendar.said(&words);
        let rest = after_lead(question);
        let left = without_time(rest.unwrap_or(question), said.as_ref());
        let named = match (left.len(), &rest, &said) {
            // Nothing is said otherwise than before.
            (0, _, None) => return None,
            (0, _, Some(_)) => None,
            (1..=NAME_WORDS, Some(_), _) => Some(self.named(left.join(" "), earlier)),
            // It says more than a name and a time.
            (_, _, _) => return None,
        };
        // It is a question by itself. Looked at last, for it takes all patterns of the table.
        if !self.table.classify(question, &words).intents.is_empty() {
            return None;
        }
        let plain = Understood::new(question, earlier.slots.clone());
        let whole = together(&earlier.question, question).unwrap_or_else(|| plain.whole.clone());
        let taken = vec!["what is asked".to_owned()];
        let (intents, back) = (Some(earlier.intents.as_slice()), earlier.clone());
        Some(Understood { whole, intents, named, taken, back, ..plain })
    }

    /// What `name` in a question after `earlier` may be of: the inputs that were said before, to be said otherwise
    /// now; if none was, all. Only what a pattern lets in is a value of one.
    fn named(&self, name: String, earlier: &Reading) -> Named {
        let intents = || earlier.intents.iter().filter_map(|id| self.table.named(id));
        let groups: BTreeSet<&str> = intents().flat_map(Intent::groups).collect();
        let owned = |group: &&str| (*group).to_owned();
        let said = groups.iter().filter(|group| earlier.slots.contains_key(**group));
        let said: Vec<String> = said.map(owned).collect();
        let inputs = if said.is_empty() { groups.iter().map(owned).collect() } else { said };
        let fits = |input: &&String| intents().any(|intent| intent.could_capture(input, &name));
        let fits = inputs.iter().filter(fits).cloned().collect();
        Named { name, inputs, fits }
    }

    fn understand(
        &self,
        understood: Understood<'_>,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<FollowUp, QuestionError> {
        let Understood { own, time, whole, intents, slots, named, mut taken, back } = understood;
        if intents.is_none() && is_ambiguous(own) {
            return Ok(self.asked_back("What do you want to know?", back));
        }
        let elliptic = intents.is_some();
        let classified = match intents {
            Some(ids) => Classified::of(ids.iter().filter_map(|id| self.table.named(id))),
            None => self.table.classify(own, &Words::of(own)),
        };
        let mut denied = Vec::new();
        let Some(Composed { mut plan, intents }) =
            self.chosen(classified, identity, &mut denied)?
        else {
            if denied.is_empty() {
                return Ok(self.asked_back("No answer to this is known here.", back));
            }
            return Err(QuestionError::Denied { role: identity.role.clone(), denied });
        };
        let (used, time) = (used_inputs(&plan), Words::of(time));
        let period = self.table.calendar.period(&time, now);
        let said = self.table.calendar.said(&time).is_some();
        let mut read = Read { inputs: inputs(own, &whole, &intents, period), said, slots };
        let knows_times = used.contains(QUESTION) || NAMES.iter().any(|name| used.contains(*name));
        if elliptic && said && !knows_times {
            let why = "The question before was about no particular time.";
            return Ok(self.asked_back(why, back));
        }
        if let Some(named) = named
            && let Err(why) = read.name(named, &used)
        {
            return Ok(self.asked_back(&why, back));
        }
        taken.extend(read.take(&intents, &used));
        if !taken.is_empty() {
            tell(&taken, &mut plan, &mut read.inputs);
        }
        let ids: Vec<String> = intents.iter().map(|intent| intent.id.clone()).collect();
        let reading = Reading { question: whole, intents: ids, slots: read.remembered() };
        let planned = self.planned((plan, &intents), Json(Value::Object(read.inputs)), denied)?;
        Ok(FollowUp { planned: Planned::Plan(Box::new(planned)), reading, taken })
    }

    /// Nothing is done, and `why` is answered; the next question follows `reading`.
    fn asked_back(&self, why: &str, reading: Reading) -> FollowUp {
        let clarification = Clarification::new(why, self.table.offered());
        FollowUp { planned: Planned::Clarification(clarification), reading, taken: Vec::new() }
    }

    fn planned(
        &self,
        (plan, intents): (Plan, &[&Intent]),
        inputs: Json,
        denied: Vec<Denied>,
    ) -> Result<PlannedQuestion, QuestionError> {
        let compiled = pipeline::compile_plan(plan, &self.catalogue).map_err(|findings| {
            QuestionError::Invalid(findings.iter().map(ToString::to_string).collect())
        })?;
        let plan = compiled.plan;
        let shareable =
            intents.iter().all(|intent| intent.cache) && !changes_world(&plan, &self.catalogue);
        let intents = intents.iter().map(|intent| intent.id.clone()).collect();
        Ok(PlannedQuestion { plan, inputs, denied, intents, shareable })
    }
}

/// What a question says, and what was said before it.
struct Read {
    inputs: Map<String, Value>,
    /// Whether it says of which time it is.
    said: bool,
    slots: BTreeMap<String, String>,
}

impl Read {
    /// Takes a name as a value of the one input that it can be of.
    fn name(&mut self, named: Named, used: &BTreeSet<String>) -> Result<(), String> {
        let Named { name, inputs, fits } = named;
        match (fits.as_slice(), inputs.as_slice()) {
            ([input], _) => {
                self.inputs.insert(input.clone(), Value::from(name));
                Ok(())
            }
            // All that was asked is looked for, whatever the name is of.
            ([], []) if used.contains(QUESTION) => Ok(()),
            ([], []) => {
                Err(format!("It is not clear what \"{name}\" has to do with the question before."))
            }
            ([], inputs) => {
                let inputs = inputs.join(" or ");
                Err(format!("\"{name}\" is nothing that can be asked for as {inputs}."))
            }
            (several, _) => {
                let inputs = several.join(", ");
                Err(format!("It is not clear what \"{name}\" is, of these: {inputs}."))
            }
        }
    }

    /// Takes what the question leaves out, and its plan uses, from before; tells what.
    fn take(&mut self, intents: &[&Intent], used: &BTreeSet<String>) -> Vec<String> {
        let mut taken = Vec::new();
        let groups: BTreeSet<&str> = intents.iter().flat_map(|intent| intent.groups()).collect();
        for name in groups.into_iter().filter(|name| used.contains(*name)) {
            let missing = self.inputs.get(name).is_none_or(Value::is_null);
            if let Some(value) = self.slots.get(name).filter(|_| missing) {
                self.inputs.insert(name.to_owned(), Value::from(value.as_str()));
                taken.push(format!("{name} {value}"));
            }
        }
        let [from, to, period] = NAMES;
        let wanted = NAMES.iter().any(|name| used.contains(*name));
        if let (true, false, Some(value)) = (wanted, self.said, self.slots.get(period)) {
            for name in [from, to, period] {
                let value = self.slots.get(name).map_or(Value::Null, |text| json!(text));
                self.inputs.insert(name.to_owned(), value);
            }
            taken.push(format!("{period} {value}"));
        }
        taken
    }

    /// What those that follow may take.
    fn remembered(&self) -> BTreeMap<String, String> {
        let mut slots = self.slots.clone();
        for (name, value) in &self.inputs {
            let of_time = NAMES.contains(&name.as_str());
            let own = name != QUESTION && name != TAKEN && (!of_time || self.said);
            if let Some(text) = value.as_str().filter(|_| own) {
                slots.insert(name.clone(), text.to_owned());
            }
        }
        slots
    }
}

/// Has the answer say what was taken.
fn tell(taken: &[String], plan: &mut Plan, inputs: &mut Map<String, Value>) {
    let text = format!("Taken from the earlier question: {}.", taken.join(", "));
    // Brackets in a name are no marks of evidence.
    inputs.insert(TAKEN.to_owned(), Value::from(text.replace("[[", "[ [")));
    plan.inputs.push(Input {
        name: TAKEN.to_owned(),
        value_type: ValueType::Any,
        description: String::new(),
        default: None,
    });
    let answer = plan.answer.take().unwrap_or_default();
    plan.answer = Some(format!("{answer}\n\n{{{{ inputs.{TAKEN} }}}}"));
}

fn inputs(
    own: &str,
    whole: &str,
    intents: &[&Intent],
    period: Option<Period>,
) -> Map<String, Value> {
    let mut inputs: Map<String, Value> =
        INPUTS.into_iter().map(|name| (name.to_owned(), Value::Null)).collect();
    inputs.insert(QUESTION.to_owned(), Value::from(whole));
    if let Some(Period { from, to, name }) = period {
        for (input, value) in NAMES.into_iter().zip([from.to_string(), to.to_string(), name]) {
            inputs.insert(input.to_owned(), Value::from(value));
        }
    }
    for intent in intents {
        let captured = intent.captured(own);
        for name in intent.groups() {
            let value = captured.get(name).map_or(Value::Null, |text| Value::from(text.as_str()));
            // Two intents can have groups of one name: what one has found stays.
            let known = inputs.entry(name.to_owned()).or_insert(Value::Null);
            if known.is_null() {
                *known = value;
            }
        }
    }
    inputs
}

/// What stands behind words such as `what about`, if the question begins with some.
fn after_lead(question: &str) -> Option<&str> {
    let mut rest = question.trim();
    let mut led = false;
    while let Some(next) = LEADS.iter().find_map(|lead| behind(rest, lead)) {
        (rest, led) = (next, true);
    }
    led.then_some(rest)
}

/// What stands behind `phrase` and a blank, or a sign, if `text` begins with it.
fn behind<'t>(text: &'t str, phrase: &str) -> Option<&'t str> {
    let head = text.get(..phrase.len())?;
    let rest = &text[phrase.len()..];
    let ends = rest.chars().next().is_none_or(|next| !next.is_alphanumeric());
    (head.eq_ignore_ascii_case(phrase) && ends)
        .then(|| rest.trim_start_matches(|c: char| !c.is_alphanumeric()))
}

/// The words that are left of a question without `period`, its words for a time, and those that stand around a
/// name.
fn without_time<'q>(rest: &'q str, period: Option<&Words>) -> Vec<&'q str> {
    let tokens: Vec<&str> = rest.split_whitespace().map(trimmed).collect();
    let of_time = period.map_or(0, Words::len);
    let is_time = |at: usize| {
        let words = tokens.get(at..at + of_time).map(|tokens| Words::of(&tokens.join(" ")));
        of_time > 0 && words.as_ref() == period
    };
    let times: BTreeSet<usize> =
        (0..tokens.len()).filter(|at| is_time(*at)).flat_map(|at| at..at + of_time).collect();
    let left = tokens.iter().enumerate().filter(|(at, _)| !times.contains(at));
    let filler = |token: &str| FILLERS.contains(&token.to_lowercase().as_str());
    let mut left: Vec<&str> = left
        .map(|(_, token)| *token)
        .filter(|token| !token.is_empty())
        .skip_while(|token| filler(token))
        .collect();
    while left.last().is_some_and(|token| filler(token)) {
        left.pop();
    }
    left
}
