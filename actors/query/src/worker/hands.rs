//! The edge: makes the calls that ToolWorkers have decided on.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use perennial_runtime::{Attempt, EffectError, Performer, Reconciliation, Timestamp};
use tokio::sync::Notify;

use crate::plan::ErrorKind;
use crate::tool::{Call, Tool, ToolAnswer, ToolError, Toolbox, Trace};
use crate::worker::invoke::{Halt, Invoke};
use crate::worker::message::CallId;

/// The largest value that a tool may answer with, in bytes of JSON. Later steps read it in their turns.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Bytes of an error's message that are kept: it is stored, and shown wherever the step is.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// Makes calls, and ends them when told to.
#[derive(Clone, Debug)]
pub struct Hands {
    toolbox: Arc<Toolbox>,
    calls: Arc<Mutex<BTreeMap<CallId, Under>>>,
}

/// A call that is under way, or was told to end before it began.
#[derive(Clone, Debug)]
struct Under {
    halted: bool,
    bell: Arc<Notify>,
    /// It is of no interest after this.
    until: Timestamp,
}

impl Under {
    fn new(until: Timestamp) -> Self {
        Self { halted: false, bell: Arc::default(), until }
    }
}

/// Takes a call off the list, however it ends.
struct Listed<'a> {
    hands: &'a Hands,
    id: &'a CallId,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.hands.lock().remove(self.id);
    }
}

