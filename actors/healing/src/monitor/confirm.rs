//! Has the engine asked how a container stands, before anybody concludes from what is known of it: an
//! event may be on its way, above all when the node has just started.

use std::time::Duration;

use perennial_runtime::{Effect, EffectPolicy, Failure, Finished, Turn};
use serde::{Deserialize, Serialize};

use crate::analyzer::{Analyzer, AnalyzerMessage};
use crate::model::{ContainerId, IncidentId, Status};
use crate::monitor::{Inspection, Monitor, MonitorMessage, Standing};

/// Asks the engine for one container; none if there is no such container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirm {
    /// On whose behalf.
    pub incident: IncidentId,
    /// Of whom.
    pub container: ContainerId,
}

impl Effect for Confirm {
    const NAME: &'static str = "confirm";
    type Owner = Monitor;
    type Outcome = Option<Inspection>;

    fn policy(&self) -> EffectPolicy {
        EffectPolicy {
            // In all less than the Responder waits for an answer (`standing_timeout`, 10 s): that the engine
            // cannot be asked is an answer too.
            timeout: Duration::from_secs(3),
            attempts: 2,
            backoff_base: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(1),
            ..EffectPolicy::default()
        }
    }
}

impl From<Finished<Confirm>> for MonitorMessage {
    fn from(finished: Finished<Confirm>) -> Self {
        Self::Confirmed(finished)
    }
}

impl Monitor {
    pub(super) fn on_confirm(
        &mut self,
        incident: IncidentId,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        if self.is_unknown() {
            return self.on_report(incident, turn);
        }
        turn.perform(&Confirm { incident, container: self.subject.id.clone() });
        Ok(())
    }

    pub(super) fn on_confirmed(
        &mut self,
        finished: Finished<Confirm>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let incident = finished.effect.incident;
        match finished.result {
            // It was removed meanwhile, and what was seen before must not bring it back.
            Ok(_) if self.is_unknown() => self.on_report(incident, turn),
            Ok(Some(inspection)) => {
                self.on_listed(inspection, turn)?;
                self.on_report(incident, turn)
            }
            Ok(None) => {
                self.on_gone(turn.now(), turn)?;
                self.facts.status = Status::Gone;
                tell(self.standing(incident, turn.now()), turn);
                Ok(())
            }
            // What is known is as old as it is, and says so.
            Err(_) => {
                let mut standing = self.standing(incident, turn.now());
                standing.at = self.inspected_at;
                tell(standing, turn);
                Ok(())
            }
        }
    }
}

/// By way of the Analyzer, behind all that it was told before: what it makes of that is known first.
pub(super) fn tell(standing: Standing, turn: &mut Turn<'_, Monitor>) {
    let key = turn.key().to_owned();
    turn.send::<Analyzer>(key, &AnalyzerMessage::Standing(standing));
}
