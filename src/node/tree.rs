//! Who is supervised by whom.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use perennial_healing::adviser::Adviser;
use perennial_healing::adviser::ask::ModelPerformer;
use perennial_healing::alert::{self, Alert, Channels, INCIDENTS};
use perennial_healing::analyzer::docker::EvidencePerformer;
use perennial_healing::analyzer::{self, Analyzer};
use perennial_healing::docker::Engine;
use perennial_healing::model::ContainerId;
use perennial_healing::monitor::docker::{Sensors, sensors};
use perennial_healing::monitor::{self, Monitor};
use perennial_healing::responder::docker::{EnginePerformer, OpenIncidents};
use perennial_healing::responder::{self, Responder};
use perennial_runtime::{Strategy, Supervisor, TableReader};

use super::adviser::Models;
use crate::exit::{Exit, Failure};

/// What the agents are told.
pub(super) struct Agents {
    pub(super) monitor: monitor::Config,
    pub(super) analyzer: analyzer::Config,
    pub(super) responder: responder::Config,
    pub(super) alert: alert::Config,
}

/// The rows, once there is a runtime to read them through.
pub(super) type Rows = Arc<OnceLock<TableReader>>;

/// The agents before what tells them of the world, so that nothing is told to nobody.
pub(super) fn tree(
    engine: &Engine,
    agents: Agents,
    rows: Rows,
    models: Models,
) -> Result<Supervisor, Failure> {
    let Agents { monitor, analyzer, responder, alert } = agents;
    let channels =
        Channels::new(&alert).map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let hands =
        EnginePerformer::new(engine.clone(), Arc::new(responder.clone()), open_incidents(rows));
    let Sensors { events, relist, stats, confirm } = sensors(engine, &monitor);
    let agents = Supervisor::new("agents")
        .actors::<Alert>(alert)
        .actors::<Responder>(responder)
        .actors::<Adviser>(analyzer.model.clone())
        .actors::<Analyzer>(analyzer)
        .actors::<Monitor>(monitor);
    let performers = Supervisor::new("performers")
        .performer(channels)
        .performer(hands)
        .performer(confirm)
        .performer(EvidencePerformer::new(engine.clone()))
        .performer(ModelPerformer::new(Arc::new(models)));
    let sensors = Supervisor::new("sensors").sensor(events).sensor(relist).sensor(stats);
    let healing = Supervisor::new("healing")
        .strategy(Strategy::RestForOne)
        .child(agents)
        .child(performers)
        .child(sensors);
    Ok(Supervisor::new("node").child(healing))
}

/// Whether a container has an open incident; unknown before the rows can be read.
fn open_incidents(rows: Rows) -> OpenIncidents {
    Arc::new(move |container: &ContainerId| {
        let mut open = false;
        let visited = rows.get()?.visit(&INCIDENTS, b"", |incident| {
            open = incident.subject.id == *container && !incident.status.is_closed();
            if open { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        visited.ok().map(|()| open)
    })
}
