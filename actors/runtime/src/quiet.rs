//! Slices that change nothing: their answers need no commit of their own.

use crate::activation::Activation;
use crate::durable::{Durable, Failure};
use crate::slice::{Outcome, Quiet};

/// Lets out what a slice gave that changed nothing; false when that has to wait for a commit.
///
/// # Errors
/// Another activation took over: what this one saw is not the actor's state any more.
pub(crate) fn release<A: Durable>(
    actor: &Activation<A>,
    generation: u64,
    outcome: &mut Outcome,
) -> Result<bool, Failure> {
    let Quiet { answers, observations, .. } = &outcome.quiet;
    let tells = !answers.is_empty() || !observations.is_empty();
    if tells && !is_durable(actor, generation, outcome.looked)? {
        return Ok(false);
    }
    let core = &actor.core;
    let Quiet { turns, answers, observations } = std::mem::take(&mut outcome.quiet);
    core.stats.count_turns(turns);
    observations.iter().for_each(|observation| (core.observer)(observation));
    for (asker, answer) in answers {
        // Whoever asked may have stopped waiting.
        let _gone = asker.send(answer);
    }
    Ok(true)
}

/// Whether everything the slice saw is durable.
fn is_durable<A: Durable>(
    actor: &Activation<A>,
    generation: u64,
    looked: bool,
) -> Result<bool, Failure> {
    let state = actor.slot.lock();
    if state.generation != generation {
        return Err(Failure::Restart("another activation took over".to_owned()));
    }
    let position = state.last_position;
    drop(state);
    let committer = &actor.core.committer;
    // A row can be read before it is durable, and may be another actor's.
    Ok(committer.has_committed(position) && (!looked || committer.has_settled()))
}
