//! Reading what an engine says, whatever it says.

use bollard::models::{
    ContainerInspectResponse, ContainerStatsResponse, ContainerSummary, EventMessage,
};
use perennial_runtime::Timestamp;
use serde::de::DeserializeOwned;

use super::convert;
use super::fleet::{Host, Target};

/// Reads bytes as each of an engine's answers: an event, an inspection, a line of its list, a sample.
pub(crate) fn answer(bytes: &[u8]) {
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    if let Some(event) = read::<EventMessage>(bytes) {
        drop((convert::notice(&event), convert::subject_of_event(&event)));
    }
    if let Some(seen) = read::<ContainerInspectResponse>(bytes) {
        drop(convert::inspection(now, &seen, 4));
    }
    if let Some(line) = read::<ContainerSummary>(bytes) {
        drop((convert::summary(&line), convert::is_young(&line), convert::project(&line)));
    }
    if let Some(stats) = read::<ContainerStatsResponse>(bytes) {
        let target = Target { id: "abc".to_owned(), started_at: String::new() };
        drop(convert::sample(&stats, &target, Host { cpus: 4, memory: 1 << 30 }, now));
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}
