//! What the Adviser stores, as it is on the disk.

use perennial_runtime::{Effect, frozen};

use super::*;
use crate::adviser::advice::Cause;

fn asked_of() -> Question {
    Question {
        incident: samples::incident(),
        container: samples::container('c'),
        basis: "high_cpu: hung".to_owned(),
        facts: "What is wrong:".to_owned(),
        data: samples::texts(&["container: web", "log:1 listening"]),
        ids: samples::texts(&["symptom:high_cpu", "log:1"]),
    }
}

fn effect() -> AskModel {
    AskModel {
        question: asked_of(),
        mode: "diagnosis".to_owned(),
        max_tokens: 800,
        timeout: Duration::from_secs(30),
        expires: samples::second(90),
    }
}

/// Each reply names the next, so that a new one has to be sampled.
fn replies() -> Vec<Reply> {
    let next = |reply: &Reply| match reply {
        Reply::Silent(_) => Some(Reply::Answered(Answer {
            model: "small".to_owned(),
            text: "{}".to_owned(),
            tokens: 700,
        })),
        Reply::Answered(_) => None,
    };
    std::iter::successors(Some(Reply::Silent("down".to_owned())), next).collect()
}

#[test]
fn the_format_of_the_advisers_state_is_frozen() {
    let state: Adviser = samples::by_name(json!({
        "asking": {"00ff": 1_800},
        "spent": [[samples::second(1), 700]],
        "breaker": {"failures": 3, "paused_until": samples::second(60)},
    }));
    frozen("healing/adviser", Adviser::VERSION, &vec![state, Adviser::default()]);
}

#[test]
fn the_format_of_what_the_adviser_is_told_is_frozen() {
    let ends = samples::finished(&effect(), replies().remove(1)).into_iter();
    let all = std::iter::once(AdviserMessage::Consult(asked_of()));
    let all: Vec<_> = all.chain(ends.map(AdviserMessage::Answered)).collect();
    frozen("healing/adviser-message", Adviser::VERSION, &all);
}

#[test]
fn the_format_of_a_question_and_of_its_answers_is_frozen() {
    frozen("healing/ask-model", AskModel::VERSION, &(effect(), replies()));
    frozen("healing/advice", 1, &samples::advice());
    frozen("healing/advice-words", 1, &(Cause::ALL.to_vec(), Obstacle::ALL.to_vec()));
}
