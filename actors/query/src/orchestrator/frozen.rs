//! What an Orchestrator keeps of itself, as it is on the disk.

use perennial_runtime::{Timestamp, frozen};

use super::*;

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn instance(state: InstanceState) -> Instance {
    Instance { state, attempt: 2, alternative: 1 }
}

fn active() -> Active {
    let states = [
        InstanceState::Ready,
        InstanceState::Calling,
        InstanceState::Backoff,
        InstanceState::Succeeded,
        InstanceState::Failed,
    ];
    Active { instances: states.map(instance).to_vec(), attempts: 7 }
}

fn sample(phase: Phase) -> Orchestrator {
    let ends = [End::Succeeded, End::Failed, End::FailedForAll, End::Skipped, End::Cut];
    let mut steps = vec![StepState::Waiting, StepState::Active(active()), StepState::Asking];
    steps.extend(ends.map(StepState::Ended));
    Orchestrator {
        phase,
        query: None,
        steps,
        calling: 1,
        deadline: at(60),
        left: Duration::from_secs(30),
        events: 9,
        peak: 3,
        retries: 1,
    }
}

#[test]
fn the_format_of_the_state_of_an_orchestrator_is_frozen() {
    let phases = [
        Phase::Unknown,
        Phase::Waiting,
        Phase::Running,
        Phase::Paused,
        Phase::Approval,
        Phase::Ended,
    ];
    let all: Vec<Orchestrator> = phases.into_iter().map(sample).collect();
    frozen("query/orchestrator", Orchestrator::VERSION, &all);
    let mut halting = sample(Phase::Ending(Outcome::Cancelled));
    halting.steps.push(StepState::Halting(active()));
    frozen("query/orchestrator-halting", Orchestrator::VERSION, &halting);
}
