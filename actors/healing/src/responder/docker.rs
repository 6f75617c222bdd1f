//! The edge: does an action to the engine, fenced to the run it is meant for, and finds out after a
//! crash whether it had been done.

mod cleanup;
mod exec;
mod scale;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerState, ContainerStateStatusEnum};
use bollard::query_parameters::{
    InspectContainerOptions, RestartContainerOptions, StartContainerOptions, StopContainerOptions,
};
use perennial_runtime::{Attempt, EffectError, Performer, Reconciliation, instant};

use crate::docker::{Engine, EngineError};
use crate::model::{Action, ActionOutcome, ContainerId};
use crate::responder::Config;
use crate::responder::effect::{AWAY, EngineAction};
use crate::responder::ladder::moment;

/// What the engine may take for a call beyond the time the container is given to stop. Less than the
/// effect's own limit, so that the answer to a call that is too slow is ours.
const CALL_TIME: Duration = Duration::from_secs(20);
/// How long after the stop timeout a restart that was cut off may still be seen to happen.
const SETTLES: Duration = Duration::from_secs(5);
/// Time between two looks at a restart that may be under way.
const LOOK: Duration = Duration::from_millis(250);
/// Time between two questions to an engine that is out of reach.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Says whether a container has an open incident; none if that cannot be read.
pub type OpenIncidents = Arc<dyn Fn(&ContainerId) -> Option<bool> + Send + Sync>;

/// Does [`EngineAction`]s.
#[derive(Clone)]
pub struct EnginePerformer {
    engine: Engine,
    config: Arc<Config>,
    open_incidents: OpenIncidents,
}

