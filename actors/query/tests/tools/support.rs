//! Calls, and waiting for conditions.

use std::time::Duration;

use perennial_query::json::Json;
use perennial_query::tool::{Call, Identity};
use perennial_runtime::{Timestamp, instant};
use serde_json::Value;

/// Longer than anything awaited takes, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The first attempt at a call.
pub(crate) fn call(tool: &str, arguments: Value) -> Call {
    Call {
        tool: tool.to_owned(),
        arguments: Json(arguments),
        identity: Identity::default(),
        key: "query-1/step-1".to_owned(),
        label: "query-1/step-1".to_owned(),
        attempt: 1,
        since: Timestamp::EPOCH,
        deadline: Timestamp::MAX,
        timeout: PATIENCE,
    }
}

/// Waits until `condition` holds; panics with `what` when it does not in time.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let over = instant() + PATIENCE;
    while !condition() {
        assert!(instant() < over, "{what} did not come to be");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