impl Hands {
    /// Makes calls of these tools.
    #[must_use]
    pub fn new(toolbox: Arc<Toolbox>) -> Self {
        Self { toolbox, calls: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CallId, Under>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the call is told to end.
    async fn halted(&self, id: &CallId, until: Timestamp) {
        let bell = {
            let mut calls = self.lock();
            let under = calls.entry(id.clone()).or_insert_with(|| Under::new(until));
            if under.halted {
                return;
            }
            Arc::clone(&under.bell)
        };
        bell.notified().await;
    }

    fn halt(&self, halt: &Halt, now: Timestamp) {
        let mut calls = self.lock();
        calls.retain(|_, under| !under.halted || under.until > now);
        let under = calls.entry(halt.id.clone()).or_insert_with(|| Under::new(halt.until));
        under.halted = true;
        under.bell.notify_one();
    }
}

impl Performer<Invoke> for Hands {
    async fn perform(
        &self,
        effect: &Invoke,
        attempt: &Attempt,
    ) -> Result<Result<ToolAnswer, ToolError>, EffectError> {
        let Some(tool) = self.toolbox.get(&effect.order.tool) else {
            return Ok(Err(gone(&effect.order.tool)));
        };
        let call = prepare(effect, attempt.now);
        let _listed = Listed { hands: self, id: &effect.order.id };
        let answer = tokio::select! {
            biased;
            () = self.halted(&effect.order.id, effect.order.deadline) => {
                Err(ToolError::new(ErrorKind::Cancelled, "it was taken back while it was under way"))
            }
            answer = bounded(tool.as_ref(), &call) => answer,
        };
        Ok(storable(&effect.order.tool, answer))
    }

    async fn reconcile(
        &self,
        effect: &Invoke,
        attempt: &Attempt,
    ) -> Reconciliation<Result<ToolAnswer, ToolError>> {
        let Some(tool) = self.toolbox.get(&effect.order.tool) else {
            return Reconciliation::Done(Err(gone(&effect.order.tool)));
        };
        match tool.reconcile(&prepare(effect, attempt.now)).await {
            Trace::Done(answer) => Reconciliation::Done(storable(&effect.order.tool, answer)),
            Trace::NotDone => Reconciliation::NotDone,
            Trace::Unknown(why) => Reconciliation::Unknown(why),
        }
    }
}

impl Performer<Halt> for Hands {
    async fn perform(&self, effect: &Halt, attempt: &Attempt) -> Result<(), EffectError> {
        self.halt(effect, attempt.now);
        Ok(())
    }
}

fn gone(tool: &str) -> ToolError {
    ToolError::invalid(format!("this node has no tool `{tool}` any more"))
}

fn prepare(effect: &Invoke, now: Timestamp) -> Call {
    let order = &effect.order;
    Call {
        tool: order.tool.clone(),
        arguments: order.arguments.clone(),
        identity: order.identity.clone(),
        key: order.id.key(),
        label: format!("{}/{}", order.id.query, order.step),
        attempt: order.id.attempt,
        deadline: order.deadline,
        timeout: effect.timeout.min(order.deadline.since(now)),
    }
}

/// One attempt within its time. A tool that changes the world and gave no answer is asked what became of it.
async fn bounded(tool: &dyn Tool, call: &Call) -> Result<ToolAnswer, ToolError> {
    // What a tool does before its first wait is a part of the call as well.
    let called = AssertUnwindSafe(async { tool.call(call).await }).catch_unwind();
    let silent = match tokio::time::timeout(call.timeout, called).await {
        Ok(Ok(answer)) => return answer,
        Ok(Err(_)) => ToolError::failed(format!("`{}` has a defect: it panicked", call.tool)),
        Err(_) => {
            let why = format!("`{}` gave no answer within {:?}", call.tool, call.timeout);
            ToolError::new(ErrorKind::Timeout, why)
        }
    };
    match trace(tool, call).await {
        Trace::Done(answer) => answer,
        Trace::NotDone => Err(silent),
        Trace::Unknown(why) => {
            Err(ToolError::new(ErrorKind::Unknown, format!("{}; {why}", silent.message)))
        }
    }
}

/// How long a tool may look for what became of a call.
const LOOK: Duration = Duration::from_secs(3);

async fn trace(tool: &dyn Tool, call: &Call) -> Trace {
    let asked = AssertUnwindSafe(async { tool.reconcile(call).await }).catch_unwind();
    match tokio::time::timeout(LOOK, asked).await {
        Ok(Ok(trace)) => trace,
        Ok(Err(_)) | Err(_) => Trace::Unknown("what became of it cannot be found out".to_owned()),
    }
}

/// An answer or an error as far as it may be stored.
fn storable(tool: &str, answer: Result<ToolAnswer, ToolError>) -> Result<ToolAnswer, ToolError> {
    let answer = answer.map_err(shortened)?;
    let ToolAnswer { value, citations, warnings } = &answer;
    let citations = citations.iter().map(|one| one.id.len() + one.source.len() + one.place.len());
    let beside: usize = citations.chain(warnings.iter().map(String::len)).sum();
    let bytes = value.bytes() + beside;
    if bytes <= MAX_ANSWER_BYTES {
        return Ok(answer);
    }
    Err(ToolError::failed(format!(
        "the answer of `{tool}` has {bytes} bytes, over the limit of {MAX_ANSWER_BYTES}; ask for less"
    )))
}

/// An error of which the message is no longer than may be stored.
fn shortened(mut error: ToolError) -> ToolError {
    let bytes = error.message.len();
    if bytes > MAX_MESSAGE_BYTES {
        error.message.truncate(error.message.floor_char_boundary(MAX_MESSAGE_BYTES));
        error.message.push_str(&format!("… ({bytes} bytes in all)"));
    }
    error
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use serde_json::json;

    use super::*;
    use crate::tool::{Citation, Identity, ToolSpec};

    /// A tool that panics before it gives the future of its answer.
    struct Hasty(ToolSpec);

    impl Tool for Hasty {
        fn spec(&self) -> &ToolSpec {
            &self.0
        }

        fn call<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
            panic!("at once");
        }

        fn reconcile<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Trace> {
            panic!("as well");
        }
    }

    fn call() -> Call {
        Call {
            tool: "hasty".to_owned(),
            arguments: json!({}).into(),
            identity: Identity::default(),
            key: "q/0/0/0/0".to_owned(),
            label: "q/s".to_owned(),
            attempt: 1,
            deadline: Timestamp::MAX,
            timeout: Duration::from_secs(9),
        }
    }

    #[tokio::test]
    async fn a_tool_that_panics_at_once_has_failed_and_nothing_else_has() {
        let error = bounded(&Hasty(ToolSpec::new("hasty", "")), &call()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unknown);
        assert!(error.message.contains("`hasty` has a defect: it panicked"), "{error}");
    }

    #[test]
    fn what_stands_beside_an_answer_counts_and_a_long_message_is_cut_and_says_so() {
        let long = "é".repeat(MAX_ANSWER_BYTES / 2);
        let citation = Citation { source: long.clone(), ..Citation::default() };
        let cited = ToolAnswer { citations: vec![citation], ..json!("a").into() };
        assert!(storable("t", Ok(cited)).unwrap_err().message.contains("over the limit"));
        let error = storable("t", Err(ToolError::failed(format!("a{long}")))).unwrap_err();
        assert!(error.message.len() < MAX_MESSAGE_BYTES + 50, "{}", error.message.len());
        assert!(error.message.ends_with("… (262145 bytes in all)"), "{error}");
        assert_eq!(storable("t", Ok(json!(1).into())), Ok(json!(1).into()));
    }
}
