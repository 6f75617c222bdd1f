//! Which steps of an incident's life people are told, and what each is called. Pure.

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::{Entry, Incident};
use crate::model::{Conclusion, Severity, Verdict};

/// A change people are told. Together with the incident it is what notifications are deduplicated
/// by: each is told once until the incident is reopened, but for reminders and each rise in severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It began.
    Opened,
    /// It had been closed, and is back.
    Reopened,
    /// It became more severe.
    Worsened,
    /// Nothing is wrong after all.
    FalseAlarm,
    /// There is not enough evidence to say what is wrong.
    Unclear,
    /// Something is wrong that no safe action mends.
    NoSafeAction,
    /// A gate held the action.
    Suppressed,
    /// What would have been done, was it allowed.
    Proposed,
    /// A person is needed.
    Escalated,
    /// An action helped.
    Resolved,
    /// It went away by itself.
    Recovered,
    /// The container is gone or was stopped by an operator.
    Withdrawn,
    /// It is still open.
    Reminder,
    /// Containers that cannot be judged.
    Coverage,
}

impl Change {
    /// The name used in documents, journals and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reopened => "reopened",
            Self::Worsened => "worsened",
            Self::FalseAlarm => "false_alarm",
            Self::Unclear => "unclear",
            Self::NoSafeAction => "no_safe_action",
            Self::Suppressed => "suppressed",
            Self::Proposed => "proposed",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
            Self::Recovered => "recovered",
            Self::Withdrawn => "withdrawn",
            Self::Reminder => "reminder",
            Self::Coverage => "coverage",
        }
    }

    /// For people.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Opened => "Incident opened",
            Self::Reopened => "Incident is back",
            Self::Worsened => "Incident became worse",
            Self::FalseAlarm => "False alarm",
            Self::Unclear => "Not enough evidence",
            Self::NoSafeAction => "No safe action",
            Self::Suppressed => "Action held back",
            Self::Proposed => "Action proposed",
            Self::Escalated => "A person is needed",
            Self::Resolved => "Resolved",
            Self::Recovered => "Recovered by itself",
            Self::Withdrawn => "Withdrawn",
            Self::Reminder => "Still open",
            Self::Coverage => "Containers that cannot be judged",
        }
    }

    /// The agent whose finding it is.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Opened | Self::Reopened | Self::Worsened => "analyzer",
            Self::FalseAlarm | Self::Unclear | Self::NoSafeAction => "analyzer",
            Self::Recovered | Self::Withdrawn => "analyzer",
            Self::Suppressed | Self::Proposed | Self::Escalated | Self::Resolved => "responder",
            Self::Reminder => "alert",
            Self::Coverage => "monitor",
        }
    }

    /// The colour of the bar beside it: HemoStat's, and by severity where it has none.
    #[must_use]
    pub const fn colour(self, severity: Severity) -> &'static str {
        match (self, severity) {
            (Self::Resolved | Self::Recovered, _) => "#36a64f",
            (Self::Escalated, _) => "#ff0000",
            (Self::Suppressed, _) => "#ff9900",
            (Self::FalseAlarm, _) => "#ffcc00",
            (Self::Withdrawn | Self::Proposed | Self::Coverage, _) => "#cccccc",
            (_, Severity::Critical) => "#ff0000",
            (_, Severity::Warning) => "#ff9900",
            (_, Severity::Info) => "#cccccc",
        }
    }
}

/// What `entry`, which happened at `at`, changed that people should know, given the incident `before`
/// and `after` it.
#[must_use]
pub fn change_of(
    before: &Incident,
    after: &Incident,
    at: Timestamp,
    entry: &Entry,
) -> Option<Change> {
    let was_over = before.is_over(at);
    match entry {
        Entry::Opened { .. } => (!before.known).then_some(Change::Opened),
        Entry::Reopened { .. } => (after.reopened > before.reopened).then_some(Change::Reopened),
        Entry::SymptomsChanged { .. } => {
            (after.severity > before.severity).then_some(Change::Worsened)
        }
        Entry::Diagnosed(diagnosis) if !was_over => of_verdict(&diagnosis.verdict),
        Entry::Concluded(conclusion) if !was_over => Some(of_conclusion(conclusion)),
        Entry::Recovered { .. } => (!was_over).then_some(Change::Recovered),
        Entry::Withdrawn { .. } => (!was_over).then_some(Change::Withdrawn),
        Entry::Diagnosed(_)
        | Entry::Concluded(_)
        | Entry::Evidence(_)
        | Entry::Gates { .. }
        | Entry::ActionIntended { .. }
        | Entry::ActionFinished { .. }
        | Entry::Verifying { .. }
        | Entry::NotResolved { .. }
        | Entry::Acknowledged { .. }
        | Entry::Notification { .. }
        | Entry::Consulted { .. }
        | Entry::Advised { .. } => None,
    }
}

fn of_verdict(verdict: &Verdict) -> Option<Change> {
    match verdict {
        Verdict::Remediate(_) => None,
        Verdict::FalseAlarm => Some(Change::FalseAlarm),
        Verdict::InsufficientEvidence(_) => Some(Change::Unclear),
        Verdict::NoSafeAction(_) => Some(Change::NoSafeAction),
    }
}

fn of_conclusion(conclusion: &Conclusion) -> Change {
    match conclusion {
        Conclusion::Resolved => Change::Resolved,
        Conclusion::Escalated(_) => Change::Escalated,
        Conclusion::Suppressed(_) => Change::Suppressed,
        Conclusion::Proposed(_) => Change::Proposed,
        Conclusion::Gone => Change::Withdrawn,
    }
}
