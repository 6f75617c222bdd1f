//! Everything the Analyzer can be told. One Analyzer per container; its key is the container's id.

use perennial_runtime::{Finished, Timestamp};
use serde::{Deserialize, Serialize};

use crate::adviser::advice::Advice;
use crate::analyzer::evidence::CaptureEvidence;
use crate::model::{Conclusion, Facts, IncidentId, Subject, Symptom, SymptomKind};
use crate::monitor::Standing;

/// A message to the Analyzer of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AnalyzerMessage {
    /// The Monitor saw the set of symptoms change.
    Symptoms(SymptomReport),
    /// The container is gone, or an operator stopped it: its symptoms no longer matter.
    Withdrawn {
        /// When.
        at: Timestamp,
        /// Why, for people.
        reason: String,
    },
    /// Evidence was taken, or could not be.
    Evidence(Finished<CaptureEvidence>),
    /// The Responder concluded.
    Concluded {
        /// Which incident.
        incident: IncidentId,
        /// How.
        conclusion: Conclusion,
        /// For [`Conclusion::Suppressed`]: when the gate would let the action through, if it knows.
        until: Option<Timestamp>,
    },
    /// A timer of its own: the symptoms have been gone for the stabilisation window.
    Settled,
    /// A timer of its own: the evidence did not come in time.
    EvidenceLate,
    /// A timer of its own: look again at what is still wrong.
    LookAgain,
    /// A timer of its own: nothing has been wrong for so long that nothing need be remembered.
    Forget,
    /// The Monitor's answer to the Responder, which is handed on: messages between two agents keep
    /// their order, so that whatever the Analyzer made of earlier symptoms is there before it.
    Standing(Standing),
    /// What came of asking a model.
    Advised {
        /// About which incident.
        incident: IncidentId,
        /// What its diagnosis rested on when it was asked.
        basis: String,
        /// What came of it.
        advice: Advice,
    },
}

impl From<Finished<CaptureEvidence>> for AnalyzerMessage {
    fn from(finished: Finished<CaptureEvidence>) -> Self {
        Self::Evidence(finished)
    }
}

/// A change in what is wrong with a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SymptomReport {
    /// Who.
    pub subject: Subject,
    /// When the Monitor decided.
    pub at: Timestamp,
    /// When the engine's event or the deciding sample happened: detection delay counts from here.
    pub event_at: Timestamp,
    /// What is known.
    pub facts: Facts,
    /// Newly true.
    pub raised: Vec<Symptom>,
    /// No longer true.
    pub cleared: Vec<SymptomKind>,
    /// All that are true now, the raised ones included.
    pub active: Vec<Symptom>,
    /// The last values of each ratio, oldest first, for trends: (cpu, memory).
    pub trend: Vec<(f64, f64)>,
}
