//! The actor tree and the dead letters.

use serde::Serialize;

use super::time;

/// A supervisor, an actor, a sensor or a pool of performers, and what is below it.
#[derive(Debug, Serialize)]
pub(in crate::http) struct TreeNode {
    kind: String,
    key: String,
    supervisor: Option<String>,
    strategy: Option<String>,
    state: String,
    restarts: u64,
    last_error: Option<String>,
    mailbox_depth: u64,
    oldest_message_age_seconds: Option<f64>,
    turns: u64,
    last_commit: Option<String>,
    children: Vec<TreeNode>,
}

impl From<perennial_runtime::TreeNode> for TreeNode {
    fn from(node: perennial_runtime::TreeNode) -> Self {
        Self {
            kind: node.kind,
            key: node.key,
            supervisor: node.supervisor,
            strategy: node.strategy,
            state: node.state,
            restarts: node.restarts,
            last_error: node.last_error,
            mailbox_depth: node.mailbox_depth as u64,
            oldest_message_age_seconds: node.oldest_message_age.map(|age| age.as_secs_f64()),
            turns: node.turns,
            last_commit: node.last_commit.map(time),
            children: node.children.into_iter().map(Self::from).collect(),
        }
    }
}

/// A message or an effect that was given up.
#[derive(Debug, Serialize)]
pub(in crate::http) struct DeadLetter {
    id: String,
    /// Whom the message was for, or who intended the effect.
    to: String,
    /// The effect's name; null for a message.
    effect: Option<String>,
    reason: String,
    attempts: u32,
    last_error: String,
    at: String,
    payload_bytes: usize,
}

impl From<perennial_runtime::DeadLetter> for DeadLetter {
    fn from(letter: perennial_runtime::DeadLetter) -> Self {
        Self {
            id: letter.id.to_string(),
            to: letter.to.to_string(),
            effect: letter.effect,
            reason: letter.reason,
            attempts: letter.attempts,
            last_error: letter.last_error,
            at: time(letter.at),
            payload_bytes: letter.payload_bytes,
        }
    }
}