impl fmt::Debug for EnginePerformer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EnginePerformer")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl EnginePerformer {
    /// Acts on `engine`. A cleanup leaves containers alone of which `open_incidents` does not say
    /// that they have none.
    #[must_use]
    pub fn new(engine: Engine, config: Arc<Config>, open_incidents: OpenIncidents) -> Self {
        Self { engine, config, open_incidents }
    }

    async fn state(&self, effect: &EngineAction) -> Result<ContainerState, EngineError> {
        let id = effect.subject.id.0.clone();
        let inspect = |docker: bollard::Docker| async move {
            docker.inspect_container(&id, None::<InspectContainerOptions>).await
        };
        let container = self.engine.call(self.engine.deadline(), inspect).await?;
        if container.id.as_deref() != Some(effect.subject.id.0.as_str()) {
            return Err(EngineError::NotFound(effect.subject.id.0.clone()));
        }
        container
            .state
            .ok_or_else(|| EngineError::Garbled("an inspection without state".to_owned()))
    }

    /// The state once the engine answers. An engine that is away is waited for until the effect's
    /// deadline: asking does nothing to the container, so the wait is no attempt of its own.
    async fn state_once_there(
        &self,
        effect: &EngineAction,
        attempt: &Attempt,
    ) -> Result<ContainerState, EngineError> {
        let over = instant() + effect.deadline.since(attempt.now).min(AWAY);
        loop {
            match self.state(effect).await {
                Err(error) if error.is_lost() && instant() + ASK_AGAIN < over => {
                    tracing::debug!(incident = %effect.incident.0, %error, "the engine is away");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Ok(_) if instant() >= over => {
                    let late = "it was back only after the deadline".to_owned();
                    return Err(EngineError::Unreachable(late));
                }
                answer => return answer,
            }
        }
    }

    async fn restart(&self, effect: &EngineAction) -> Result<ActionOutcome, EffectError> {
        let (id, t) = (effect.subject.id.0.clone(), seconds(effect.stop_timeout));
        let options = RestartContainerOptions { t: Some(t), signal: None };
        let call = |docker: bollard::Docker| async move {
            docker.restart_container(&id, Some(options)).await
        };
        self.engine.call(limit(effect), call).await.map_err(acting)?;
        Ok(ActionOutcome::Done(format!("restarted, with {t} s to stop")))
    }

    async fn start(
        &self,
        effect: &EngineAction,
        state: &ContainerState,
    ) -> Result<ActionOutcome, EffectError> {
        if state.running == Some(true) {
            return Ok(ActionOutcome::NotApplicable("it runs already".to_owned()));
        }
        let id = effect.subject.id.0.clone();
        let call = |docker: bollard::Docker| async move {
            docker.start_container(&id, None::<StartContainerOptions>).await
        };
        self.engine.call(limit(effect), call).await.map_err(acting)?;
        Ok(ActionOutcome::Done("started".to_owned()))
    }

    /// A container that waits for the engine's next attempt to start it is stopped too.
    async fn stop(
        &self,
        effect: &EngineAction,
        state: &ContainerState,
    ) -> Result<ActionOutcome, EffectError> {
        if state.running != Some(true) && state.restarting != Some(true) {
            return Ok(ActionOutcome::NotApplicable("it does not run".to_owned()));
        }
        let (id, t) = (effect.subject.id.0.clone(), seconds(effect.stop_timeout));
        let options = StopContainerOptions { t: Some(t), signal: None };
        let call = |docker: bollard::Docker| async move {
            docker.stop_container(&id, Some(options)).await
        };
        self.engine.call(limit(effect), call).await.map_err(acting)?;
        Ok(ActionOutcome::Done(format!("stopped, with {t} s to stop")))
    }

    /// Looks until the engine shows what became of the action, or until it could no longer be under
    /// way: the engine carries a restart through when the caller is gone, and a second one beside it
    /// would restart twice.
    async fn evidence(
        &self,
        effect: &EngineAction,
        attempt: &Attempt,
    ) -> Reconciliation<ActionOutcome> {
        let under_way =
            attempt.intended_at + Duration::from_secs(effect.stop_timeout.into()) + SETTLES;
        let over = instant() + under_way.since(attempt.now);
        loop {
            let state = match self.state(effect).await {
                Ok(state) => state,
                Err(error @ EngineError::NotFound(_)) => {
                    return Reconciliation::Unknown(error.to_string());
                }
                Err(error) => return Reconciliation::Unreachable(error.to_string()),
            };
            match shows(effect, attempt, &state) {
                Shows::Done(what) => {
                    return Reconciliation::Done(ActionOutcome::Reconciled(what));
                }
                Shows::NotDone => return Reconciliation::NotDone,
                Shows::Nothing if instant() >= over => return Reconciliation::NotDone,
                Shows::Nothing => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

impl Performer<EngineAction> for EnginePerformer {
    async fn perform(
        &self,
        effect: &EngineAction,
        attempt: &Attempt,
    ) -> Result<ActionOutcome, EffectError> {
        let state = self.state_once_there(effect, attempt).await.map_err(asking)?;
        fence(effect, &state)?;
        match &effect.action {
            Action::Restart => self.restart(effect).await,
            Action::Start => self.start(effect, &state).await,
            Action::Stop => self.stop(effect, &state).await,
            Action::Scale => self.scale(effect, attempt).await,
            Action::Cleanup => self.cleanup(effect).await,
            Action::Exec(command) => self.exec(effect, command).await,
        }
    }

    async fn reconcile(
        &self,
        effect: &EngineAction,
        attempt: &Attempt,
    ) -> Reconciliation<ActionOutcome> {
        match &effect.action {
            Action::Restart | Action::Start | Action::Stop => self.evidence(effect, attempt).await,
            Action::Scale => self.scaled(effect, attempt).await,
            // What is removed already is not found again.
            Action::Cleanup => Reconciliation::NotDone,
            Action::Exec(_) => Reconciliation::Unknown(
                "nothing shows whether the command ran; it is not run again".to_owned(),
            ),
        }
    }
}

/// The last check before acting, against the engine itself: between the decision and now somebody
/// else may have restarted it.
fn fence(effect: &EngineAction, state: &ContainerState) -> Result<(), EffectError> {
    let runs = state.started_at.as_deref().unwrap_or_default();
    if runs == effect.started_at {
        return Ok(());
    }
    Err(EffectError::permanent(format!(
        "no longer the same run: started {runs}, meant was the run of {}; nothing was done",
        effect.started_at
    )))
}

/// What the engine shows of an action that may have been started.
#[derive(Debug, PartialEq, Eq)]
enum Shows {
    Done(String),
    NotDone,
    /// It may be under way.
    Nothing,
}

fn shows(effect: &EngineAction, attempt: &Attempt, state: &ContainerState) -> Shows {
    let since = |text: &Option<String>| {
        text.as_deref().and_then(moment).is_some_and(|at| at >= attempt.intended_at)
    };
    let runs = state.started_at.as_deref().unwrap_or_default();
    let moved = runs != effect.started_at;
    if effect.action == Action::Stop {
        let ended = matches!(
            state.status,
            Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD)
        );
        return match (moved, ended) {
            (false, true) if since(&state.finished_at) => {
                let at = state.finished_at.as_deref().unwrap_or_default();
                Shows::Done(format!("stopped at {at}, after the intent"))
            }
            (false, false) => Shows::Nothing,
            (true, _) | (false, true) => Shows::NotDone,
        };
    }
    match moved {
        true if since(&state.started_at) => {
            Shows::Done(format!("started at {runs}, after the intent"))
        }
        // Somebody restarted it before the intent: the fence will hold the repetition.
        true => Shows::NotDone,
        false => Shows::Nothing,
    }
}

/// A question that failed: nothing was done.
fn asking(error: EngineError) -> EffectError {
    match error {
        EngineError::NotFound(_) | EngineError::Garbled(_) | EngineError::Host(_) => {
            EffectError::permanent(error)
        }
        EngineError::Refused { .. } | EngineError::Unreachable(_) | EngineError::TimedOut(_) => {
            EffectError::transient(error)
        }
    }
}

/// A deed that failed: without an answer of the engine it may have been done.
fn acting(error: EngineError) -> EffectError {
    match error {
        EngineError::NotFound(_) | EngineError::Refused { .. } | EngineError::Host(_) => {
            EffectError::permanent(error)
        }
        EngineError::Unreachable(_) | EngineError::TimedOut(_) | EngineError::Garbled(_) => {
            EffectError::Unknown(error.to_string())
        }
    }
}

fn limit(effect: &EngineAction) -> Duration {
    Duration::from_secs(effect.stop_timeout.into()) + CALL_TIME
}

fn seconds(stop_timeout: u32) -> i32 {
    i32::try_from(stop_timeout).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
