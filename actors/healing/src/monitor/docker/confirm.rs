//! Inspects a container when its Monitor asks.

use perennial_runtime::{Attempt, EffectError, Performer};

use super::Eyes;
use crate::monitor::Inspection;
use crate::monitor::confirm::Confirm;

/// Asks the engine, by the same eyes as the sensors.
#[derive(Debug)]
pub struct ConfirmPerformer(pub(super) Eyes);

impl Performer<Confirm> for ConfirmPerformer {
    async fn perform(
        &self,
        effect: &Confirm,
        attempt: &Attempt,
    ) -> Result<Option<Inspection>, EffectError> {
        let seen = self.0.inspect(&effect.container.0, attempt.now).await;
        seen.map_err(EffectError::transient)
    }
}
