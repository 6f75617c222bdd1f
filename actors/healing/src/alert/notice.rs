//! What people are told, with everything a channel needs to show it. Pure; persisted.

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::grouping::{Collected, Gap, News};
use crate::alert::journal_text::{excerpt_line, opinion};
use crate::alert::life::{Incident, IncidentStatus, JournalEntry};
use crate::alert::text::{line, time};
use crate::alert::{Change, grouping};
use crate::model::{ActionOutcome, Conclusion, IncidentId, Severity, Subject, Verdict};

/// Characters of one field's value.
const VALUE_LIMIT: usize = 1000;
/// Characters of a container's or project's name.
const NAME_LIMIT: usize = 100;

/// One notification, for any channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Names it: its thread and its place in it.
    pub id: String,
    /// What belongs together: the name of the incident that began the thread, or of a digest.
    pub thread: String,
    /// Its place in the thread, from 1; the first is what the others answer to.
    pub sequence: u32,
    /// What the whole thread is called.
    pub headline: String,
    /// What is told, in one line.
    pub title: String,
    /// What changed; of several incidents the change of the worst.
    pub change: Change,
    /// How bad; of several incidents the worst.
    pub severity: Severity,
    /// The Compose project, or `ungrouped`.
    pub group: String,
    /// Which installation this is.
    pub environment: String,
    /// When what it tells happened.
    pub at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// The incidents it is about; none in a digest of coverage reports.
    pub items: Vec<Item>,
    /// The containers that cannot be judged.
    pub coverage: Vec<Gap>,
    /// How many more there are.
    pub more_coverage: u64,
}

/// What a notice says of one incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Which.
    pub incident: IncidentId,
    /// Who is sick.
    pub subject: Subject,
    /// What changed.
    pub change: Change,
    /// When.
    pub at: Timestamp,
    /// How bad.
    pub severity: Severity,
    /// Where the incident stands.
    pub status: IncidentStatus,
    /// What is told, in one line.
    pub title: String,
    /// Named facts, in the order they are shown.
    pub fields: Vec<Field>,
    /// The last steps of the journal, a line each, oldest first.
    pub excerpt: Vec<String>,
}

/// A named fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub title: String,
    /// Its value, cleaned but not escaped.
    pub value: String,
    /// Whether it fits beside another one.
    pub short: bool,
}

impl Item {
    /// Says what `news` means for `incident`.
    #[must_use]
    pub fn new(news: &News, incident: &Incident, steps: &[JournalEntry], env: &str) -> Self {
        let name = name_of(&incident.subject, &incident.id.0);
        Self {
            incident: incident.id.clone(),
            subject: incident.subject.clone(),
            change: news.change,
            at: news.at,
            severity: incident.severity,
            status: incident.status,
            title: format!("{}: {name}", news.change.label()),
            fields: fields_of(news, incident, env),
            excerpt: steps.iter().filter_map(excerpt_line).collect(),
        }
    }
}

impl Notice {
    /// Whether it begins its thread.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.sequence <= 1
    }

    /// The id of the notice that began the thread.
    #[must_use]
    pub fn root_id(&self) -> String {
        format!("{}.1", self.thread)
    }

    /// The part of it that is at least as bad as `least`, if any.
    #[must_use]
    pub fn at_least(&self, least: Severity) -> Option<Self> {
        if self.severity < least {
            return None;
        }
        let mut part = self.clone();
        part.items.retain(|item| item.severity >= least);
        if let [only] = part.items.as_slice() {
            part.title.clone_from(&only.title);
        }
        Some(part)
    }

    /// The next notice in the thread that `leader` began; `items` are not empty.
    #[must_use]
    pub fn about(
        leader: &mut Incident,
        items: Vec<Item>,
        environment: &str,
        now: Timestamp,
    ) -> Self {
        leader.notices += 1;
        let headline = leader.headline.get_or_insert_with(|| headline_of(&items)).clone();
        let worst = items.iter().max_by_key(|item| item.severity);
        let (change, severity) =
            worst.map_or((Change::Reminder, leader.severity), |item| (item.change, item.severity));
        let group = grouping::group_of(&leader.subject).to_owned();
        let title = match items.as_slice() {
            [only] => only.title.clone(),
            several => format!("{} incidents of {}", several.len(), line(&group, NAME_LIMIT)),
        };
        Self {
            id: format!("{}.{}", leader.id, leader.notices),
            thread: leader.id.0.clone(),
            sequence: leader.notices,
            headline,
            title,
            change,
            severity,
            group,
            environment: environment.to_owned(),
            at: items.iter().map(|item| item.at).max().unwrap_or(now),
            created_at: now,
            items,
            coverage: Vec::new(),
            more_coverage: 0,
        }
    }

    /// The digest of the coverage reports collected for `group`: a thread of its own.
    #[must_use]
    pub fn digest(group: &str, collected: &Collected, environment: &str, now: Timestamp) -> Self {
        let thread = format!("coverage-{group}-{now}");
        let count = collected.coverage.len() as u64 + collected.more_coverage;
        let title = format!("{}: {count} of {}", Change::Coverage.label(), line(group, NAME_LIMIT));
        Self {
            id: format!("{thread}.1"),
            thread,
            sequence: 1,
            headline: title.clone(),
            title,
            change: Change::Coverage,
            severity: Severity::Info,
            group: group.to_owned(),
            environment: environment.to_owned(),
            at: now,
            created_at: now,
            items: Vec::new(),
            coverage: collected.coverage.clone(),
            more_coverage: collected.more_coverage,
        }
    }
}

