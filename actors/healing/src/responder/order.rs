//! Actions that a person asks for: the same gates and the same audit as any other, under an incident
//! of their own that always closes, since nobody watches for symptoms on its behalf.

use std::time::Duration;

use perennial_runtime::Turn;
use serde::{Deserialize, Serialize};

use crate::alert::Entry;
use crate::analyzer::incident::incident_id;
use crate::model::{Action, Conclusion, Facts, IncidentId, Severity, Subject};
use crate::responder::journal::record;
use crate::responder::{Remediation, Request, Responder};

/// The rule that an order names as the one that asked.
const OPERATOR: &str = "operator";

/// How long an order may wait for its first action: whoever gave it is still there to look.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a person wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// To whom.
    pub subject: Subject,
    /// What the person could know of it; `started_at` in here fences the action.
    pub facts: Facts,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: String,
}

/// The answer to an [`Order`]: it was taken, which says nothing yet about the gates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The incident under which it is recorded.
    pub incident: IncidentId,
}

impl Responder {
    /// Takes an order: from here on it is a request like the Analyzer's, without symptoms.
    pub(super) fn ordered(&mut self, order: Order, turn: &mut Turn<'_, Self>) {
        let (now, incident) = (turn.now(), incident_id(turn.random()));
        let Order { subject, facts, action, reason } = order;
        let opened = Entry::Opened {
            subject: subject.clone(),
            symptoms: Vec::new(),
            severity: Severity::Info,
            event_at: now,
        };
        record(&incident, opened, turn);
        turn.reply(&Ordered { incident: incident.clone() });
        let signature = format!("{OPERATOR}: {}", action.as_str());
        let request = Request {
            incident,
            subject,
            facts,
            action,
            confidence: 1.0,
            rule: OPERATOR.to_owned(),
            reason,
            symptoms: Vec::new(),
            signature,
            requested_at: now,
            deadline: now + DEADLINE,
        };
        self.remediate(request, turn);
    }
}

/// What the journal says of an order's end: whatever did not help is withdrawn, not left open.
pub(super) fn ending(conclusion: Conclusion) -> Entry {
    match conclusion {
        Conclusion::Resolved | Conclusion::Gone => Entry::Concluded(conclusion),
        Conclusion::Escalated(why) => Entry::Withdrawn { reason: format!("did not help: {why}") },
        Conclusion::Suppressed(why) => Entry::Withdrawn { reason: format!("refused: {why}") },
        Conclusion::Proposed(why) => Entry::Withdrawn { reason: format!("not done: {why}") },
    }
}

impl Remediation {
    /// Whether a person asked for it.
    pub(super) fn is_order(&self) -> bool {
        self.request.rule == OPERATOR
    }

    /// An order that leaves the container as it is, so that how the container stands afterwards says
    /// nothing about whether it was carried out.
    pub(super) fn is_errand(&self) -> bool {
        self.is_order()
            && match self.action {
                Action::Scale | Action::Cleanup | Action::Exec(_) => true,
                Action::Restart | Action::Start | Action::Stop => false,
            }
    }
}
