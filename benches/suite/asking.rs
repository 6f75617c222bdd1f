//! Queries from their submission to their end, for the benchmarks that ask them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perennial_query::admission::{ADMISSION, Admission, AdmissionMessage, Admitted};
use perennial_query::json::Json;
use perennial_query::metrics::EVENTS;
use perennial_query::plan::Plan;
use perennial_query::record::{Outcome, QUERIES, QueryStatus, Submission};
use perennial_runtime::{Options, Runtime, SystemClock};
use perennial_store::{SledBackend, SledOptions};
use serde_json::json;
use tokio::sync::watch;

/// For the acceptance of one query.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a node of queries stands on, and what rings when something has happened in one.
pub(crate) fn options(dir: &Path) -> (Options, watch::Receiver<u64>) {
    let backend = SledBackend::open(dir, SledOptions::default()).unwrap();
    let mut options = Options::new(Arc::new(backend), Arc::new(SystemClock));
    let (ringer, bell) = watch::channel(0);
    options.observer = Arc::new(move |observation| {
        if observation.metric == EVENTS {
            ringer.send_modify(|rung| *rung += 1);
        }
    });
    (options, bell)
}

/// One query, from its submission to its end.
pub(crate) async fn ask(
    runtime: &Runtime,
    bell: &mut watch::Receiver<u64>,
    plan: Plan,
) -> Duration {
    let began = Instant::now();
    let submission = Submission { plan, inputs: Json(json!({})), ..Submission::default() };
    let message = AdmissionMessage::Submit(Box::new(submission));
    let admitted = runtime.ask::<Admission, Admitted>(ADMISSION, &message, PATIENCE).await;
    let Ok(Admitted::Accepted { id, .. }) = admitted else { panic!("{admitted:?}") };
    let tables = runtime.tables();
    loop {
        bell.mark_unchanged();
        let row = tables.get(&QUERIES, id.as_str()).unwrap();
        if let Some(row) = row.filter(|row| row.status == QueryStatus::Finished) {
            assert_eq!(row.outcome, Some(Outcome::Succeeded), "{}", row.reason);
            return began.elapsed();
        }
        bell.changed().await.unwrap();
    }
}