fn headline_of(items: &[Item]) -> String {
    match items {
        [first, _, ..] => {
            let group = line(grouping::group_of(&first.subject), NAME_LIMIT);
            format!("{} containers of {group} ({})", items.len(), first.incident)
        }
        [only] => format!("{} ({})", name_of(&only.subject, "container"), only.incident),
        [] => "incident".to_owned(),
    }
}

/// The name people know `subject` by.
pub(super) fn name_of(subject: &Subject, otherwise: &str) -> String {
    let name = [subject.name.as_str(), subject.id.short(), otherwise];
    line(name.into_iter().find(|name| !name.is_empty()).unwrap_or_default(), NAME_LIMIT)
}

fn fields_of(news: &News, incident: &Incident, environment: &str) -> Vec<Field> {
    let mut fields = Fields(Vec::new());
    let name = name_of(&incident.subject, "unknown");
    let analysis = incident.diagnosis.as_ref().map_or("none", |diagnosis| diagnosis.rule.as_str());
    fields.short("Event Type", news.change.as_str());
    fields.short("Source Agent", news.change.source());
    fields.short("Container", &format!("{name} ({})", incident.subject.id));
    fields.short("Action", incident.action.as_ref().map_or("none", |action| action.as_str()));
    fields.short("Status", incident.status.as_str());
    fields.short("Severity", incident.severity.as_str());
    fields.short("Analysis", analysis);
    fields.short("Environment", environment);
    fields.short("Incident", &incident.id.0);
    fields.long("Reason", &reason_of(news.change, incident));
    if let Some((title, advice)) = advice_of(incident) {
        fields.long(title, advice);
    }
    if let Some(Conclusion::Suppressed(why)) = &incident.conclusion {
        fields.long("Rejection Reason", why);
    }
    if let Some(diagnosis) = &incident.diagnosis {
        fields.short("Confidence", &format!("{:.1}%", diagnosis.confidence * 100.0));
    }
    if let Some(advice) = &incident.advice {
        fields.long("Model", &opinion(advice));
    }
    match &incident.outcome {
        Some(ActionOutcome::Simulated) => fields.short("Dry Run", "yes"),
        Some(ActionOutcome::Failed(why) | ActionOutcome::Unknown(why)) => fields.long("Error", why),
        Some(ActionOutcome::NotApplicable(why)) => fields.long("Error", why),
        Some(ActionOutcome::Done(_) | ActionOutcome::Reconciled(_)) | None => {}
    }
    fields.short("Timestamp", &time(news.at));
    fields.0
}

/// Why people should care: what was concluded, else the cause, else what shows. What was concluded before is
/// no reason for a new judgement.
fn reason_of(change: Change, incident: &Incident) -> String {
    let judged = match change {
        Change::FalseAlarm | Change::Unclear | Change::NoSafeAction => incident.diagnosis.as_ref(),
        Change::Opened
        | Change::Reopened
        | Change::Worsened
        | Change::Suppressed
        | Change::Proposed
        | Change::Escalated
        | Change::Resolved
        | Change::Recovered
        | Change::Withdrawn
        | Change::Reminder
        | Change::Coverage => None,
    };
    if let (None, Some(reason)) = (judged, &incident.reason) {
        return reason.clone();
    }
    if let Some(diagnosis) = &incident.diagnosis {
        return format!("{} {}", diagnosis.cause, diagnosis.reason);
    }
    let texts: Vec<&str> = incident.symptoms.iter().map(|symptom| symptom.text.as_str()).collect();
    texts.join("; ")
}

/// What is left to a person, and what it is called, while it is open.
fn advice_of(incident: &Incident) -> Option<(&'static str, &str)> {
    let diagnosis = incident.diagnosis.as_ref().filter(|_| !incident.status.is_closed())?;
    match &diagnosis.verdict {
        Verdict::Remediate(_) | Verdict::FalseAlarm => None,
        Verdict::InsufficientEvidence(missing) => Some(("Missing", missing)),
        Verdict::NoSafeAction(advice) => Some(("What To Do", advice)),
    }
}

struct Fields(Vec<Field>);

impl Fields {
    fn short(&mut self, title: &str, value: &str) {
        self.add(title, value, true);
    }

    fn long(&mut self, title: &str, value: &str) {
        self.add(title, value, false);
    }

    /// A fact that is not known is not shown.
    fn add(&mut self, title: &str, value: &str, short: bool) {
        let value = line(value, VALUE_LIMIT);
        if !value.trim().is_empty() {
            self.0.push(Field { title: title.to_owned(), value, short });
        }
    }
}

#[cfg(test)]
mod tests;
