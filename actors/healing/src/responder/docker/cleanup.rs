//! Removes what is left of earlier runs of the same Compose service.

use std::collections::HashMap;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{ListContainersOptions, RemoveContainerOptions};
use perennial_runtime::EffectError;

use super::{EnginePerformer, acting, asking};
use crate::docker::EngineError;
use crate::model::{ActionOutcome, ContainerId};
use crate::responder::effect::EngineAction;

impl EnginePerformer {
    /// Never volumes, never the container itself: it is the evidence. The engine refuses to remove
    /// one that runs.
    pub(super) async fn cleanup(
        &self,
        effect: &EngineAction,
    ) -> Result<ActionOutcome, EffectError> {
        let subject = &effect.subject;
        let (Some(project), Some(service)) = (&subject.project, &subject.service) else {
            let why = "it does not belong to a service of a Compose project".to_owned();
            return Ok(ActionOutcome::NotApplicable(why));
        };
        let exited = self.exited(project, service).await.map_err(asking)?;
        let (mut removed, mut left) = (Vec::new(), Vec::new());
        for container in exited {
            let Some(id) = container.id.clone() else { continue };
            let name = name_of(&container);
            match self.protected(effect, &container) {
                Some(why) => left.push(format!("{name} ({why})")),
                None => match self.remove(id).await {
                    Ok(()) | Err(EngineError::NotFound(_)) => removed.push(name),
                    Err(EngineError::Refused { message, .. }) => {
                        left.push(format!("{name} ({message})"));
                    }
                    Err(error) => return Err(acting(error)),
                },
            }
        }
        Ok(ActionOutcome::Done(format!("removed: {}; left: {}", list(&removed), list(&left))))
    }

    async fn exited(
        &self,
        project: &str,
        service: &str,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let labels = vec![
            format!("com.docker.compose.project={project}"),
            format!("com.docker.compose.service={service}"),
        ];
        let status = vec!["exited".to_owned()];
        let filters = HashMap::from([("label".to_owned(), labels), ("status".to_owned(), status)]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let list =
            |docker: bollard::Docker| async move { docker.list_containers(Some(options)).await };
        self.engine.call(self.engine.deadline(), list).await
    }

    /// Why a container is not removed.
    fn protected(
        &self,
        effect: &EngineAction,
        container: &ContainerSummary,
    ) -> Option<&'static str> {
        let id = ContainerId(container.id.clone().unwrap_or_default());
        if id == effect.subject.id {
            return Some("the container itself");
        }
        if container.state != Some(ContainerSummaryStateEnum::EXITED) {
            return Some("not exited");
        }
        match (effect.keep.contains(&id), (self.open_incidents)(&id)) {
            (true, _) | (false, Some(true)) => Some("has an open incident"),
            (false, None) => Some("its incidents cannot be read"),
            (false, Some(false)) => None,
        }
    }

    async fn remove(&self, id: String) -> Result<(), EngineError> {
        let options = RemoveContainerOptions { v: false, force: false, link: false };
        let remove = |docker: bollard::Docker| async move {
            docker.remove_container(&id, Some(options)).await
        };
        self.engine.call(self.engine.deadline(), remove).await
    }
}

fn name_of(container: &ContainerSummary) -> String {
    let names = container.names.as_deref().unwrap_or_default();
    let id = container.id.clone().unwrap_or_default();
    names.first().map_or(id, |name| name.trim_start_matches('/').to_owned())
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
