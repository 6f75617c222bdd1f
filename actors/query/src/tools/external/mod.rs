//! Tools that processes outside the node offer, in any language: they come for jobs, say that they are alive,
//! and give back what came of them.

mod broker;
mod config;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::tool::{Call, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox};
use crate::tools::ConfigError;
pub use broker::{Broker, Gone, Lending, Standing, answer_of};
pub use config::{Config, Offer, Pool, Taken};

/// Adds the tools of all pools. `broker` is where workers come for their jobs.
///
/// # Errors
/// The configuration has problems.
pub fn add(
    mut toolbox: Toolbox,
    config: &Config,
    broker: &Arc<Broker>,
) -> Result<Toolbox, ConfigError> {
    ConfigError::unless_none(config.problems())?;
    for pool in &config.pools {
        for offer in &pool.tools {
            let spec = offer.spec(&pool.name);
            toolbox = toolbox.with(External { spec, broker: Arc::clone(broker) });
        }
    }
    Ok(toolbox)
}

/// A tool that the workers of a pool offer; the pool is its group.
#[derive(Debug)]
struct External {
    spec: ToolSpec,
    broker: Arc<Broker>,
}

impl Tool for External {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(self.broker.have_done(&self.spec.group, call, self.spec.changes_world))
    }
}
