//! Everything the Alert agent can be told. One per node; its key is [`ALERT`].

use perennial_runtime::{Finished, Timestamp};
use serde::{Deserialize, Serialize};

use crate::adviser::advice::Advice;
use crate::alert::deliver::Deliver;
use crate::model::{
    Action, ActionOutcome, Conclusion, Diagnosis, Evidence, GateRecord, IncidentId, Severity,
    Subject, Symptom, SymptomKind,
};

/// The key of the node's Alert agent.
pub const ALERT: &str = "local";

/// A message to the Alert agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AlertMessage {
    /// Something happened in the life of an incident: written to its journal, applied to its
    /// status, and told to people where they should know.
    Record {
        /// Which.
        incident: IncidentId,
        /// When it happened.
        at: Timestamp,
        /// What.
        entry: Entry,
    },
    /// A container cannot be judged in some respect. Sent once per container.
    Coverage {
        /// Who.
        subject: Subject,
        /// What is missing: `no_memory_limit`, `no_health_check`.
        gaps: Vec<String>,
        /// When it was noticed.
        at: Timestamp,
    },
    /// A person takes the incident on. Answered with [`Acknowledgement`].
    Acknowledge {
        /// Which.
        incident: IncidentId,
        /// Who.
        by: String,
        /// What they had to say.
        note: Option<String>,
    },
    /// A notification was delivered, or was not.
    Delivered(Finished<Deliver>),
    /// A timer of its own: send what has been collected for this group.
    GroupDue(String),
    /// A timer of its own: this critical notification may not be delivered everywhere yet.
    FallbackDue(String),
    /// A timer of its own: remind people of this incident, if it is still open.
    RepeatDue(IncidentId),
    /// A timer of its own: forget incidents that have been closed for long enough.
    Prune,
}

impl From<Finished<Deliver>> for AlertMessage {
    fn from(finished: Finished<Deliver>) -> Self {
        Self::Delivered(finished)
    }
}

/// The answer to [`AlertMessage::Acknowledge`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acknowledgement {
    /// Done, or had been done before.
    Acknowledged,
    /// No such incident.
    Unknown,
    /// It is closed already.
    Closed,
}

/// One step in the life of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// It began.
    Opened {
        /// Who is sick.
        subject: Subject,
        /// What is wrong.
        symptoms: Vec<Symptom>,
        /// How bad.
        severity: Severity,
        /// When the engine's event or the deciding sample happened.
        event_at: Timestamp,
    },
    /// It had been resolved, and is back.
    Reopened {
        /// What is wrong.
        symptoms: Vec<Symptom>,
    },
    /// What is wrong changed.
    SymptomsChanged {
        /// Newly true.
        raised: Vec<Symptom>,
        /// No longer true.
        cleared: Vec<SymptomKind>,
    },
    /// What was found before any action.
    Evidence(Evidence),
    /// What the Analyzer makes of it.
    Diagnosed(Diagnosis),
    /// What each gate said to an action; the last one refused unless all passed.
    Gates {
        /// The action asked for.
        action: Action,
        /// In order.
        gates: Vec<GateRecord>,
    },
    /// The intent is committed; the engine is asked next.
    ActionIntended {
        /// What.
        action: Action,
        /// Which rung of the ladder, from 1.
        rung: u32,
        /// The audit's number of it.
        audit: u64,
    },
    /// The engine answered.
    ActionFinished {
        /// What.
        action: Action,
        /// How it ended.
        outcome: ActionOutcome,
    },
    /// Watching whether it helped.
    Verifying {
        /// Until when.
        until: Timestamp,
    },
    /// It did not help.
    NotResolved {
        /// What still showed.
        reason: String,
        /// When the next rung is tried, if there is one.
        next: Option<Timestamp>,
    },
    /// The Responder is done with it.
    Concluded(Conclusion),
    /// The symptoms went away by themselves and stayed away.
    Recovered {
        /// How that was seen.
        reason: String,
    },
    /// Symptoms ended because the container was removed or an operator stopped it.
    Withdrawn {
        /// Which of them.
        reason: String,
    },
    /// A person took it on.
    Acknowledged {
        /// Who.
        by: String,
        /// What they had to say.
        note: Option<String>,
    },
    /// A notification's fate.
    Notification {
        /// The channel's name.
        channel: String,
        /// What it told: an incident status.
        change: String,
        /// `queued`, `delivered`, `failed`, `expired`, `fallback`.
        state: String,
        /// Attempts made.
        attempts: u32,
        /// The last error, or empty.
        error: String,
    },
    /// A model is asked what it thinks.
    Consulted {
        /// The mode that says which; empty is the default.
        mode: String,
        /// SHA-256 of all that it is asked, in hexadecimal.
        question_hash: String,
        /// Bytes of that.
        bytes: u64,
        /// Pieces of evidence in it.
        evidence: u64,
        /// Tokens set aside for it.
        tokens: u64,
    },
    /// What came of that, or why none was asked.
    Advised {
        /// What.
        advice: Advice,
        /// The action that the Responder is asked for because of it.
        requested: Option<Action>,
        /// Why, or why none is; empty where there was nothing to decide.
        note: String,
    },
}
