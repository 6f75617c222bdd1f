//! Everything of this crate that decodes bytes. For tests and for the fuzzers in `tests/fuzz`, which
//! call the same functions.

use perennial_runtime::Durable;
use perennial_runtime::decoding::payload;

use crate::adviser::Adviser;
use crate::adviser::ask::{AskModel, Reply};
use crate::alert::deliver::Deliver;
use crate::alert::{Alert, Incident, JournalEntry};
use crate::analyzer::Analyzer;
use crate::analyzer::evidence::CaptureEvidence;
use crate::monitor::confirm::Confirm;
use crate::monitor::docker::{self, EventPosition, ListPosition};
use crate::monitor::{ContainerRow, Monitor};
use crate::responder::Responder;
use crate::responder::audit::AuditEntry;
use crate::responder::effect::EngineAction;

/// Reads bytes as each of an engine's answers: an event, an inspection, a line of its list, a sample.
pub fn docker(bytes: &[u8]) {
    docker::decoding::answer(bytes);
}

/// Reads bytes as everything the agents store: states, messages, rows, effects, positions.
pub fn stored(bytes: &[u8]) {
    actor::<Monitor>(bytes);
    actor::<Analyzer>(bytes);
    actor::<Responder>(bytes);
    actor::<Alert>(bytes);
    actor::<Adviser>(bytes);
    payload::<ContainerRow>(bytes);
    payload::<Incident>(bytes);
    payload::<JournalEntry>(bytes);
    payload::<AuditEntry>(bytes);
    payload::<CaptureEvidence>(bytes);
    payload::<Confirm>(bytes);
    payload::<EngineAction>(bytes);
    payload::<Deliver>(bytes);
    payload::<AskModel>(bytes);
    payload::<Reply>(bytes);
    payload::<EventPosition>(bytes);
    payload::<ListPosition>(bytes);
}

fn actor<A: Durable>(bytes: &[u8]) {
    payload::<A>(bytes);
    payload::<A::Message>(bytes);
}

#[cfg(test)]
mod tests {
    use perennial_runtime::decoding::feed;

    use super::*;

    #[test]
    fn no_answer_of_an_engine_is_too_strange_to_be_read() {
        feed("docker", 20_000, docker);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_what_agents_store() {
        feed("stored", 5_000, stored);
    }
}
