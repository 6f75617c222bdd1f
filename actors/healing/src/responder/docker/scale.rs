//! One more replica of a Swarm service.

use bollard::models::{Service, ServiceSpec};
use bollard::query_parameters::{InspectServiceOptions, UpdateServiceOptions};
use perennial_runtime::{Attempt, EffectError, Reconciliation};

use super::{EnginePerformer, acting, asking, limit};
use crate::docker::EngineError;
use crate::model::ActionOutcome;
use crate::responder::effect::EngineAction;

/// Label of the service that names the last scaling, written in the same update as the number of
/// replicas. It is the evidence after a crash: the number alone could have been changed by anybody.
/// It is the service's, not its tasks', so no task is replaced for it.
const SCALED_BY: &str = "perennial.scaled-by";

/// The engine's answer when it is no manager of a swarm.
const NO_SWARM: u16 = 503;

impl EnginePerformer {
    pub(super) async fn scale(
        &self,
        effect: &EngineAction,
        attempt: &Attempt,
    ) -> Result<ActionOutcome, EffectError> {
        let Some(name) = effect.subject.swarm_service.clone() else {
            return Ok(not_applicable("it is not a task of a Swarm service"));
        };
        let service = match self.service(&name).await {
            Ok(service) => service,
            Err(EngineError::Refused { status: NO_SWARM, message }) => {
                return Ok(not_applicable(&message));
            }
            Err(error) => return Err(asking(error)),
        };
        let version = service.version.and_then(|version| version.index);
        let version = version.and_then(|index| i32::try_from(index).ok()).unwrap_or_default();
        let mut spec = service.spec.unwrap_or_default();
        let Some(replicas) = replicas(&mut spec) else {
            return Ok(not_applicable("the service has no number of replicas"));
        };
        let (before, most) = (*replicas, self.config.scale_max);
        if before >= i64::try_from(most).unwrap_or(i64::MAX) {
            return Ok(not_applicable(&format!("{before} replicas, and at most {most} may be")));
        }
        *replicas += 1;
        let labels = spec.labels.get_or_insert_default();
        labels.insert(SCALED_BY.to_owned(), attempt.key.to_string());
        let options = UpdateServiceOptions { version, ..UpdateServiceOptions::default() };
        let service = name.clone();
        let call = |docker: bollard::Docker| async move {
            docker.update_service(&service, spec, options, None).await
        };
        self.engine.call(limit(effect), call).await.map_err(updating)?;
        Ok(ActionOutcome::Done(format!("{name}: {before} -> {} replicas", before + 1)))
    }

    pub(super) async fn scaled(
        &self,
        effect: &EngineAction,
        attempt: &Attempt,
    ) -> Reconciliation<ActionOutcome> {
        let Some(name) = &effect.subject.swarm_service else { return Reconciliation::NotDone };
        let service = match self.service(name).await {
            Ok(service) => service,
            Err(error) if error.is_lost() => {
                return Reconciliation::Unreachable(error.to_string());
            }
            Err(error) => return Reconciliation::Unknown(error.to_string()),
        };
        let labels = service.spec.and_then(|spec| spec.labels).unwrap_or_default();
        if labels.get(SCALED_BY).is_some_and(|key| key == attempt.key.as_str()) {
            let what = format!("{name}: the service bears the mark of this scaling");
            return Reconciliation::Done(ActionOutcome::Reconciled(what));
        }
        Reconciliation::NotDone
    }

    /// The service of exactly this name or id: the engine also answers to the beginning of an id.
    async fn service(&self, name: &str) -> Result<Service, EngineError> {
        let asked = name.to_owned();
        let inspect = |docker: bollard::Docker| async move {
            docker.inspect_service(&asked, None::<InspectServiceOptions>).await
        };
        let service = self.engine.call(self.engine.deadline(), inspect).await?;
        let named = service.spec.as_ref().and_then(|spec| spec.name.as_deref());
        if named != Some(name) && service.id.as_deref() != Some(name) {
            return Err(EngineError::NotFound(format!("no service is named exactly {name}")));
        }
        Ok(service)
    }
}

fn replicas(spec: &mut ServiceSpec) -> Option<&mut i64> {
    spec.mode.as_mut()?.replicated.as_mut()?.replicas.as_mut()
}

fn not_applicable(why: &str) -> ActionOutcome {
    ActionOutcome::NotApplicable(why.to_owned())
}

/// Somebody changed the service since it was read: the engine did nothing, and the next attempt
/// reads it again.
fn updating(error: EngineError) -> EffectError {
    let stale = matches!(&error, EngineError::Refused { message, .. }
        if message.contains("out of sequence"));
    if stale { EffectError::transient(error) } else { acting(error) }
}
